//! Long contents in frames: each with its length before it, the last of them empty.

use std::io::{self, Write};

/// How much is gathered before a frame is sent.
const FRAME: usize = 64 * 1024;

/// Writes a content in frames.
pub struct FrameWriter<W: Write> {
    inner: W,
    buffer: Vec<u8>,
}

impl<W: Write> FrameWriter<W> {
    /// Frames for this.
    pub fn new(inner: W) -> Self {
        Self { inner, buffer: Vec::with_capacity(FRAME) }
    }

    fn send(&mut self) -> io::Result<()> {
        if !self.buffer.is_empty() {
            self.inner.write_all(&(self.buffer.len() as u64).to_le_bytes())?;
            self.inner.write_all(&self.buffer)?;
            self.buffer.clear();
        }
        Ok(())
    }

    /// Ends the content, also one that is not whole; the daemon waits for it in any case.
    pub fn finish(mut self) -> io::Result<()> {
        self.send()?;
        self.inner.write_all(&[0; 8])?;
        self.inner.flush()
    }
}

impl<W: Write> Write for FrameWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(FRAME - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..taken]);
        if self.buffer.len() == FRAME {
            self.send()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.send()?;
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_is_cut_into_frames() {
        let mut bytes = Vec::new();
        let mut frames = FrameWriter::new(&mut bytes);
        frames.write_all(&vec![1; FRAME + 3]).unwrap();
        frames.finish().unwrap();
        assert_eq!(bytes.len(), FRAME + 3 + 3 * 8);
        assert_eq!(bytes[..8], (FRAME as u64).to_le_bytes());
        assert_eq!(bytes[FRAME + 8..FRAME + 16], 3_u64.to_le_bytes());
    }
}
