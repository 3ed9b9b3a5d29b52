//! How much an archive may make of how little.

use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;

/// What is always allowed, in bytes.
const FREE: u64 = 1 << 30;
/// Beyond that, how many bytes may come of each. Deflate cannot do more than 1,032, and sources are far from it.
const MOST_EXPANSION: u64 = 1000;
/// The most that the names of all entries may take in memory, in bytes.
const MOST_NAMES: u64 = 512 << 20;
/// What an entry takes in memory beside its name, about.
const ENTRY: u64 = 96;

/// How many bytes of the archive have been read.
pub(super) type Counter = Rc<Cell<u64>>;

/// Counts what is read through it.
pub(super) struct Taken<R> {
    pub inner: R,
    pub counter: Counter,
}

impl<R: Read> Read for Taken<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.counter.set(self.counter.get() + count as u64);
        Ok(count)
    }
}

/// What has come of an archive so far.
pub(super) struct Bounds {
    taken: Counter,
    written: u64,
    names: u64,
}

impl Bounds {
    pub fn new(taken: Counter) -> Self {
        Self { taken, written: 0, names: 0 }
    }

    /// Some bytes of a file were written.
    pub fn content(&mut self, count: u64) -> io::Result<()> {
        self.written += count;
        if self.written > FREE && self.written / MOST_EXPANSION > self.taken.get() {
            let message = format!("it unpacks to more than {MOST_EXPANSION} times its size, as no sources do");
            return Err(io::Error::other(message));
        }
        Ok(())
    }

    /// An entry was made.
    pub fn name(&mut self, length: usize) -> Result<(), String> {
        self.names += length as u64 + ENTRY;
        if self.names > MOST_NAMES { Err("it has more entries than any sources".to_owned()) } else { Ok(()) }
    }
}

/// Lets only so much through at a time.
pub(super) struct Rationed<R> {
    pub inner: R,
    pub ration: Rc<Cell<u64>>,
}

impl<R: Read> Read for Rationed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let ration = self.ration.get();
        if ration == 0 && !buffer.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the header of an entry is too long"));
        }
        let length = buffer.len().min(usize::try_from(ration).unwrap_or(usize::MAX));
        let count = self.inner.read(&mut buffer[..length])?;
        self.ration.set(ration - count as u64);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_grows_too_much_ends() {
        let taken = Counter::default();
        let mut bounds = Bounds::new(taken.clone());
        assert!(bounds.content(FREE).is_ok());
        assert!(bounds.content(1).is_err());
        taken.set(FREE);
        assert!(bounds.content(FREE).is_ok());
        assert!(bounds.name(usize::try_from(MOST_NAMES).unwrap()).is_err());
    }
}
