//! A stream that another thread writes.

use std::io::{self, BufWriter, Read, Write};

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::error::ImageError;

/// The size of the pieces that go from one thread to the other, and how many may wait.
const PIECE: usize = 256 << 10;
const WAITING: usize = 8;

/// The reading end. Dropping it ends the writing thread at its next write.
pub struct BlobReader {
    pieces: Receiver<io::Result<Vec<u8>>>,
    current: Vec<u8>,
    position: usize,
    ended: bool,
}

struct PieceWriter(Sender<io::Result<Vec<u8>>>);

impl BlobReader {
    /// Runs `write` in a thread and gives what it writes; its error comes after the last byte.
    pub(crate) fn spawn(write: impl FnOnce(&mut dyn Write) -> Result<(), ImageError> + Send + 'static) -> Self {
        let (sender, pieces) = bounded(WAITING);
        std::thread::spawn(move || {
            let mut out = BufWriter::with_capacity(PIECE, PieceWriter(sender.clone()));
            let result = write(&mut out).map_err(io::Error::from).and_then(|()| out.flush());
            // An empty piece says that nothing is missing. The reader may have gone; then nobody wants to know.
            let _ = sender.send(result.map(|()| Vec::new()));
        });
        Self { pieces, current: Vec::new(), position: 0, ended: false }
    }

    /// The next piece of the stream, `None` at its end. For callers that pass pieces on whole.
    ///
    /// # Errors
    /// Those of the writing thread.
    pub fn next_piece(&mut self) -> io::Result<Option<Vec<u8>>> {
        if self.position < self.current.len() {
            let rest = self.current.split_off(self.position);
            self.current.clear();
            self.position = 0;
            return Ok(Some(rest));
        }
        if self.ended {
            return Ok(None);
        }
        let gone = |_| io::Error::other("the thread that makes a layer's bytes has ended before them");
        let piece = self.pieces.recv().map_err(gone)??;
        self.ended = piece.is_empty();
        Ok(Some(piece).filter(|piece| !piece.is_empty()))
    }
}

impl Read for BlobReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.position == self.current.len() {
            self.current = self.next_piece()?.unwrap_or_default();
            self.position = 0;
        }
        let read = buffer.len().min(self.current.len() - self.position);
        buffer[..read].copy_from_slice(&self.current[self.position..self.position + read]);
        self.position += read;
        Ok(read)
    }
}

impl Write for PieceWriter {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        if !data.is_empty() {
            self.0.send(Ok(data.to_vec())).map_err(|_| io::ErrorKind::BrokenPipe)?;
        }
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::io_error;

    #[test]
    fn bytes_and_errors_come_through_and_a_panic_is_an_error() {
        let data: Vec<u8> = (0..3 * PIECE + 5).map(|i| i as u8).collect();
        let sent = data.clone();
        let mut read = Vec::new();
        BlobReader::spawn(move |out| out.write_all(&sent).map_err(io_error("cannot write")))
            .read_to_end(&mut read)
            .unwrap();
        assert!(read == data);

        let failing = BlobReader::spawn(|_| Err(ImageError::Definition("no".to_owned())));
        assert_eq!(io::read_to_string(failing).unwrap_err().to_string(), "no");

        let panicking = BlobReader::spawn(|_| panic!("on purpose"));
        assert!(io::read_to_string(panicking).unwrap_err().to_string().contains("has ended before"));
    }
}
