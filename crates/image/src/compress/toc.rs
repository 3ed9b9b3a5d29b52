//! The table of contents of a zstd:chunked blob: what each file is, and where in the blob its content is.

use std::collections::BTreeMap;
use std::io::{self, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::tar_scan::Member;
use super::workers::ZSTD_LEVEL;
use crate::digest::Digest;

/// A piece of a file that is a frame of its own.
pub(super) struct Chunk {
    /// Where in the blob its frame begins.
    pub offset: u64,
    /// The bytes of the file that it has.
    pub size: u64,
    pub digest: Digest,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    link_name: &'a str,
    #[serde(skip_serializing_if = "is_zero")]
    mode: u64,
    #[serde(skip_serializing_if = "is_zero")]
    size: u64,
    #[serde(skip_serializing_if = "is_zero")]
    uid: u64,
    #[serde(skip_serializing_if = "is_zero")]
    gid: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    modtime: Option<String>,
    #[serde(skip_serializing_if = "is_zero")]
    dev_major: u64,
    #[serde(skip_serializing_if = "is_zero")]
    dev_minor: u64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    xattrs: BTreeMap<&'a str, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<Digest>,
    #[serde(skip_serializing_if = "is_zero")]
    offset: u64,
    #[serde(skip_serializing_if = "is_zero")]
    end_offset: u64,
    #[serde(skip_serializing_if = "is_zero")]
    chunk_size: u64,
    #[serde(skip_serializing_if = "is_zero")]
    chunk_offset: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    chunk_digest: Option<Digest>,
}

/// Counts what goes to the compressor.
struct Counting {
    out: zstd::Encoder<'static, Vec<u8>>,
    bytes: u64,
}

/// A table in the making, compressed as it grows.
pub(super) struct Toc {
    out: Counting,
    is_empty: bool,
}

/// A whole table.
pub(super) struct Table {
    pub compressed: Vec<u8>,
    /// The number of bytes before compression.
    pub size: u64,
}

impl Toc {
    pub fn new() -> io::Result<Self> {
        let mut out = Counting { out: zstd::Encoder::new(Vec::new(), ZSTD_LEVEL)?, bytes: 0 };
        out.write_all(br#"{"version":1,"entries":["#)?;
        Ok(Self { out, is_empty: true })
    }

    /// A member; `digest` is that of its content, which is in `chunks` and ends at `end`.
    pub fn member(&mut self, member: &Member, digest: Option<Digest>, chunks: &[Chunk], end: u64) -> io::Result<()> {
        let attributes = member.attributes.iter().map(|(name, value)| (name.as_str(), STANDARD.encode(value)));
        let mut main = Entry {
            kind: member.kind,
            name: &member.name,
            link_name: &member.link,
            mode: member.mode.into(),
            size: member.size,
            uid: member.uid,
            gid: member.gid,
            modtime: Some(member.modified.to_string()),
            dev_major: member.device.0.into(),
            dev_minor: member.device.1.into(),
            xattrs: attributes.collect(),
            digest,
            ..Entry::chunk(&member.name)
        };
        if let Some((first, rest)) = chunks.split_first() {
            main.end_offset = end;
            main.place(first, 0);
            self.entry(&main)?;
            let mut offset = first.size;
            for chunk in rest {
                let mut entry = Entry::chunk(&member.name);
                entry.place(chunk, offset);
                self.entry(&entry)?;
                offset += chunk.size;
            }
            return Ok(());
        }
        self.entry(&main)
    }

    fn entry(&mut self, entry: &Entry<'_>) -> io::Result<()> {
        if !std::mem::take(&mut self.is_empty) {
            self.out.write_all(b",")?;
        }
        Ok(serde_json::to_writer(&mut self.out, entry)?)
    }

    /// Ends the table, which names the record by which the tar stream is made again.
    pub fn finish(mut self, tar_split: &Digest) -> io::Result<Table> {
        write!(self.out, r#"],"tarSplitDigest":"{tar_split}"}}"#)?;
        Ok(Table { size: self.out.bytes, compressed: self.out.out.finish()? })
    }
}

impl Write for Counting {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let written = self.out.write(data)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl<'a> Entry<'a> {
    fn chunk(name: &'a str) -> Self {
        Self {
            kind: "chunk",
            name,
            link_name: "",
            mode: 0,
            size: 0,
            uid: 0,
            gid: 0,
            modtime: None,
            dev_major: 0,
            dev_minor: 0,
            xattrs: BTreeMap::new(),
            digest: None,
            offset: 0,
            end_offset: 0,
            chunk_size: 0,
            chunk_offset: 0,
            chunk_digest: None,
        }
    }

    fn place(&mut self, chunk: &Chunk, chunk_offset: u64) {
        (self.offset, self.chunk_size, self.chunk_offset) = (chunk.offset, chunk.size, chunk_offset);
        self.chunk_digest = Some(chunk.digest);
    }
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}
