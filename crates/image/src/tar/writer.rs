//! Writing a tar stream in large pieces, with one copy of each file's bytes.

use std::io::{self, Read, Write};

use super::BLOCK;
use super::header::{Dialect, Entry, Kind};

/// What the writer collects before it passes it on.
const BUFFER: usize = 1 << 20;
/// Tar programs write in records of twenty blocks, and pad the last one.
const RECORD: u64 = 20 * BLOCK as u64;

/// A tar stream being written to `W`.
pub struct TarWriter<W> {
    out: W,
    dialect: Dialect,
    buffer: Vec<u8>,
    flushed: u64,
}

impl<W: Write> TarWriter<W> {
    /// Begins a stream.
    pub fn new(out: W, dialect: Dialect) -> Self {
        Self { out, dialect, buffer: Vec::with_capacity(BUFFER + BLOCK), flushed: 0 }
    }

    /// Writes a directory or a symbolic link, or an empty file.
    ///
    /// # Errors
    /// Those of the underlying writer.
    pub fn append(&mut self, entry: &Entry<'_>) -> io::Result<()> {
        self.append_file(entry, io::empty())
    }

    /// Writes an entry, and for a file the content that `data` gives, which must be exactly the declared size.
    ///
    /// # Errors
    /// Those of `data` and of the underlying writer, and `UnexpectedEof` where `data` is shorter than declared.
    pub fn append_file(&mut self, entry: &Entry<'_>, data: impl Read) -> io::Result<()> {
        entry.write(self.dialect, &mut self.buffer);
        if let Kind::File(size) = entry.kind {
            self.copy(data, size)?;
            self.pad(BLOCK as u64)?;
        }
        self.flush_full()
    }

    /// Begins a file whose content is then written to what this returns.
    ///
    /// # Errors
    /// Those of the underlying writer.
    pub fn member(&mut self, entry: &Entry<'_>) -> io::Result<Member<'_, W>> {
        entry.write(self.dialect, &mut self.buffer);
        Ok(Member { left: entry.size(), tar: self })
    }

    /// Writes `length` bytes that are already whole members of a tar stream of the same dialect.
    ///
    /// # Errors
    /// As [`TarWriter::append_file`].
    pub fn append_members(&mut self, members: impl Read, length: u64) -> io::Result<()> {
        self.copy(members, length)?;
        self.flush_full()
    }

    /// Ends the stream with two zero blocks and pads it to a whole record.
    ///
    /// # Errors
    /// Those of the underlying writer.
    pub fn finish(mut self) -> io::Result<W> {
        self.buffer.resize(self.buffer.len() + 2 * BLOCK, 0);
        self.pad(RECORD)?;
        self.flush_buffer()?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn copy(&mut self, mut data: impl Read, size: u64) -> io::Result<()> {
        let mut left = size;
        while left > 0 {
            self.flush_full()?;
            let room = ((BUFFER - self.buffer.len()) as u64).min(left);
            let read = data.by_ref().take(room).read_to_end(&mut self.buffer)? as u64;
            left -= read;
            if read < room {
                return Err(shrunk(size, left));
            }
        }
        Ok(())
    }

    fn pad(&mut self, unit: u64) -> io::Result<()> {
        let position = self.flushed + self.buffer.len() as u64;
        let padding = position.next_multiple_of(unit) - position;
        self.buffer.resize(self.buffer.len() + padding as usize, 0);
        self.flush_full()
    }

    fn flush_full(&mut self) -> io::Result<()> {
        if self.buffer.len() >= BUFFER { self.flush_buffer() } else { Ok(()) }
    }

    fn flush_buffer(&mut self) -> io::Result<()> {
        self.out.write_all(&self.buffer)?;
        self.flushed += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

/// The content of a file of a tar stream.
pub struct Member<'a, W> {
    tar: &'a mut TarWriter<W>,
    left: u64,
}

impl<W: Write> Member<'_, W> {
    /// Ends the file.
    ///
    /// # Errors
    /// Those of the underlying writer, and `UnexpectedEof` where less was written than the entry declared.
    pub fn finish(self) -> io::Result<()> {
        if self.left > 0 {
            let message = format!("{} bytes less were written than declared", self.left);
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
        }
        self.tar.pad(BLOCK as u64)
    }
}

impl<W: Write> Write for Member<'_, W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.left = self
            .left
            .checked_sub(data.len() as u64)
            .ok_or_else(|| io::Error::other("more was written than declared"))?;
        if data.len() < BUFFER / 2 {
            self.tar.buffer.extend_from_slice(data);
            self.tar.flush_full()?;
        } else {
            // Large pieces pass by the buffer.
            self.tar.flush_buffer()?;
            self.tar.out.write_all(data)?;
            self.tar.flushed += data.len() as u64;
        }
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn shrunk(size: u64, left: u64) -> io::Error {
    let message = format!("the file ended after {} of {size} bytes while it was being packed", size - left);
    io::Error::new(io::ErrorKind::UnexpectedEof, message)
}
