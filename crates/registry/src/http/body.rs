//! The bodies of answers: nothing, some bytes, or a blob that is read while it is sent.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::task::JoinHandle;

use crate::storage::BlobReader;

/// How much of a blob is read at once. The next piece is read while one is sent, so a transfer holds two.
const PIECE: usize = 512 * 1024;

/// The body of an answer.
pub enum Answer {
    /// Nothing.
    Empty,
    /// Bytes in memory.
    Full(Bytes),
    /// A part of a blob.
    Blob(BlobStream),
}

/// A piece being read, with the reader to read the next one.
type Reading = JoinHandle<(Box<dyn BlobReader>, io::Result<Bytes>)>;

/// A part of a blob, read on blocking threads one piece ahead. A slow client occupies none of them.
pub struct BlobStream {
    next: Option<Reading>,
    /// Where the piece after `next` starts.
    offset: u64,
    end: u64,
    /// How much is still to be handed to the client.
    remaining: u64,
}

impl BlobStream {
    /// The bytes from `start` to `end`.
    pub fn new(reader: Box<dyn BlobReader>, start: u64, end: u64) -> BlobStream {
        let mut stream = BlobStream { next: None, offset: start, end, remaining: end - start };
        stream.read_ahead(reader);
        stream
    }

    fn read_ahead(&mut self, mut reader: Box<dyn BlobReader>) {
        let length = (self.end - self.offset).min(PIECE as u64) as usize;
        if length == 0 {
            return;
        }
        let offset = self.offset;
        self.offset += length as u64;
        self.next = Some(tokio::task::spawn_blocking(move || {
            let piece = reader.read_at(offset, length);
            let piece = piece.and_then(|piece| {
                let whole = piece.len() == length;
                if whole { Ok(piece) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
            });
            (reader, piece)
        }));
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let Some(reading) = &mut self.next else { return Poll::Ready(None) };
        let done = ready!(Pin::new(reading).poll(cx));
        self.next = None;
        let (reader, piece) = match done {
            Ok(done) => done,
            Err(error) => return Poll::Ready(Some(Err(io::Error::other(error)))),
        };
        if let Ok(piece) = &piece {
            self.remaining -= piece.len() as u64;
            self.read_ahead(reader);
        }
        Poll::Ready(Some(piece.map(Frame::data)))
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match &mut *self {
            Answer::Empty => Poll::Ready(None),
            Answer::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                *self = Answer::Empty;
                Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
            }
            Answer::Blob(stream) => stream.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.size_hint().exact() == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(match self {
            Answer::Empty => 0,
            Answer::Full(bytes) => bytes.len() as u64,
            Answer::Blob(stream) => stream.remaining,
        })
    }
}
