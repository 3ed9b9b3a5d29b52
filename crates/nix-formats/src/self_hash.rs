//! The hash of an object that contains its own store path.
//!
//! The path depends on the hash, so the hash is of the bytes with every mention of the path's hash part blanked, and
//! of the places where it was. Nix calls it the hash modulo self-references (`HashModuloSink` in `libstore`).

use std::io::{self, Write};

use crate::hash::{Hash, HashAlgo, Hasher};
use crate::store_path::HASH_LEN;

/// Hashes what is written to it modulo one hash part. Without a mention it is the plain hash.
pub struct SelfHasher {
    hasher: Hasher,
    hash_part: Vec<u8>,
    /// The bytes not hashed yet: fewer than a hash part between two writes.
    pending: Vec<u8>,
    /// How many bytes are hashed.
    hashed: u64,
    mentions: Vec<u64>,
}

impl SelfHasher {
    /// A computation for the object whose store path has this hash part (32 characters).
    pub fn new(algo: HashAlgo, hash_part: &str) -> Self {
        Self {
            hasher: Hasher::new(algo),
            hash_part: hash_part.into(),
            pending: Vec::new(),
            hashed: 0,
            mentions: Vec::new(),
        }
    }

    /// The hash of all that was written.
    pub fn finish(mut self) -> Hash {
        self.hasher.update(&self.pending);
        for position in &self.mentions {
            self.hasher.update(format!("|{position}").as_bytes());
        }
        self.hasher.finish()
    }

    /// Were there mentions so far?
    pub fn found(&self) -> bool {
        !self.mentions.is_empty()
    }
}

impl Write for SelfHasher {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.pending.extend_from_slice(data);
        let mut start = 0;
        while let Some(found) = find(&self.pending[start..], &self.hash_part) {
            let position = start + found;
            self.pending[position..position + HASH_LEN].fill(0);
            self.mentions.push(self.hashed + position as u64);
            start = position + HASH_LEN;
        }
        let settled = start.max(self.pending.len().saturating_sub(HASH_LEN - 1));
        self.hasher.update(&self.pending[..settled]);
        self.pending.drain(..settled);
        self.hashed += settled as u64;
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    bstr::ByteSlice::find(haystack, needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PART: &str = "7h7qgvs4kgzsn8a6rb273saxyqh4jxlz";

    #[test]
    fn mentions_are_found_across_writes() {
        let text = format!("ab{PART}-x {PART}{PART} tail");
        let mut blanked = text.replace(PART, &"\0".repeat(32)).into_bytes();
        blanked.extend_from_slice(b"|2|37|69");
        let expected = Hash::of(HashAlgo::Sha256, &blanked);
        for chunk in 1..40 {
            let mut hasher = SelfHasher::new(HashAlgo::Sha256, PART);
            for piece in text.as_bytes().chunks(chunk) {
                hasher.write_all(piece).unwrap();
            }
            assert!(hasher.found());
            assert_eq!(hasher.finish(), expected, "chunks of {chunk}");
        }
    }

    #[test]
    fn without_mention_it_is_the_plain_hash() {
        let mut hasher = SelfHasher::new(HashAlgo::Sha256, PART);
        hasher.write_all(b"plain").unwrap();
        assert_eq!(hasher.finish(), Hash::of(HashAlgo::Sha256, b"plain"));
    }
}
