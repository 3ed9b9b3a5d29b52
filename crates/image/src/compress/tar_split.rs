//! tar-split's record of a tar stream: everything but the files' content, from which a client that has fetched the files
//! makes the stream again, byte for byte.
//!
//! A line of JSON for each part: type 2 is bytes of the stream, type 1 a file with its size and checksum. Positions count.

use std::io::{self, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::workers::ZSTD_LEVEL;
use crate::digest::Digest;

const FILE: u8 = 1;
const SEGMENT: u8 = 2;

#[derive(Serialize)]
struct Part<'a> {
    #[serde(rename = "type")]
    kind: u8,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    #[serde(skip_serializing_if = "is_zero")]
    size: u64,
    payload: Option<String>,
    position: u64,
}

/// A record in the making.
pub(super) struct TarSplit {
    out: zstd::Encoder<'static, Vec<u8>>,
    bytes: u64,
    parts: u64,
}

/// A whole record.
pub(super) struct Record {
    pub compressed: Vec<u8>,
    /// The digest of the compressed bytes.
    pub digest: Digest,
    /// The number of bytes before compression.
    pub size: u64,
}

impl TarSplit {
    pub fn new() -> io::Result<Self> {
        Ok(Self { out: zstd::Encoder::new(Vec::new(), ZSTD_LEVEL)?, bytes: 0, parts: 0 })
    }

    /// Bytes of the stream: padding and headers.
    pub fn segment(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.part(SEGMENT, "", 0, Some(STANDARD.encode(bytes)))
    }

    /// A member, and the checksum of its content if it has any.
    pub fn file(&mut self, name: &str, size: u64, checksum: Option<u64>) -> io::Result<()> {
        self.part(FILE, name, size, checksum.map(|sum| STANDARD.encode(sum.to_be_bytes())))
    }

    fn part(&mut self, kind: u8, name: &str, size: u64, payload: Option<String>) -> io::Result<()> {
        let part = Part { kind, name, size, payload, position: self.parts };
        let mut line = serde_json::to_vec(&part)?;
        line.push(b'\n');
        self.parts += 1;
        self.bytes += line.len() as u64;
        self.out.write_all(&line)
    }

    pub fn finish(self) -> io::Result<Record> {
        let compressed = self.out.finish()?;
        Ok(Record { digest: Digest::of(&compressed), compressed, size: self.bytes })
    }
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}
