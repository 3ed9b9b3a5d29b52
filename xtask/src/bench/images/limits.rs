//! What this machine can do at all: the bytes that it hashes, compresses and writes in a second.

use std::fs::File;
use std::io::{self, Write};
use std::num::NonZero;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use image::{Compression, Digest, Encoder};

/// How much is hashed, compressed and written.
const SAMPLE: usize = 256 << 20;

/// Prints a row for each limit; `files` is where a file can be written, `sample` a file of the closure's kind.
pub fn print(files: &Path, sample: &[u8]) -> Result<()> {
    let data: Vec<u8> = sample.iter().copied().cycle().take(SAMPLE).collect();
    row("sha256 of memory, one thread", || {
        std::hint::black_box(Digest::of(&data));
        Ok(())
    })?;
    let threads = std::thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN);
    for (name, compression) in [("gzip", Compression::Gzip), ("zstd", Compression::Zstd)] {
        row(&format!("{name} of memory, {threads} threads"), || {
            let mut encoder = Encoder::new(io::sink(), compression)?;
            encoder.write_all(&data)?;
            encoder.finish()?;
            Ok(())
        })?;
    }
    let path = files.join("limit");
    row("writing a file, and syncing it", || {
        let mut file = File::create(&path)?;
        file.write_all(&data)?;
        Ok(file.sync_all()?)
    })?;
    Ok(std::fs::remove_file(path)?)
}

fn row(what: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
    let start = Instant::now();
    work()?;
    println!("{what:<58} {:>9.0} MB/s", rate(SAMPLE as u64, start.elapsed()));
    Ok(())
}

/// Millions of bytes in a second.
pub fn rate(bytes: u64, time: Duration) -> f64 {
    bytes as f64 / time.as_secs_f64() / 1e6
}

/// Writes bytes of which half can be compressed.
pub fn write_sample(mut out: impl Write, bytes: u64) -> Result<()> {
    let (mut state, mut left) = (1_u64, bytes);
    let mut piece = Vec::with_capacity(1 << 20);
    while left > 0 {
        piece.clear();
        while piece.len() < 1 << 20 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            piece.extend_from_slice(&state.to_le_bytes());
            piece.extend_from_slice(b"and text");
        }
        let length = left.min(piece.len() as u64);
        out.write_all(&piece[..length as usize])?;
        left -= length;
    }
    Ok(())
}
