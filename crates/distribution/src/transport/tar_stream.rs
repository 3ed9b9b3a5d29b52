//! A tar stream that goes to a file, a program or a daemon while it is made.

use std::collections::BTreeMap;
use std::io::{self, Write};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{StreamExt, stream};
use image::{Digest, Hashing};
use store::progress::Task;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::byte_stream::{ByteStream, WAITING, unwrapped};
use crate::error::Error;

const BLOCK: u64 = 512;
/// Two empty blocks end a tar.
const END: &[u8] = &[0; 2 * BLOCK as usize];

/// A tar that somebody takes while it is made.
pub(crate) struct TarStream {
    /// `None` is the end; that the channel is closed without it is none.
    pieces: Option<mpsc::Sender<Option<Bytes>>>,
    consumer: Option<JoinHandle<Result<(), Error>>>,
    /// The name of each blob in the archive.
    pub members: BTreeMap<Digest, String>,
    /// How many members are not named by a digest.
    pub nameless: usize,
}

impl TarStream {
    /// A tar of which `consume` takes the bytes. Those end in an error if it is given up.
    pub fn start(consume: impl FnOnce(ByteStream) -> BoxFuture<'static, Result<(), Error>>) -> TarStream {
        let (pieces, receiver) = mpsc::channel(WAITING);
        let consumer = Some(tokio::spawn(consume(until_end(receiver))));
        TarStream { pieces: Some(pieces), consumer, members: BTreeMap::new(), nameless: 0 }
    }

    /// Lets who takes the archive know that there is no more of it, and waits until it has seen that.
    pub async fn give_up(&mut self) {
        self.pieces = None;
        if let Some(consumer) = self.consumer.take() {
            // That it failed is no news.
            let _ = consumer.await;
        }
    }

    /// Directories are said explicitly, since skopeo gives those that are not in an archive to root, which an ordinary
    /// user may not do.
    async fn directories(&mut self) -> Result<(), Error> {
        for name in ["blobs/", "blobs/sha256/"] {
            self.send(directory(name)).await?;
        }
        Ok(())
    }

    /// Begins a member, of which [`TarStream::content`] is to follow.
    pub async fn begin(&mut self, name: &str, size: u64) -> Result<(), Error> {
        if self.members.is_empty() {
            self.directories().await?;
        }
        self.send(header(name, size)).await
    }

    /// A name for a member whose digest is not known yet.
    pub fn nameless_member(&mut self) -> String {
        self.nameless += 1;
        format!("layer-{}.tar", self.nameless)
    }

    /// Writes the content of a member, which must have its size; its digest.
    pub async fn content(&mut self, mut bytes: ByteStream, size: u64, task: &Task<'_>) -> Result<Digest, Error> {
        let (mut hash, mut left) = (Hashing::new(io::sink()), size);
        let wrong = || {
            let reason = format!("it does not have the {size} bytes that it should have");
            Error::Unusable { what: "a layer".to_owned(), reason }
        };
        while let Some(piece) = bytes.next().await {
            let piece = piece.map_err(|error| unwrapped(error, "a layer"))?;
            left = left.checked_sub(piece.len() as u64).ok_or_else(wrong)?;
            hash.write_all(&piece).map_err(|error| unwrapped(error, "a layer"))?;
            task.advance(piece.len() as u64);
            self.send(piece).await?;
        }
        if left > 0 {
            return Err(wrong());
        }
        self.send(padding(size)).await?;
        Ok(hash.finish().0)
    }

    /// Writes a small file.
    pub async fn file(&mut self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let size = bytes.len() as u64;
        self.send(header(name, size)).await?;
        self.send(Bytes::copy_from_slice(bytes)).await?;
        self.send(padding(size)).await
    }

    async fn send(&mut self, piece: Bytes) -> Result<(), Error> {
        if piece.is_empty() {
            return Ok(());
        }
        match &self.pieces {
            Some(pieces) if pieces.send(Some(piece)).await.is_ok() => Ok(()),
            _ => Err(self.consumers_error().await),
        }
    }

    /// Why the consumer reads no more.
    async fn consumers_error(&mut self) -> Error {
        self.pieces = None;
        let ended = match self.consumer.take() {
            Some(consumer) => consumer.await.unwrap_or_else(|error| Err(Error::Settings(error.to_string()))),
            None => Ok(()),
        };
        ended.err().unwrap_or_else(|| Error::Settings("the archive was not read to its end".to_owned()))
    }

    /// Ends the tar, and waits until it was taken.
    pub async fn end(&mut self) -> Result<(), Error> {
        self.send(Bytes::from_static(END)).await?;
        if let Some(pieces) = self.pieces.take() {
            // A consumer that has ended says itself how.
            let _ = pieces.send(None).await;
        }
        match self.consumer.take() {
            Some(consumer) => consumer.await.unwrap_or_else(|error| Err(Error::Settings(error.to_string()))),
            None => Ok(()),
        }
    }
}

/// The pieces up to the end. That they stop without one is an error, so that nobody takes a part for the whole.
fn until_end(receiver: mpsc::Receiver<Option<Bytes>>) -> ByteStream {
    let next = |mut receiver: mpsc::Receiver<Option<Bytes>>| async move {
        match receiver.recv().await {
            Some(piece) => Ok(piece.map(|piece| (piece, receiver))),
            None => Err(io::Error::new(io::ErrorKind::Interrupted, "the image was given up")),
        }
    };
    stream::try_unfold(receiver, next).boxed()
}

fn header(name: &str, size: u64) -> Bytes {
    block(name, size, tar::EntryType::Regular, 0o444)
}

fn directory(name: &str) -> Bytes {
    block(name, 0, tar::EntryType::Directory, 0o755)
}

/// No time and no owner, so that the same image gives the same archive. Names here are shorter than a header's field.
fn block(name: &str, size: u64, kind: tar::EntryType, mode: u32) -> Bytes {
    let mut header = tar::Header::new_gnu();
    header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_cksum();
    Bytes::copy_from_slice(header.as_bytes())
}

fn padding(size: u64) -> Bytes {
    let over = (size % BLOCK) as usize;
    if over == 0 { Bytes::new() } else { Bytes::from_static(&END[over..BLOCK as usize]) }
}
