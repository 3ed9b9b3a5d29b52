//! Numbers of 8 bytes, and strings with their length before and zeros up to a multiple of 8 behind.

use std::collections::BTreeSet;
use std::io::{self, Read, Write};

use thiserror::Error;

use crate::store_path::{StorePath, StorePathError};

/// The longest string that is read, in bytes: log lines and lists of references are far shorter.
const LONGEST_STRING: u64 = 64 * 1024 * 1024;
/// The longest list that is read: more objects than any store has.
const LONGEST_LIST: u64 = 16 * 1024 * 1024;
/// The most elements of a list that room is made for before they have come.
const EXPECTED_ELEMENTS: u64 = 1024;

/// Why what a daemon sends is not understood.
#[derive(Debug, Error)]
pub enum WireError {
    /// The connection failed, or ended.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// What came is not of the protocol.
    #[error("the daemon sends what is not of the worker protocol: {0}")]
    Malformed(String),
    /// A store path is none.
    #[error("the daemon sends what is no store path: {0}")]
    Path(#[from] StorePathError),
}

/// Reads the protocol's values.
pub struct WireReader<R> {
    inner: R,
}

impl<R: Read> WireReader<R> {
    /// Reads from this; it should be buffered.
    pub fn new(inner: R) -> Self {
        Self { inner }
    }

    /// A number.
    pub fn number(&mut self) -> Result<u64, WireError> {
        let mut bytes = [0; 8];
        self.inner.read_exact(&mut bytes).map_err(closed)?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// A yes or no.
    pub fn flag(&mut self) -> Result<bool, WireError> {
        Ok(self.number()? != 0)
    }

    /// A string of any bytes.
    pub fn bytes(&mut self) -> Result<Vec<u8>, WireError> {
        let length = self.number()?;
        if length > LONGEST_STRING {
            return Err(WireError::Malformed(format!("a string of {length} bytes")));
        }
        let mut bytes = Vec::new();
        // Not allocated at once: the length may lie.
        (&mut self.inner).take(length).read_to_end(&mut bytes)?;
        if bytes.len() as u64 != length {
            return Err(closed(io::ErrorKind::UnexpectedEof.into()).into());
        }
        let mut padding = [0; 8];
        let padding = &mut padding[..padding_of(length)];
        self.inner.read_exact(padding).map_err(closed)?;
        match padding.iter().all(|&byte| byte == 0) {
            true => Ok(bytes),
            false => Err(WireError::Malformed("padding that is not zero".to_owned())),
        }
    }

    /// A string; bytes that are no text are replaced.
    pub fn string(&mut self) -> Result<String, WireError> {
        let bytes = self.bytes()?;
        Ok(String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
    }

    /// A list of what `element` reads.
    pub fn list<T>(&mut self, mut element: impl FnMut(&mut Self) -> Result<T, WireError>) -> Result<Vec<T>, WireError> {
        let count = self.number()?;
        if count > LONGEST_LIST {
            return Err(WireError::Malformed(format!("a list of {count} elements")));
        }
        let mut list = Vec::with_capacity(count.min(EXPECTED_ELEMENTS) as usize);
        for _ in 0..count {
            list.push(element(self)?);
        }
        Ok(list)
    }

    /// Strings.
    pub fn strings(&mut self) -> Result<Vec<String>, WireError> {
        self.list(Self::string)
    }

    /// A store path.
    pub fn path(&mut self) -> Result<StorePath, WireError> {
        Ok(StorePath::from_absolute(self.bytes()?)?)
    }

    /// A store path, or nothing.
    pub fn optional_path(&mut self) -> Result<Option<StorePath>, WireError> {
        let bytes = self.bytes()?;
        if bytes.is_empty() { Ok(None) } else { Ok(Some(StorePath::from_absolute(bytes)?)) }
    }

    /// Store paths.
    pub fn paths(&mut self) -> Result<BTreeSet<StorePath>, WireError> {
        Ok(self.list(Self::path)?.into_iter().collect())
    }

    /// What lies below, for contents that are not values of the protocol.
    pub fn inner(&mut self) -> &mut R {
        &mut self.inner
    }
}

/// Writes the protocol's values.
pub struct WireWriter<W> {
    inner: W,
}

impl<W: Write> WireWriter<W> {
    /// Writes to this; it should be buffered.
    pub fn new(inner: W) -> Self {
        Self { inner }
    }

    /// A number.
    pub fn number(&mut self, number: u64) -> io::Result<()> {
        self.inner.write_all(&number.to_le_bytes())
    }

    /// A yes or no.
    pub fn flag(&mut self, flag: bool) -> io::Result<()> {
        self.number(flag.into())
    }

    /// A string of any bytes.
    pub fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.number(bytes.len() as u64)?;
        self.inner.write_all(bytes)?;
        self.inner.write_all(&[0; 8][..padding_of(bytes.len() as u64)])
    }

    /// A string.
    pub fn string(&mut self, text: &str) -> io::Result<()> {
        self.bytes(text.as_bytes())
    }

    /// Strings.
    pub fn strings<T: AsRef<str>>(&mut self, list: &[T]) -> io::Result<()> {
        self.number(list.len() as u64)?;
        list.iter().try_for_each(|text| self.string(text.as_ref()))
    }

    /// A store path.
    pub fn path(&mut self, path: &StorePath) -> io::Result<()> {
        self.string(&path.to_absolute())
    }

    /// Store paths.
    pub fn paths<'a>(&mut self, paths: impl ExactSizeIterator<Item = &'a StorePath>) -> io::Result<()> {
        self.number(paths.len() as u64)?;
        for path in paths {
            self.path(path)?;
        }
        Ok(())
    }

    /// Sends what was written.
    pub fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }

    /// What lies below, for contents that are not values of the protocol.
    pub fn inner(&mut self) -> &mut W {
        &mut self.inner
    }
}

/// An end where more must come is said in words.
fn closed(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => io::Error::new(error.kind(), "it was closed in the middle of an answer"),
        _ => error,
    }
}

fn padding_of(length: u64) -> usize {
    (8 - length as usize % 8) % 8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let path = StorePath::from_absolute("/nix/store/7h7qgvs4kgzsn8a6rb273saxyqh4jxlz-x").unwrap();
        let mut bytes = Vec::new();
        let mut writer = WireWriter::new(&mut bytes);
        writer.number(7).unwrap();
        writer.flag(true).unwrap();
        writer.strings(&["", "12345678", "abc"]).unwrap();
        writer.paths([&path].into_iter()).unwrap();
        writer.string("").unwrap();
        let mut reader = WireReader::new(&bytes[..]);
        assert_eq!((reader.number().unwrap(), reader.flag().unwrap()), (7, true));
        assert_eq!(reader.strings().unwrap(), ["", "12345678", "abc"]);
        assert_eq!(reader.paths().unwrap(), BTreeSet::from([path]));
        assert_eq!(reader.optional_path().unwrap(), None);
        assert!(reader.inner().is_empty());
    }

    #[test]
    fn lengths_that_lie_cost_nothing() {
        for bytes in
            [&[0xff; 8][..], &[0xff, 0xff, 0xff, 1, 0, 0, 0, 0, 1], &[1, 0, 0, 0, 0, 0, 0, 0, 65, 1, 0, 0, 0, 0, 0, 0]]
        {
            assert!(WireReader::new(bytes).bytes().is_err());
            assert!(WireReader::new(bytes).strings().is_err());
        }
    }
}
