//! Finding the store paths that an output refers to, while its bytes go by.

use std::collections::{BTreeSet, HashMap};
use std::io::{self, Write};

use nix_formats::store_path::StorePath;

/// The length of the hash in a store path's name.
const LENGTH: usize = 32;

/// Whether a byte is one of the 32 characters that hashes in store paths are written with.
const IN_HASH: [bool; 256] = {
    let mut table = [false; 256];
    let alphabet = b"0123456789abcdfghijklmnpqrsvwxyz";
    let mut index = 0;
    while index < alphabet.len() {
        table[alphabet[index] as usize] = true;
        index += 1;
    }
    table
};

/// A writer that keeps nothing but which of a set of store paths it has seen. A path counts as seen when its 32
/// hash characters go by, also across the borders of writes.
pub(crate) struct ReferenceScanner {
    wanted: HashMap<[u8; LENGTH], StorePath>,
    found: BTreeSet<StorePath>,
    /// The end of what has gone by, at most one byte shorter than a hash.
    tail: Vec<u8>,
}

impl ReferenceScanner {
    /// Looks for these paths.
    pub fn new<'a>(paths: impl IntoIterator<Item = &'a StorePath>) -> ReferenceScanner {
        let key = |path: &StorePath| <[u8; LENGTH]>::try_from(path.hash_part().as_bytes()).ok();
        let wanted = paths.into_iter().filter_map(|path| Some((key(path)?, path.clone()))).collect();
        ReferenceScanner { wanted, found: BTreeSet::new(), tail: Vec::with_capacity(2 * LENGTH) }
    }

    /// The paths that were seen.
    pub fn found(self) -> BTreeSet<StorePath> {
        self.found
    }

    fn search(&mut self, bytes: &[u8]) {
        let mut start = 0;
        while let Some(window) = bytes.get(start..start + LENGTH) {
            // Backwards, so that ordinary bytes are skipped a whole length at a time.
            match window.iter().rposition(|byte| !IN_HASH[usize::from(*byte)]) {
                Some(outside) => start += outside + 1,
                None => {
                    if let Ok(key) = <&[u8; LENGTH]>::try_from(window)
                        && let Some(path) = self.wanted.get(key)
                        && !self.found.contains(path)
                    {
                        self.found.insert(path.clone());
                    }
                    start += 1;
                }
            }
        }
    }
}

impl Write for ReferenceScanner {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.found.len() == self.wanted.len() {
            return Ok(bytes.len());
        }
        let mut border = std::mem::take(&mut self.tail);
        border.extend_from_slice(&bytes[..bytes.len().min(LENGTH - 1)]);
        self.search(&border);
        self.search(bytes);
        let all = if bytes.len() < LENGTH - 1 { border.as_slice() } else { bytes };
        let tail = all[all.len().saturating_sub(LENGTH - 1)..].to_vec();
        self.tail = tail;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn path(hash: &str) -> StorePath {
        StorePath::from_base_name(format!("{hash}-name")).unwrap()
    }

    proptest! {
        #[test]
        fn found_however_the_bytes_are_cut(before in 0usize..100, between in 0usize..40, cut in 1usize..80) {
            let paths = [path("0c6rn30q4frawknapgwq386zq358m8r6"), path("g1w7hy3qg1w7hy3qg1w7hy3qg1w7hy3q"), path(&"z".repeat(32))];
            let text = [
                "x".repeat(before),
                paths[0].hash_part().to_owned(),
                "0".repeat(between),
                format!("1{}", paths[1].hash_part()),
            ].concat();
            let mut scanner = ReferenceScanner::new(&paths);
            for piece in text.as_bytes().chunks(cut) {
                scanner.write_all(piece).unwrap();
            }
            prop_assert_eq!(scanner.found(), BTreeSet::from([paths[0].clone(), paths[1].clone()]));
        }
    }

    #[test]
    fn nothing_in_ordinary_text() {
        let wanted = path("0c6rn30q4frawknapgwq386zq358m8r6");
        let mut scanner = ReferenceScanner::new([&wanted]);
        scanner.write_all(b"0c6rn30q4frawknapgwq386zq358m8r and e, o, u, t are not in the alphabet").unwrap();
        assert!(scanner.found().is_empty());
    }
}
