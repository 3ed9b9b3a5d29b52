//! Blocks compressed on all processors, and given back in the order in which they came.

use std::collections::VecDeque;
use std::io;
use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};
use libdeflater::CompressionLvl;
use zstd::zstd_safe::compress_bound;

use super::Compression;
use super::crc64::Crc64;
use crate::digest::Digest;

/// Level 3 takes 1.4 times as long and saves 5 %, level 6 takes 2.5 times as long and saves 8 %; zlib's level 3 takes twice as
/// long and saves 2 % (measured on Debian's libraries and programs). Who counts bytes takes zstd.
const GZIP_LEVEL: i32 = 1;
/// Level 3 takes 1.35 times as long and saves 4 %; level 1 takes 0.7 times as long, and what it gives is as large as gzip's
/// (measured on Debian's Python, Perl and git).
pub(crate) const ZSTD_LEVEL: i32 = 2;

/// How many blocks are on the way at most, shared by the streams that have threads: one alone may use as many processors, and
/// many together take no more memory.
const MOST_BLOCKS: usize = 16;

/// How many streams have threads.
static STREAMS: AtomicUsize = AtomicUsize::new(0);

/// What one worker compresses at a time.
#[derive(Default)]
pub(super) struct Job {
    pub data: Vec<u8>,
    /// The frames of zstd that the data is cut into. Without any it is one.
    pub frames: Vec<Cut>,
}

/// The end of a frame.
pub(super) struct Cut {
    /// Where in the data it ends.
    pub end: usize,
    /// Whether the digests of what is in it are wanted.
    pub digests: bool,
}

/// What became of a job.
pub(super) struct Block {
    pub compressed: Vec<u8>,
    pub frames: Vec<Frame>,
}

/// A frame of zstd.
pub(super) struct Frame {
    /// The bytes that it has.
    pub length: usize,
    /// The digest and tar-split's checksum of what is in it, if they were wanted.
    pub digests: Option<(Digest, u64)>,
}

struct Queued {
    job: Job,
    room: Vec<u8>,
    result: Sender<io::Result<Done>>,
}

/// A block, and the memory of the data that it was made of.
struct Done {
    block: Block,
    data: Vec<u8>,
}

/// The threads, and what they have not given back yet: at most two blocks for each.
pub(super) struct Workers {
    compression: Compression,
    most_threads: usize,
    /// Whether this is one of the streams that have threads.
    counted: bool,
    jobs: Option<Sender<Queued>>,
    pending: VecDeque<Receiver<io::Result<Done>>>,
    threads: Vec<JoinHandle<()>>,
    /// Memory of earlier blocks: for new memory, the kernel would clear pages all the time.
    spare_data: Vec<Vec<u8>>,
    spare_room: Vec<Vec<u8>>,
}

impl Workers {
    pub fn new(compression: Compression, threads: NonZero<usize>) -> Self {
        Self {
            compression,
            most_threads: threads.get().min(MOST_BLOCKS),
            counted: false,
            jobs: None,
            pending: VecDeque::new(),
            threads: Vec::new(),
            spare_data: Vec::new(),
            spare_room: Vec::new(),
        }
    }

    /// Memory for the data of the next job: empty, and as large as one before if there was one.
    pub fn spare(&mut self) -> Vec<u8> {
        self.spare_data.pop().unwrap_or_default()
    }

    /// Takes the memory of a block back that was written.
    pub fn recycle(&mut self, compressed: Vec<u8>) {
        self.spare_room.push(compressed);
    }

    /// Whether no job was ever given: then the last one is not worth a thread.
    pub fn are_idle(&self) -> bool {
        self.threads.is_empty()
    }

    /// Compresses in this thread.
    pub fn compress_here(&self, job: &Job) -> io::Result<Block> {
        Machine::new(self.compression)?.compress(job, Vec::new())
    }

    /// Gives a job to the threads; the oldest block, if so many are on the way that it has to be taken first.
    pub fn submit(&mut self, job: Job) -> io::Result<Option<Block>> {
        let oldest = if self.pending.len() >= self.limit() { self.oldest()? } else { None };
        let (result, receiver) = bounded(1);
        self.pending.push_back(receiver);
        let room = self.spare_room.pop().unwrap_or_default();
        let sent = self.jobs().send(Queued { job, room, result });
        sent.map_err(|_| io::Error::other("the compression threads have ended"))?;
        Ok(oldest)
    }

    /// How many blocks of this stream may be on the way now.
    fn limit(&self) -> usize {
        let share = MOST_BLOCKS / STREAMS.load(Ordering::Relaxed).max(1);
        share.clamp(2, (2 * self.most_threads).max(2))
    }

    /// Waits for the oldest block.
    pub fn oldest(&mut self) -> io::Result<Option<Block>> {
        let Some(receiver) = self.pending.pop_front() else { return Ok(None) };
        let done = receiver.recv().map_err(|_| io::Error::other("a compression thread panicked"))??;
        self.spare_data.push(done.data);
        Ok(Some(done.block))
    }

    /// Ends the threads.
    pub fn join(&mut self) -> io::Result<()> {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            thread.join().map_err(|_| io::Error::other("a compression thread panicked"))?;
        }
        Ok(())
    }

    /// The queue to the threads, which start with the first job.
    fn jobs(&mut self) -> &Sender<Queued> {
        let most_threads = self.most_threads;
        self.counted = true;
        let (compression, threads) = (self.compression, &mut self.threads);
        self.jobs.get_or_insert_with(|| {
            STREAMS.fetch_add(1, Ordering::Relaxed);
            let (sender, receiver) = bounded::<Queued>(MOST_BLOCKS);
            for _ in 0..most_threads {
                let queue = receiver.clone();
                threads.push(std::thread::spawn(move || work(compression, &queue)));
            }
            sender
        })
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        if self.counted {
            STREAMS.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

fn work(compression: Compression, queue: &Receiver<Queued>) {
    let mut machine = Machine::new(compression);
    for Queued { mut job, room, result } in queue {
        let done = match &mut machine {
            Ok(machine) => machine.compress(&job, room).map(|block| {
                job.data.clear();
                Done { block, data: job.data }
            }),
            Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
        };
        // Nobody receives when the encoder was dropped: then the block is not wanted.
        let _ = result.send(done);
    }
}

/// A compressor, with the memory that it needs; making one costs more than a small block.
enum Machine {
    Gzip(Box<libdeflater::Compressor>),
    Zstd(zstd::bulk::Compressor<'static>),
    Copy,
}

impl Machine {
    fn new(compression: Compression) -> io::Result<Self> {
        Ok(match compression {
            Compression::None => Self::Copy,
            Compression::Gzip => {
                let level = CompressionLvl::new(GZIP_LEVEL).map_err(|_| io::Error::other("no level of gzip"))?;
                Self::Gzip(Box::new(libdeflater::Compressor::new(level)))
            }
            Compression::Zstd | Compression::ZstdChunked => Self::Zstd(zstd::bulk::Compressor::new(ZSTD_LEVEL)?),
        })
    }

    /// Compresses into `room`, whose content is lost.
    fn compress(&mut self, job: &Job, mut room: Vec<u8>) -> io::Result<Block> {
        let mut frames = Vec::new();
        room.clear();
        match self {
            Self::Gzip(compressor) => member(compressor, &job.data, &mut room)?,
            Self::Zstd(compressor) if job.frames.is_empty() => {
                room.reserve(compress_bound(job.data.len()));
                compressor.compress_to_buffer(&job.data, &mut room)?;
            }
            Self::Zstd(compressor) => frames = self::frames(compressor, job, &mut room)?,
            Self::Copy => room.extend_from_slice(&job.data),
        }
        Ok(Block { compressed: room, frames })
    }
}

/// One member of gzip.
fn member(compressor: &mut libdeflater::Compressor, data: &[u8], room: &mut Vec<u8>) -> io::Result<()> {
    room.resize(compressor.gzip_compress_bound(data.len()), 0);
    let length = compressor.gzip_compress(data, room).map_err(|error| io::Error::other(error.to_string()))?;
    room.truncate(length);
    Ok(())
}

fn frames(compressor: &mut zstd::bulk::Compressor<'_>, job: &Job, room: &mut Vec<u8>) -> io::Result<Vec<Frame>> {
    let mut frames = Vec::with_capacity(job.frames.len());
    let mut start = 0;
    for Cut { end, digests } in &job.frames {
        let data = &job.data[start..*end];
        let begin = room.len();
        room.resize(begin + compress_bound(data.len()), 0);
        let length = compressor.compress_to_buffer(data, &mut room[begin..])?;
        room.truncate(begin + length);
        let digests = digests.then(|| (Digest::of(data), Crc64::of(data)));
        frames.push(Frame { length, digests });
        start = *end;
    }
    Ok(frames)
}
