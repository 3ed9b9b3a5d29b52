//! Blocks compressed on all processors, and given back in the order in which they came.

use std::collections::VecDeque;
use std::io;
use std::num::NonZero;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};
use flate2::{Compress, Crc, FlushCompress};
use zstd::bulk::Compressor;

use super::Compression;
use super::crc64::Crc64;
use crate::digest::Digest;

/// Level 6 takes 1.7 times as long and saves 3.5 % (measured on Debian's `/usr/bin`).
const GZIP_LEVEL: u32 = 3;
/// Level 3 takes 1.35 times as long and saves 4 %; level 1 takes 0.7 times as long, and what it gives is as large as gzip's
/// (measured on Debian's Python, Perl and git).
pub(crate) const ZSTD_LEVEL: i32 = 2;

/// What one worker compresses at a time.
#[derive(Default)]
pub(super) struct Job {
    pub data: Vec<u8>,
    /// What preceded the data, as far as gzip's compressor may refer to it.
    pub window: Vec<u8>,
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
    /// gzip's checksum of the data.
    pub crc: Crc,
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
    result: Sender<io::Result<Block>>,
}

/// The threads, and what they have not given back yet: at most two blocks for each.
pub(super) struct Workers {
    compression: Compression,
    limit: usize,
    jobs: Option<Sender<Queued>>,
    pending: VecDeque<Receiver<io::Result<Block>>>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    pub fn new(compression: Compression, threads: NonZero<usize>) -> Self {
        Self { compression, limit: 2 * threads.get(), jobs: None, pending: VecDeque::new(), threads: Vec::new() }
    }

    /// Whether no job was ever given: then the last one is not worth a thread.
    pub fn are_idle(&self) -> bool {
        self.threads.is_empty()
    }

    /// Compresses in this thread.
    pub fn compress_here(&self, job: &Job) -> io::Result<Block> {
        Machine::new(self.compression)?.compress(job)
    }

    /// Gives a job to the threads; the oldest block, if so many are on the way that it has to be taken first.
    pub fn submit(&mut self, job: Job) -> io::Result<Option<Block>> {
        let oldest = if self.pending.len() >= self.limit { self.oldest()? } else { None };
        let (result, receiver) = bounded(1);
        self.pending.push_back(receiver);
        let sent = self.jobs().send(Queued { job, result });
        sent.map_err(|_| io::Error::other("the compression threads have ended"))?;
        Ok(oldest)
    }

    /// Waits for the oldest block.
    pub fn oldest(&mut self) -> io::Result<Option<Block>> {
        let Some(receiver) = self.pending.pop_front() else { return Ok(None) };
        receiver.recv().map_err(|_| io::Error::other("a compression thread panicked"))?.map(Some)
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
        let (limit, compression, threads) = (self.limit, self.compression, &mut self.threads);
        self.jobs.get_or_insert_with(|| {
            let (sender, receiver) = bounded::<Queued>(limit);
            for _ in 0..limit / 2 {
                let queue = receiver.clone();
                threads.push(std::thread::spawn(move || work(compression, &queue)));
            }
            sender
        })
    }
}

fn work(compression: Compression, queue: &Receiver<Queued>) {
    let mut machine = Machine::new(compression);
    for Queued { job, result } in queue {
        let block = match &mut machine {
            Ok(machine) => machine.compress(&job),
            Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
        };
        // Nobody receives when the encoder was dropped: then the block is not wanted.
        let _ = result.send(block);
    }
}

/// A compressor, with the memory that it needs; making one costs more than a small block.
enum Machine {
    Gzip,
    Zstd(Compressor<'static>),
    Copy,
}

impl Machine {
    fn new(compression: Compression) -> io::Result<Self> {
        Ok(match compression {
            Compression::None => Self::Copy,
            Compression::Gzip => Self::Gzip,
            Compression::Zstd | Compression::ZstdChunked => Self::Zstd(Compressor::new(ZSTD_LEVEL)?),
        })
    }

    fn compress(&mut self, job: &Job) -> io::Result<Block> {
        let mut block = Block { compressed: Vec::new(), crc: Crc::new(), frames: Vec::new() };
        match self {
            Self::Gzip => {
                block.crc.update(&job.data);
                block.compressed = deflate(&job.data, &job.window)?;
            }
            Self::Zstd(compressor) if job.frames.is_empty() => block.compressed = compressor.compress(&job.data)?,
            Self::Zstd(compressor) => frames(compressor, job, &mut block)?,
            Self::Copy => block.compressed.clone_from(&job.data),
        }
        Ok(block)
    }
}

fn frames(compressor: &mut Compressor<'_>, job: &Job, block: &mut Block) -> io::Result<()> {
    let mut start = 0;
    for Cut { end, digests } in &job.frames {
        let data = &job.data[start..*end];
        let frame = compressor.compress(data)?;
        let digests = digests.then(|| (Digest::of(data), Crc64::of(data)));
        block.frames.push(Frame { length: frame.len(), digests });
        block.compressed.extend_from_slice(&frame);
        start = *end;
    }
    Ok(())
}

/// Raw deflate of one block, ended on a byte boundary so that the next one can follow.
fn deflate(data: &[u8], window: &[u8]) -> io::Result<Vec<u8>> {
    let mut compressor = Compress::new(flate2::Compression::new(GZIP_LEVEL), false);
    if !window.is_empty() {
        compressor.set_dictionary(window)?;
    }
    let mut out = Vec::with_capacity(data.len() / 2 + 1024);
    loop {
        let consumed = compressor.total_in() as usize;
        let produced = out.len();
        compressor.compress_vec(&data[consumed..], &mut out, FlushCompress::Sync)?;
        let room_was_left = out.len() < out.capacity();
        if compressor.total_in() as usize == data.len() && (room_was_left || out.len() == produced) {
            return Ok(out);
        }
        out.reserve(out.capacity().max(1024) / 2);
    }
}
