//! Layer compression: pinned compressors, equal bytes whatever the number of threads.
//!
//! The stream is cut into blocks of a fixed size that are compressed independently, on all cores, and written in
//! order. A block of gzip is a member of its own, a block of zstd a frame; both formats are such sequences. For
//! zstd:chunked the cuts are those of the tar's files.

mod chunked;
mod crc64;
mod tar_scan;
mod tar_split;
mod toc;
mod workers;

use std::collections::BTreeMap;
use std::io::{self, BufReader, Read, Write};
use std::num::NonZero;

use flate2::bufread::MultiGzDecoder;
use serde::{Deserialize, Serialize};

use self::chunked::Chunker;
use self::workers::{Block, Job, Workers};

/// How a layer's tar stream is stored in a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// As it is.
    None,
    /// RFC 1952, which every container client reads.
    Gzip,
    /// RFC 8878: faster and smaller; read by clients since 2020.
    Zstd,
    /// The same with a frame for each file and a table of contents, so that podman and containerd fetch only the files
    /// that they lack. Other clients read it as zstd.
    #[serde(rename = "zstd:chunked")]
    ZstdChunked,
}

const GZIP_BLOCK: usize = 1 << 20;
const ZSTD_BLOCK: usize = 4 << 20;
const INPUT_BUFFER: usize = 256 << 10;
/// 128 MiB: what `zstd --long` makes and what clients accept.
const MAX_ZSTD_WINDOW_LOG: u32 = 27;

impl Compression {
    /// The media type of an OCI layer with this compression.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::None => "application/vnd.oci.image.layer.v1.tar",
            Self::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
            Self::Zstd | Self::ZstdChunked => "application/vnd.oci.image.layer.v1.tar+zstd",
        }
    }

    /// Identifies everything that decides the compressed bytes: compressor, version, level and block size.
    pub fn identity(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip-libdeflate-1.26-l1-b1m",
            Self::Zstd => "zstd-1.5.7-l2-b4m",
            Self::ZstdChunked => "zstd-chunked-1.5.7-l2-c1m",
        }
    }

    /// The compression that the first bytes of a stream show.
    pub fn detect(start: &[u8]) -> Self {
        match start {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            _ => Self::None,
        }
    }

    /// Undoes the compression of `input`, which may be several members or frames in a row.
    ///
    /// # Errors
    /// Those of the decompressor's setup.
    pub fn decoder<'a>(self, input: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
        Ok(match self {
            Self::None => Box::new(input),
            Self::Gzip => Box::new(MultiGzDecoder::new(BufReader::with_capacity(INPUT_BUFFER, input))),
            Self::Zstd | Self::ZstdChunked => {
                let mut decoder = zstd::Decoder::new(input)?;
                // A frame that asks for more memory than this is refused: it comes from outside.
                decoder.window_log_max(MAX_ZSTD_WINDOW_LOG)?;
                Box::new(decoder)
            }
        })
    }

    fn block_size(self) -> usize {
        if self == Self::Zstd { ZSTD_BLOCK } else { GZIP_BLOCK }
    }
}

/// Compresses what is written to it into `W`. Holds at most two blocks for each thread; all encoders
/// together hold a bounded number.
pub struct Encoder<W: Write> {
    out: W,
    compression: Compression,
    workers: Workers,
    form: Form,
}

/// What is done before and after blocks are compressed.
enum Form {
    /// Blocks of a fixed size.
    Blocks { block: Vec<u8> },
    /// Blocks of whole files.
    Chunked(Box<Chunker>),
}

impl<W: Write> Encoder<W> {
    /// Compresses on as many threads as there are processors, up to 16.
    ///
    /// # Errors
    /// Those of the setup of the compressors.
    pub fn new(out: W, compression: Compression) -> io::Result<Self> {
        let threads = std::thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN);
        Self::with_threads(out, compression, threads)
    }

    /// Compresses on this many threads; the bytes do not depend on the number.
    ///
    /// # Errors
    /// Those of the setup of the compressors.
    pub fn with_threads(out: W, compression: Compression, threads: NonZero<usize>) -> io::Result<Self> {
        let form = match compression {
            Compression::ZstdChunked => Form::Chunked(Box::new(Chunker::new()?)),
            _ => Form::Blocks { block: Vec::new() },
        };
        Ok(Self { out, compression, workers: Workers::new(compression, threads), form })
    }

    /// Compresses what is left, writes the trailer and gives `W` back.
    ///
    /// # Errors
    /// Those of the compressor and of the underlying writer.
    pub fn finish(self) -> io::Result<W> {
        self.finish_annotated().map(|(out, _)| out)
    }

    /// As [`Encoder::finish`], with the annotations that the descriptor of the blob must have.
    ///
    /// # Errors
    /// As [`Encoder::finish`].
    pub fn finish_annotated(mut self) -> io::Result<(W, BTreeMap<String, String>)> {
        if self.compression != Compression::None {
            self.submit_last()?;
            while let Some(block) = self.workers.oldest()? {
                self.emit(block)?;
            }
            self.workers.join()?;
        }
        let annotations = self.end()?;
        self.out.flush()?;
        Ok((self.out, annotations))
    }

    fn submit_last(&mut self) -> io::Result<()> {
        let job = match &mut self.form {
            Form::Chunked(chunker) => chunker.last_job(),
            // An empty stream has a block too.
            Form::Blocks { block } if block.is_empty() && !self.workers.are_idle() => return Ok(()),
            Form::Blocks { block } => Job { data: std::mem::take(block), frames: Vec::new() },
        };
        if self.workers.are_idle() {
            // One block or less: not worth a thread.
            let block = self.workers.compress_here(&job)?;
            return self.emit(block);
        }
        self.submit(job)
    }

    /// What follows the last block.
    fn end(&mut self) -> io::Result<BTreeMap<String, String>> {
        match &mut self.form {
            Form::Blocks { .. } => Ok(BTreeMap::new()),
            Form::Chunked(chunker) => chunker.finish(&mut self.out),
        }
    }

    fn submit(&mut self, job: Job) -> io::Result<()> {
        match self.workers.submit(job)? {
            Some(block) => self.emit(block),
            None => Ok(()),
        }
    }

    fn emit(&mut self, block: Block) -> io::Result<()> {
        if let Form::Chunked(chunker) = &mut self.form {
            chunker.compressed(&block.frames)?;
        }
        self.out.write_all(&block.compressed)?;
        self.workers.recycle(block.compressed);
        Ok(())
    }

    /// The block that is full.
    fn full_block(&mut self) -> Option<Job> {
        let Form::Blocks { block } = &mut self.form else { return None };
        let is_full = block.len() >= self.compression.block_size();
        is_full.then(|| Job { data: std::mem::replace(block, self.workers.spare()), frames: Vec::new() })
    }
}

impl<W: Write> Write for Encoder<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        if self.compression == Compression::None {
            return self.out.write(data);
        }
        let job = match &mut self.form {
            Form::Chunked(chunker) => chunker.full_job(|| self.workers.spare()),
            Form::Blocks { .. } => self.full_block(),
        };
        if let Some(job) = job {
            self.submit(job)?;
        }
        match &mut self.form {
            Form::Chunked(chunker) => chunker.take(data),
            Form::Blocks { block } => {
                let taken = data.len().min(self.compression.block_size() - block.len());
                block.extend_from_slice(&data[..taken]);
                Ok(taken)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(length: usize) -> Vec<u8> {
        let mut state = 1u64;
        (0..length)
            .map(|i| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                if i % 7 < 4 { (i / 100) as u8 } else { (state >> 33) as u8 }
            })
            .collect()
    }

    fn encode(data: &[u8], compression: Compression, threads: usize) -> Vec<u8> {
        let threads = NonZero::new(threads).unwrap();
        let mut encoder = Encoder::with_threads(Vec::new(), compression, threads).unwrap();
        data.chunks(100_000).for_each(|chunk| encoder.write_all(chunk).unwrap());
        encoder.finish().unwrap()
    }

    #[test]
    fn one_and_three_threads_give_equal_bytes_that_decode() {
        for length in [0, 1, GZIP_BLOCK - 1, GZIP_BLOCK, GZIP_BLOCK + 1, 2 * ZSTD_BLOCK + 12_345] {
            let data = sample(length);
            let gzip = encode(&data, Compression::Gzip, 1);
            assert_eq!(gzip, encode(&data, Compression::Gzip, 3), "gzip of {length}");
            let mut decoded = Vec::new();
            MultiGzDecoder::new(&gzip[..]).read_to_end(&mut decoded).unwrap();
            assert!(decoded == data, "gzip of {length}");

            let zstd = encode(&data, Compression::Zstd, 1);
            assert_eq!(zstd, encode(&data, Compression::Zstd, 3), "zstd of {length}");
            assert!(zstd::decode_all(&zstd[..]).unwrap() == data, "zstd of {length}");
        }
    }

    #[test]
    fn bytes_are_pinned() {
        let data = sample(3 * GZIP_BLOCK / 2);
        let digest = |c| crate::Digest::of(&encode(&data, c, 2)).to_string();
        assert_eq!(
            digest(Compression::Gzip),
            "sha256:148d37095c169610a59ddd3283e014b0269e49e0327a5df9bf80c2f0989fc451"
        );
        assert_eq!(
            digest(Compression::Zstd),
            "sha256:0404c64cf8b983126b8fe1a5cfe6614c89e10e0332eda9b74a6f47681b86c311"
        );
    }
}
