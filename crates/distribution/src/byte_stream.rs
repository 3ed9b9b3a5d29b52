//! The bytes of a blob as they come, from whatever gives them.

use std::io::{self, Read, Write};

use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, stream};
use image::{BlobReader, Digest, Hashing};
use tokio::sync::mpsc;

use crate::error::Error;

/// How much is read from a file at once.
const PIECE: usize = 256 << 10;
/// How many pieces wait for who takes them.
pub(crate) const WAITING: usize = 4;

/// Pieces of bytes, or why there are no more. An [`Error`] may be inside the `io::Error`: [`unwrapped`] gives it back.
pub(crate) type ByteStream = BoxStream<'static, io::Result<Bytes>>;

/// What comes through a channel, to its end.
pub(crate) fn of_channel(receiver: mpsc::Receiver<io::Result<Bytes>>) -> ByteStream {
    stream::unfold(receiver, |mut receiver| async move { Some((receiver.recv().await?, receiver)) }).boxed()
}

/// What another thread writes, without its first `skip` bytes.
pub(crate) fn of_layer(reader: BlobReader, skip: u64) -> ByteStream {
    let (sender, receiver) = mpsc::channel(WAITING);
    tokio::task::spawn_blocking(move || {
        if let Err(error) = forward(reader, &sender) {
            // Who does not listen any more does not want to know.
            let _ = sender.blocking_send(Err(error));
        }
    });
    without_first(of_channel(receiver), skip)
}

/// Passes pieces on until the end, or until nobody wants them any more.
fn forward(mut reader: BlobReader, pieces: &mpsc::Sender<io::Result<Bytes>>) -> io::Result<()> {
    while let Some(piece) = reader.next_piece()? {
        if pieces.blocking_send(Ok(piece.into())).is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// What a reader gives, which is opened and read where it may block.
pub(crate) fn of_reader<R: Read>(open: impl FnOnce() -> io::Result<R> + Send + 'static) -> ByteStream {
    let (sender, receiver) = mpsc::channel(WAITING);
    tokio::task::spawn_blocking(move || {
        let read = |sender: &mpsc::Sender<io::Result<Bytes>>| -> io::Result<()> {
            let mut reader = open()?;
            loop {
                let mut piece = Vec::with_capacity(PIECE);
                reader.by_ref().take(PIECE as u64).read_to_end(&mut piece)?;
                if piece.is_empty() || sender.blocking_send(Ok(piece.into())).is_err() {
                    return Ok(());
                }
            }
        };
        if let Err(error) = read(&sender) {
            let _ = sender.blocking_send(Err(error));
        }
    });
    of_channel(receiver)
}

/// The same bytes without the first `skip`, for what cannot be read from the middle.
pub(crate) fn without_first(bytes: ByteStream, skip: u64) -> ByteStream {
    let next = |(mut bytes, mut skip): (ByteStream, u64)| async move {
        while let Some(piece) = bytes.next().await.transpose()? {
            let skipped = skip.min(piece.len() as u64);
            skip -= skipped;
            let piece = piece.slice(skipped as usize..);
            if !piece.is_empty() {
                return Ok(Some((piece, (bytes, skip))));
            }
        }
        Ok(None)
    };
    stream::try_unfold((bytes, skip), next).boxed()
}

/// The same bytes, and an error in place of their end if they are not those that the digest and size say.
pub(crate) fn verified(bytes: ByteStream, digest: Digest, size: u64, from: String) -> ByteStream {
    let state = (bytes, Hashing::new(io::sink()), size);
    let next = move |(mut bytes, mut hash, left): (ByteStream, Hashing<io::Sink>, u64)| {
        let from = from.clone();
        async move {
            let Some(piece) = bytes.next().await.transpose()? else {
                let (found, _, _) = hash.finish();
                return if found == digest { Ok(None) } else { Err(wrong(digest, found.to_string(), from)) };
            };
            let Some(left) = left.checked_sub(piece.len() as u64) else {
                return Err(wrong(digest, format!("more than {size} bytes"), from));
            };
            hash.write_all(&piece)?;
            Ok(Some((piece, (bytes, hash, left))))
        }
    };
    stream::try_unfold(state, next).boxed()
}

fn wrong(digest: Digest, found: String, registry: String) -> io::Error {
    wrapped(Error::Corrupt { what: "a blob".to_owned(), registry, expected: digest.to_string(), found })
}

/// An error that has to pass through an `io` interface.
pub(crate) fn wrapped(error: Error) -> io::Error {
    io::Error::other(error)
}

/// The error that passed through an `io` interface; `what` was being read.
pub(crate) fn unwrapped(error: io::Error, what: &str) -> Error {
    match error.downcast::<Error>() {
        Ok(error) => error,
        Err(error) => match error.downcast::<image::ImageError>() {
            Ok(error) => Error::Image(error),
            Err(error) => Error::Unusable { what: what.to_owned(), reason: error.to_string() },
        },
    }
}

/// An adapter for readers that block, as archives' are.
pub(crate) struct BlockingReader {
    receiver: mpsc::Receiver<io::Result<Bytes>>,
    current: Bytes,
}

impl BlockingReader {
    /// Reads `bytes`, which a task of its own takes as they come.
    pub fn new(mut bytes: ByteStream) -> BlockingReader {
        let (sender, receiver) = mpsc::channel(WAITING);
        tokio::spawn(async move {
            while let Some(piece) = bytes.next().await {
                if sender.send(piece).await.is_err() {
                    return;
                }
            }
        });
        BlockingReader { receiver, current: Bytes::new() }
    }
}

impl Read for BlockingReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.receiver.blocking_recv() {
                Some(piece) => self.current = piece?,
                None => return Ok(0),
            }
        }
        let taken = self.current.split_to(buffer.len().min(self.current.len()));
        buffer[..taken.len()].copy_from_slice(&taken);
        Ok(taken.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::TryStreamExt;

    fn pieces(pieces: &[&'static [u8]]) -> ByteStream {
        stream::iter(pieces.iter().map(|piece| Ok(Bytes::from_static(piece))).collect::<Vec<_>>()).boxed()
    }

    #[tokio::test]
    async fn only_the_bytes_of_the_digest_come_through() {
        let digest = Digest::of(b"abcdef");
        let read = |given: &[&'static [u8]]| {
            let bytes = verified(pieces(given), digest, 6, "here".into());
            async move { bytes.try_concat_bytes().await.map_err(|error| unwrapped(error, "x").to_string()) }
        };
        assert_eq!(read(&[b"abc", b"def"]).await.unwrap(), b"abcdef");
        for wrong in [&[&b"abc"[..]][..], &[b"abcdef", b"g"], &[b"abcdeg"]] {
            assert!(read(wrong).await.unwrap_err().contains("is not what its digest says"));
        }
    }

    trait Concat {
        async fn try_concat_bytes(self) -> io::Result<Vec<u8>>;
    }

    impl Concat for ByteStream {
        async fn try_concat_bytes(self) -> io::Result<Vec<u8>> {
            self.try_fold(Vec::new(), |mut all, piece| async move {
                all.extend_from_slice(&piece);
                Ok(all)
            })
            .await
        }
    }

    #[tokio::test]
    async fn a_blocking_reader_gives_what_comes() {
        let mut reader = BlockingReader::new(pieces(&[b"abc", b"", b"def"]));
        let read = tokio::task::spawn_blocking(move || io::read_to_string(&mut reader)).await.unwrap();
        assert_eq!(read.unwrap(), "abcdef");
    }
}
