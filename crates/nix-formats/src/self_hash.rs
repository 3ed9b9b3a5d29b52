//! The hash of an object that contains its own store path.
//!
//! The path depends on the hash, so the hash is of the bytes with every mention of the path's hash part blanked, and
//! of the places where it was. Nix calls it the hash modulo self-references (`HashModuloSink` in `libstore`). Some of its
//! versions leave the places out, 2.34.8 among them, and take nothing else into their stores.

use std::io::{self, Write};

use crate::hash::{Hash, HashAlgo, Hasher};
use crate::store_path::HASH_LEN;

/// Whether the places of the mentions count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Places {
    /// They do.
    Counted,
    /// They do not, as in Nix 2.34.
    LeftOut,
}

/// Hashes what is written to it modulo one hash part. Without a mention it is the plain hash.
#[derive(Clone)]
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
    pub fn finish(self) -> Hash {
        self.finish_as(Places::Counted)
    }

    /// The same, as this or that version of Nix has it.
    pub fn finish_as(mut self, places: Places) -> Hash {
        self.hasher.update(&self.pending);
        if places == Places::Counted {
            for position in &self.mentions {
                self.hasher.update(format!("|{position}").as_bytes());
            }
        }
        self.hasher.finish()
    }

    /// Both hashes: the one with the places, and the one without.
    pub fn finish_both(self) -> [Hash; 2] {
        let without = self.clone().finish_as(Places::LeftOut);
        [self.finish(), without]
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

    /// The object is what `nix store make-content-addressed` of Nix 2.34.8 makes of one that mentions itself.
    #[test]
    fn as_versions_have_it_that_leave_the_places_out() {
        let part = "420l3rlf88qa1c7wbwfs9dgacgggrlkj";
        let path = format!("/nix/store/{part}-selfref");
        let content = format!("hi {path} {path}/x\n{path}\n");
        let mut nar = crate::nar::Writer::new(Vec::new()).unwrap();
        nar.open_file(false, content.len() as u64).unwrap();
        nar.content(content.as_bytes()).unwrap();
        nar.close_file().unwrap();
        let mut hasher = SelfHasher::new(HashAlgo::Sha256, part);
        hasher.write_all(&nar.finish().unwrap()).unwrap();
        let [counted, left_out] = hasher.finish_both();
        assert_eq!(left_out.to_nix32(), "00l7kg08blik27alk9z41lcr0224kixml9dxlibshlk1ldid2sqb");
        assert_eq!(counted.to_nix32(), "1hzkngigb1zgj075gs0js265bqq3r7g42pjpd1sqrqf8fm5xdiyr");
    }

    #[test]
    fn without_mention_it_is_the_plain_hash() {
        let mut hasher = SelfHasher::new(HashAlgo::Sha256, PART);
        hasher.write_all(b"plain").unwrap();
        assert_eq!(hasher.finish(), Hash::of(HashAlgo::Sha256, b"plain"));
    }
}
