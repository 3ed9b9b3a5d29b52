//! Changing hash parts of store paths in bytes that go by.

use std::io::{self, Write};

use bstr::ByteSlice;

/// The length of a hash part.
const LENGTH: usize = 32;

/// A hash part, and the one to be in its place.
pub(crate) type Replacement = ([u8; LENGTH], [u8; LENGTH]);

/// Passes bytes on with some hash parts replaced, also across the borders of writes.
pub(crate) struct Rewriter<'a, W> {
    inner: W,
    replacements: &'a [Replacement],
    pending: Vec<u8>,
}

impl<'a, W: Write> Rewriter<'a, W> {
    pub fn new(inner: W, replacements: &'a [Replacement]) -> Self {
        Self { inner, replacements, pending: Vec::new() }
    }

    /// Passes the rest on.
    pub fn finish(mut self) -> io::Result<W> {
        self.inner.write_all(&self.pending)?;
        Ok(self.inner)
    }
}

impl<W: Write> Write for Rewriter<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.replacements.is_empty() {
            return self.inner.write(bytes);
        }
        self.pending.extend_from_slice(bytes);
        for (from, to) in self.replacements {
            let mut start = 0;
            while let Some(found) = self.pending[start..].find(from) {
                self.pending[start + found..start + found + LENGTH].copy_from_slice(to);
                start += found + LENGTH;
            }
        }
        // What is left may be the beginning of a hash part.
        let settled = self.pending.len().saturating_sub(LENGTH - 1);
        self.inner.write_all(&self.pending[..settled])?;
        self.pending.drain(..settled);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn replaced_however_the_bytes_are_cut(before in 0usize..80, between in 0usize..40, cut in 1usize..90) {
            let [a, b, c, d] = [b'a', b'b', b'c', b'd'].map(|byte| {
                let mut part = [byte; LENGTH];
                part[0] = b'0';
                part
            });
            let text = |one: [u8; LENGTH], other: [u8; LENGTH]| {
                [&vec![b'x'; before], &one[..], &vec![b'-'; between], &other, &one, b"end"].concat()
            };
            let replacements = [(a, c), (b, d)];
            let mut rewriter = Rewriter::new(Vec::new(), &replacements);
            for piece in text(a, b).chunks(cut) {
                rewriter.write_all(piece).unwrap();
            }
            prop_assert_eq!(rewriter.finish().unwrap(), text(c, d));
        }
    }
}
