//! zstd:chunked, as containers/storage's `pkg/chunked` defines it: a zstd stream in which the content of each file is in
//! frames of its own, followed by frames that decoders skip: the table of contents, the record by which the tar stream is
//! made again, and a footer. Annotations on the layer say where these are.
//!
//! A stream that a table cannot describe whole (a name twice, sparse files, what is no tar) becomes plain zstd.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Sink, Write};

use super::crc64::Crc64;
use super::tar_scan::{Member, Step, TarScan};
use super::tar_split::TarSplit;
use super::toc::{Chunk, Toc};
use super::workers::{Cut, Frame, Job};
use crate::digest::{Digest, Hashing};

/// A larger file is in several frames.
const CHUNK: usize = 1 << 20;
/// What a thread is given at a time: many small files together.
const BATCH: usize = 1 << 20;
const SKIPPABLE: [u8; 4] = [0x50, 0x2a, 0x4d, 0x18];
const MAGIC: &[u8; 8] = b"GNUlInUx";
/// The format of the table: that of CRFS.
const TABLE_KIND: u64 = 1;

const CHECKSUM: &str = "io.github.containers.zstd-chunked.manifest-checksum";
const POSITION: &str = "io.github.containers.zstd-chunked.manifest-position";
const TAR_SPLIT_POSITION: &str = "io.github.containers.zstd-chunked.tarsplit-position";

/// What a frame holds.
enum Meaning {
    /// Padding and headers, and the member that they announce.
    Head { raw: Vec<u8>, member: Option<Box<Member>> },
    /// Some content; with the last of several, the digests of the whole.
    Chunk { size: u64, last: bool, whole: Option<(Digest, u64)> },
}

/// Cuts a tar stream into frames and keeps the table.
pub(super) struct Chunker {
    scan: TarScan,
    job: Job,
    /// Where the frame begins that is being filled.
    start: usize,
    /// The digests of a file of several chunks.
    whole: Option<(Hashing<Sink>, Crc64)>,
    meanings: VecDeque<Meaning>,
    book: Option<Book>,
    /// The bytes of all frames so far.
    offset: u64,
}

/// What is written behind the content.
struct Book {
    toc: Toc,
    tar_split: TarSplit,
    /// Hashes of the names so far, since a table must not have one twice.
    names: HashSet<u64>,
    /// The member whose content is being compressed, and what of it was.
    open: Option<(Box<Member>, Vec<Chunk>)>,
}

impl Chunker {
    pub fn new() -> io::Result<Self> {
        let book = Book { toc: Toc::new()?, tar_split: TarSplit::new()?, names: HashSet::new(), open: None };
        Ok(Self {
            scan: TarScan::new(),
            job: Job::default(),
            start: 0,
            whole: None,
            meanings: VecDeque::new(),
            book: Some(book),
            offset: 0,
        })
    }

    /// Takes some of the bytes, and says how many.
    pub fn take(&mut self, data: &[u8]) -> io::Result<usize> {
        let room = CHUNK - (self.job.data.len() - self.start).min(CHUNK - 1);
        let (taken, step) = self.scan.step(data, room);
        self.job.data.extend_from_slice(&data[..taken]);
        let is_full = self.job.data.len() - self.start >= CHUNK;
        match step {
            Step::Head(Some(member)) => {
                self.whole = (member.size > CHUNK as u64).then(|| (Hashing::new(io::sink()), Crc64::default()));
                self.cut_head(Some(member));
            }
            Step::Content { last } => self.content(&data[..taken], last, is_full)?,
            Step::Odd => self.book = None,
            Step::Head(None) | Step::Rest => {}
        }
        // A part of a header alone could not be read, so only what is no header may be cut here.
        if is_full && self.scan.has_ended() && self.job.data.len() > self.start {
            self.cut_head(None);
        }
        Ok(taken)
    }

    fn content(&mut self, data: &[u8], last: bool, is_full: bool) -> io::Result<()> {
        if let Some((hash, crc)) = &mut self.whole {
            hash.write_all(data)?;
            crc.update(data);
        }
        if last || is_full {
            let whole = if last { self.whole.take() } else { None };
            let whole = whole.map(|(hash, crc)| (hash.finish().0, crc.value()));
            let size = (self.job.data.len() - self.start) as u64;
            self.cut(true, Meaning::Chunk { size, last, whole });
        }
        Ok(())
    }

    fn cut_head(&mut self, member: Option<Box<Member>>) {
        let raw = self.job.data[self.start..].to_vec();
        self.cut(false, Meaning::Head { raw, member });
    }

    fn cut(&mut self, digests: bool, meaning: Meaning) {
        self.start = self.job.data.len();
        self.job.frames.push(Cut { end: self.start, digests });
        self.meanings.push_back(meaning);
    }

    /// What has been collected, if it is enough for a thread. `spare` gives the memory for what comes next.
    pub fn full_job(&mut self, spare: impl FnOnce() -> Vec<u8>) -> Option<Job> {
        (self.start >= BATCH && self.start == self.job.data.len()).then(|| self.take_job(spare()))
    }

    /// What is left; one frame at least.
    pub fn last_job(&mut self) -> Job {
        if self.job.data.len() > self.start || self.job.frames.is_empty() {
            self.cut_head(None);
        }
        self.take_job(Vec::new())
    }

    fn take_job(&mut self, spare: Vec<u8>) -> Job {
        self.start = 0;
        std::mem::replace(&mut self.job, Job { data: spare, frames: Vec::new() })
    }

    /// Writes down where the next frames are.
    pub fn compressed(&mut self, frames: &[Frame]) -> io::Result<()> {
        for frame in frames {
            let missing = || io::Error::other("a frame has no meaning");
            let meaning = self.meanings.pop_front().ok_or_else(missing)?;
            let end = self.offset + frame.length as u64;
            let keep = match &mut self.book {
                Some(book) => book.frame(meaning, frame, self.offset, end)?,
                None => true,
            };
            if !keep {
                self.book = None;
            }
            self.offset = end;
        }
        Ok(())
    }

    /// Writes what follows the content; the annotations of the layer.
    pub fn finish(&mut self, out: &mut impl Write) -> io::Result<BTreeMap<String, String>> {
        let book = self.book.take().filter(|_| self.scan.is_whole());
        let Some(Book { toc, tar_split, open: None, .. }) = book else { return Ok(BTreeMap::new()) };
        let record = tar_split.finish()?;
        let table = toc.finish(&record.digest)?;
        let header = SKIPPABLE.len() as u64 + 4;
        let at = self.offset + header;
        let length = table.compressed.len() as u64;
        let (record_at, record_length) = (at + length + header, record.compressed.len() as u64);
        skippable(out, &table.compressed)?;
        skippable(out, &record.compressed)?;
        let mut numbers = vec![at, length, table.size, TABLE_KIND, record_at, record_length, record.size];
        skippable(out, &footer(&numbers))?;
        // containerd's stargz snapshotter reads an older footer, which must be the last. The annotation by which it would
        // check the table cannot be there: podman refuses a layer that has both kinds.
        numbers.truncate(4);
        skippable(out, &footer(&numbers))?;
        Ok(BTreeMap::from([
            (CHECKSUM.to_owned(), Digest::of(&table.compressed).to_string()),
            (POSITION.to_owned(), format!("{at}:{length}:{}:{TABLE_KIND}", table.size)),
            (TAR_SPLIT_POSITION.to_owned(), format!("{record_at}:{record_length}:{}", record.size)),
        ]))
    }
}

impl Book {
    /// Writes a frame down that is at `offset`; false if a table cannot have it.
    fn frame(&mut self, meaning: Meaning, frame: &Frame, offset: u64, end: u64) -> io::Result<bool> {
        match meaning {
            Meaning::Head { raw, member } => {
                if !raw.is_empty() {
                    self.tar_split.segment(&raw)?;
                }
                let Some(member) = member else { return Ok(true) };
                if !self.names.insert(hash_of(&member.name)) {
                    return Ok(false);
                }
                if member.size == 0 {
                    self.tar_split.file(&member.name, 0, None)?;
                    self.toc.member(&member, None, &[], end)?;
                } else {
                    self.open = Some((member, Vec::new()));
                }
            }
            Meaning::Chunk { size, last, whole } => {
                let (Some((_, chunks)), Some((digest, crc))) = (&mut self.open, frame.digests) else {
                    return Ok(false);
                };
                chunks.push(Chunk { offset, size, digest });
                if last && let Some((member, chunks)) = self.open.take() {
                    let (digest, crc) = whole.unwrap_or((digest, crc));
                    self.tar_split.file(&member.name, member.size, Some(crc))?;
                    self.toc.member(&member, Some(digest), &chunks, end)?;
                }
            }
        }
        Ok(true)
    }
}

/// Two names with one hash only cost a table.
fn hash_of(name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

/// A frame that decoders skip.
fn skippable(out: &mut impl Write, content: &[u8]) -> io::Result<()> {
    let length = u32::try_from(content.len()).map_err(|_| io::Error::other("a table of contents has over 4 GiB"))?;
    out.write_all(&SKIPPABLE)?;
    out.write_all(&length.to_le_bytes())?;
    out.write_all(content)
}

fn footer(numbers: &[u64]) -> Vec<u8> {
    let numbers = numbers.iter().flat_map(|number| number.to_le_bytes());
    numbers.chain(*MAGIC).collect()
}
