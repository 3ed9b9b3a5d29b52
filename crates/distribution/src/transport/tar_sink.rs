//! Writing images as a tar that goes to a file, a program or a daemon while it is made.

use std::collections::BTreeMap;
use std::io::{self, Write};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{StreamExt, stream};
use image::layout::{IMAGE_NAME, REF_NAME};
use image::media::{self, Descriptor, Index, canonical_json};
use image::{Digest, Hashing};
use serde_json::json;
use store::progress::Task;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;

use crate::blob::{Blob, BytesBlob};
use crate::byte_stream::{ByteStream, WAITING, unwrapped, verified};
use crate::documents::{Content, Document};
use crate::error::Error;
use crate::transport::{Abilities, Destination};

const BLOCK: u64 = 512;
/// Two empty blocks end a tar.
const END: &[u8] = &[0; 2 * BLOCK as usize];

/// How the archive says what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flavour {
    /// `index.json`: an OCI layout.
    Oci,
    /// `manifest.json`, as `docker save` writes; the index too, where all blobs are named by their digests.
    Docker,
}

/// An archive on its way.
pub(crate) struct TarSink {
    flavour: Flavour,
    name: Option<String>,
    keeps_digests: bool,
    one_platform: bool,
    state: Mutex<State>,
}

struct State {
    /// `None` is the end; that the channel is closed without it is none.
    pieces: Option<mpsc::Sender<Option<Bytes>>>,
    consumer: Option<JoinHandle<Result<(), Error>>>,
    /// The name of each blob in the archive.
    members: BTreeMap<Digest, String>,
    nameless: usize,
}

impl TarSink {
    /// An archive of one image under `name`, of which `consume` takes the bytes. Those end in an error if the archive is
    /// given up.
    pub fn new(
        flavour: Flavour,
        name: Option<String>,
        keeps_digests: bool,
        consume: impl FnOnce(ByteStream) -> BoxFuture<'static, Result<(), Error>>,
    ) -> TarSink {
        let (pieces, receiver) = mpsc::channel(WAITING);
        let consumer = Some(tokio::spawn(consume(until_end(receiver))));
        let state = State { pieces: Some(pieces), consumer, members: BTreeMap::new(), nameless: 0 };
        TarSink { flavour, name, keeps_digests, one_platform: flavour == Flavour::Docker, state: Mutex::new(state) }
    }

    /// The same for what takes one platform only.
    pub fn one_platform(self) -> TarSink {
        TarSink { one_platform: true, ..self }
    }

    async fn put_blob(&self, blob: &dyn Blob, task: &Task<'_>) -> Result<Descriptor, Error> {
        let mut state = self.state.lock().await;
        if let Some(known) = blob.known().filter(|known| state.members.contains_key(&known.digest)) {
            return Ok(known);
        }
        let size = blob.size().ok_or_else(|| Error::Settings("an archive needs the size of each layer".to_owned()))?;
        let known = blob.known();
        let (name, mut bytes) = match &known {
            Some(known) => {
                let bytes = verified(blob.open(0), known.digest, known.size, "its source".to_owned());
                (member_name(&known.digest), bytes)
            }
            None => {
                state.nameless += 1;
                (format!("layer-{}.tar", state.nameless), blob.open(0))
            }
        };
        state.begin_if_new().await?;
        state.send(header(&name, size)).await?;
        let mut hash = known.is_none().then(|| Hashing::new(io::sink()));
        let mut length = 0;
        while let Some(piece) = bytes.next().await {
            let piece = piece.map_err(|error| unwrapped(error, "a layer"))?;
            length += piece.len() as u64;
            task.advance(piece.len() as u64);
            if let Some(hash) = &mut hash {
                hash.write_all(&piece).map_err(|error| unwrapped(error, "a layer"))?;
            }
            state.send(piece).await?;
        }
        if length != size {
            let reason = format!("it should have {size} bytes and has {length}");
            return Err(Error::Unusable { what: "a layer".to_owned(), reason });
        }
        state.send(padding(size)).await?;
        let descriptor = match (known, hash) {
            (Some(known), _) => known,
            (None, hash) => {
                let digest = hash.map_or_else(|| Digest::of(b""), |hash| hash.finish().0);
                Descriptor::new(image::Compression::None.media_type(), digest, size)
            }
        };
        state.members.insert(descriptor.digest, name);
        Ok(descriptor)
    }

    /// The entry of `manifest.json`.
    fn docker_entry(&self, root: &Document, members: &BTreeMap<Digest, String>) -> Result<Vec<u8>, Error> {
        let Content::Image(image) = &root.content else {
            return Err(Error::Settings("an index cannot be in a docker archive".to_owned()));
        };
        let member = |digest: &Digest| members.get(digest).cloned().unwrap_or_else(|| member_name(digest));
        let layers: Vec<_> = image.layers.iter().map(|layer| member(&layer.digest)).collect();
        let tags: Vec<_> = self.name.iter().collect();
        Ok(canonical_json(&json!([{ "Config": member(&image.config.digest), "RepoTags": tags, "Layers": layers }])))
    }

    fn index(&self, root: &Document) -> Vec<u8> {
        let mut entry = root.descriptor();
        if let Some(name) = &self.name {
            let tag = match name.rsplit_once(':') {
                Some((_, tag)) if !tag.contains('/') => tag,
                _ => name,
            };
            if name.contains('/') {
                entry.annotations.insert(IMAGE_NAME.to_owned(), name.clone());
            }
            entry.annotations.insert(REF_NAME.to_owned(), tag.to_owned());
        }
        canonical_json(&Index {
            schema_version: 2,
            media_type: Some(media::INDEX.to_owned()),
            manifests: vec![entry],
            annotations: BTreeMap::new(),
        })
    }
}

impl Destination for TarSink {
    fn abilities(&self) -> Abilities {
        Abilities { indexes: !self.one_platform, digests: self.keeps_digests, parallel: 1 }
    }

    fn has(&self, digest: Digest) -> BoxFuture<'_, Result<bool, Error>> {
        Box::pin(async move { Ok(self.state.lock().await.members.contains_key(&digest)) })
    }

    fn put<'a>(&'a self, blob: &'a dyn Blob, task: &'a Task<'_>) -> BoxFuture<'a, Result<Descriptor, Error>> {
        Box::pin(self.put_blob(blob, task))
    }

    fn put_document<'a>(&'a self, document: &'a Document) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            let blob = BytesBlob::new(&document.media_type, &document.bytes);
            self.put_blob(&blob, &Task::start(&store::progress::Silent, store::progress::Activity::Pack, "", None))
                .await
                .map(drop)
        })
    }

    fn finish<'a>(&'a self, root: &'a Document) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            let by_digest = self.state.lock().await.nameless == 0;
            if by_digest {
                self.put_document(root).await?;
            }
            let mut state = self.state.lock().await;
            if self.flavour == Flavour::Docker {
                let entry = self.docker_entry(root, &state.members)?;
                state.file("manifest.json", &entry).await?;
            }
            if by_digest {
                state.file("index.json", &self.index(root)).await?;
                state.file("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#).await?;
            }
            state.end().await
        })
    }

    fn abandon(&self) -> BoxFuture<'_, ()> {
        Box::pin(async { self.state.lock().await.give_up().await })
    }
}

impl State {
    /// Lets who takes the archive know that there is no more of it, and waits until it has seen that.
    async fn give_up(&mut self) {
        self.pieces = None;
        if let Some(consumer) = self.consumer.take() {
            // That it failed is no news.
            let _ = consumer.await;
        }
    }

    /// Directories are said explicitly, since skopeo gives those that are not in an archive to root, which an ordinary
    /// user may not do.
    async fn begin_if_new(&mut self) -> Result<(), Error> {
        if self.members.is_empty() && self.nameless <= 1 {
            for name in ["blobs/", "blobs/sha256/"] {
                self.send(directory(name)).await?;
            }
        }
        Ok(())
    }

    async fn file(&mut self, name: &str, bytes: &[u8]) -> Result<(), Error> {
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

    async fn end(&mut self) -> Result<(), Error> {
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

fn member_name(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
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
