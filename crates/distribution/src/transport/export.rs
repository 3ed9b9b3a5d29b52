//! Archives that are read once while they come: what `docker save` and `podman save` write.
//!
//! Layers come before the documents that say what they are, so they are passed on as they come, compressed on the way if
//! that is wanted, and the manifest is made at the end, as `exported.rs` says.

use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use image::media::Descriptor;
use image::{Compression, Digest, Encoder, Hashing};
use tokio::sync::mpsc;

use crate::blob::Blob;
use crate::byte_stream::{BlockingReader, ByteStream, WAITING, of_channel, wrapped};
use crate::error::Error;
use crate::transport::exported::{Documents, digest_of_name, normal};

/// No document of an image is larger, and all of them together are not.
const DOCUMENT_LIMIT: u64 = 16 << 20;
const DOCUMENTS_LIMIT: u64 = 64 << 20;
const MAX_MEMBERS: usize = 100_000;
const HEAD: usize = 512;
/// Where a tar header says that it is one.
const MAGIC: usize = 257;

/// An image that comes as an archive, as often as it is asked for.
pub(crate) struct Export {
    name: String,
    open: Box<dyn Fn() -> ByteStream + Send + Sync>,
    id: Box<dyn Fn() -> BoxFuture<'static, Result<Digest, Error>> + Send + Sync>,
}

/// What comes out of an archive.
pub(crate) enum Event {
    /// A layer, whose bytes have to be taken before the next event comes.
    Layer(Box<ExportedBlob>),
    /// All that was not a layer.
    End(Documents),
}

/// A layer on its way out of an archive.
pub(crate) struct ExportedBlob {
    /// Its name in the archive.
    pub member: String,
    /// The digest that the name says, before compression on the way.
    pub named: Option<Digest>,
    size: u64,
    /// Whether it is compressed on the way: then neither digest nor size is known before its end.
    compressing: bool,
    as_stored: Descriptor,
    bytes: Mutex<Option<ByteStream>>,
    found: Arc<Mutex<Option<Descriptor>>>,
}

impl Export {
    /// What `open` gives; `id` looks up the digest of its configuration, which takes no archive.
    pub fn new(
        name: String,
        open: impl Fn() -> ByteStream + Send + Sync + 'static,
        id: impl Fn() -> BoxFuture<'static, Result<Digest, Error>> + Send + Sync + 'static,
    ) -> Export {
        Export { name, open: Box::new(open), id: Box::new(id) }
    }

    /// The digest of the image's configuration.
    pub async fn id(&self) -> Result<Digest, Error> {
        (self.id)().await
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Reads it once. Layers that are not compressed are compressed as `compression` says.
    pub fn events(&self, compression: Compression) -> mpsc::Receiver<Result<Event, Error>> {
        let (sender, receiver) = mpsc::channel(1);
        let reader = BlockingReader::new((self.open)());
        let name = self.name.clone();
        tokio::task::spawn_blocking(move || {
            let ended = walk(reader, compression, &sender).map_err(|error| crate::byte_stream::unwrapped(error, &name));
            // Who does not listen any more does not want to know.
            let _ = sender.blocking_send(ended.map(Event::End));
        });
        receiver
    }
}

impl Blob for ExportedBlob {
    fn open(&self, skip: u64) -> ByteStream {
        let bytes = self.bytes.lock().ok().and_then(|mut bytes| bytes.take()).filter(|_| skip == 0);
        bytes.unwrap_or_else(|| {
            let (registry, action) = ("the archive".to_owned(), "read a layer".to_owned());
            let message = "it comes only once, and the connection broke".to_owned();
            let error = wrapped(Error::Unreachable { registry, action, message });
            Box::pin(futures_util::stream::once(async move { Err(error) }))
        })
    }

    fn known(&self) -> Option<Descriptor> {
        let found = self.found.lock().ok().and_then(|found| found.clone());
        found.or_else(|| (self.named.is_some() && !self.compressing).then(|| self.as_stored.clone()))
    }

    fn size(&self) -> Option<u64> {
        (!self.compressing).then_some(self.size)
    }

    fn repeats(&self) -> bool {
        false
    }
}

type Events = mpsc::Sender<Result<Event, Error>>;

fn walk(reader: impl Read, compression: Compression, events: &Events) -> io::Result<Documents> {
    let mut documents = Documents::default();
    let (mut total, mut members) = (0, 0);
    let mut archive = tar::Archive::new(reader);
    for entry in archive.entries()? {
        let mut entry = entry?;
        members += 1;
        if members > MAX_MEMBERS {
            return Err(io::Error::other(format!("it has more than {MAX_MEMBERS} members")));
        }
        let Some(name) = normal(&String::from_utf8_lossy(&entry.path_bytes())) else { continue };
        let kind = entry.header().entry_type();
        if kind.is_symlink() || kind.is_hard_link() {
            let target = String::from_utf8_lossy(&entry.link_name_bytes().unwrap_or_default()).into_owned();
            documents.links.insert(name.clone(), if kind.is_symlink() { beside(&name, &target) } else { target });
            continue;
        }
        if !kind.is_file() {
            continue;
        }
        let size = entry.size();
        let mut head = Vec::with_capacity(HEAD);
        entry.by_ref().take(HEAD as u64).read_to_end(&mut head)?;
        if is_document(&name, &head, size) {
            total += size;
            if total > DOCUMENTS_LIMIT {
                return Err(io::Error::other("its documents are larger than those of any image"));
            }
            entry.read_to_end(&mut head)?;
            documents.files.insert(name, head);
        } else if !layer(name, size, &head, &mut entry, compression, events)? {
            return Ok(documents);
        }
    }
    Ok(documents)
}

/// Whether a member is no layer: JSON, or one of the small files of old archives.
fn is_document(name: &str, head: &[u8], size: u64) -> bool {
    let is_tar = head.get(MAGIC..MAGIC + 5) == Some(b"ustar");
    let is_json = matches!(head.first(), Some(b'{' | b'['));
    let is_small =
        name.ends_with(".json") || ["oci-layout", "repositories"].contains(&name) || name.ends_with("/VERSION");
    size <= DOCUMENT_LIMIT && !is_tar && (is_json || is_small)
}

/// Passes a layer on; false if nobody wants any more.
fn layer(
    member: String,
    size: u64,
    head: &[u8],
    rest: &mut impl Read,
    wanted: Compression,
    events: &Events,
) -> io::Result<bool> {
    let stored = Compression::detect(head);
    let compressing = stored == Compression::None && wanted != Compression::None;
    let named = digest_of_name(&member);
    let (pieces, receiver) = mpsc::channel(WAITING);
    let found = Arc::new(Mutex::new(None));
    let as_stored = Descriptor::new(stored.media_type(), named.unwrap_or_else(|| Digest::of(b"")), size);
    let blob = ExportedBlob {
        member,
        named,
        size,
        compressing,
        as_stored,
        bytes: Mutex::new(Some(of_channel(receiver))),
        found: Arc::clone(&found),
    };
    if events.blocking_send(Ok(Event::Layer(Box::new(blob)))).is_err() {
        return Ok(false);
    }
    let content = head.chain(rest);
    let passed = pass(content, size, if compressing { wanted } else { Compression::None }, stored, named, &pieces);
    match passed {
        Ok(descriptor) => {
            if let Ok(mut found) = found.lock() {
                *found = Some(descriptor);
            }
        }
        // It was not wanted after all.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        Err(error) => {
            let _ = pieces.blocking_send(Err(error));
        }
    }
    Ok(true)
}

/// Writes a layer's bytes, compressed as `compression` says, and gives what was written.
fn pass(
    mut content: impl Read,
    size: u64,
    compression: Compression,
    stored: Compression,
    named: Option<Digest>,
    pieces: &mpsc::Sender<io::Result<Bytes>>,
) -> io::Result<Descriptor> {
    let out = io::BufWriter::with_capacity(256 << 10, Pieces(pieces));
    let mut out = Hashing::new(Encoder::new(Hashing::new(out), compression)?);
    io::copy(&mut content, &mut out)?;
    let (digest, length, encoder) = out.finish();
    if length != size {
        let message = format!("the archive is cut off: {length} of the {size} bytes of a layer came");
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
    }
    if let Some(expected) = named.filter(|expected| *expected != digest) {
        let (what, registry) = ("a layer".to_owned(), "the archive".to_owned());
        let (expected, found) = (expected.to_string(), digest.to_string());
        return Err(wrapped(Error::Corrupt { what, registry, expected, found }));
    }
    let (out, annotations) = encoder.finish_annotated()?;
    let (digest, size, mut out) = out.finish();
    out.flush()?;
    let kind = if compression == Compression::None { stored } else { compression };
    Ok(Descriptor { annotations, ..Descriptor::new(kind.media_type(), digest, size) })
}

struct Pieces<'a>(&'a mpsc::Sender<io::Result<Bytes>>);

impl Write for Pieces<'_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let sent = self.0.blocking_send(Ok(Bytes::copy_from_slice(data)));
        sent.map(|()| data.len()).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What a symbolic link beside `name` leads to.
fn beside(name: &str, target: &str) -> String {
    let mut parts: Vec<_> = name.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            other => parts.push(other),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use futures_util::StreamExt;
    use image::media::Platform;

    use super::*;

    fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
        let mut archive = tar::Builder::new(Vec::new());
        for (name, content) in members {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            archive.append_data(&mut header, name, *content).unwrap();
        }
        archive.into_inner().unwrap()
    }

    /// The IDs of the configuration and the layers that an archive is taken for.
    async fn read(bytes: Vec<u8>) -> Result<(Digest, Vec<Digest>), Error> {
        let open = move || {
            let bytes = Bytes::from(bytes.clone());
            futures_util::stream::once(async move { Ok(bytes) }).boxed()
        };
        let export = Export::new("test".into(), open, || Box::pin(async { Ok(Digest::of(b"")) }));
        let mut events = export.events(Compression::None);
        let mut stored = BTreeMap::new();
        loop {
            match events.recv().await.expect("an end")? {
                Event::Layer(blob) => {
                    let mut pieces = blob.open(0);
                    while let Some(piece) = pieces.next().await {
                        piece.map_err(|error| crate::byte_stream::unwrapped(error, "test"))?;
                    }
                    stored.insert(blob.member.clone(), blob.known().expect("what it was"));
                }
                Event::End(documents) => {
                    let platform = Platform { os: "linux".into(), architecture: "amd64".into(), variant: None };
                    let assembled = documents.assemble(&platform, &stored, "test")?;
                    let crate::documents::Content::Image(image) = &assembled.document.content else {
                        panic!("no image")
                    };
                    let layers = image.layers.iter().map(|layer| layer.digest).collect();
                    return Ok((Digest::of(&assembled.config), layers));
                }
            }
        }
    }

    /// Docker's form before version 25, podman's, and Docker's since then.
    fn saved() -> [Vec<u8>; 3] {
        let layer = archive(&[("file", b"content")]);
        let (hex, config) = (Digest::of(&layer).hex(), br#"{"architecture":"amd64"}"#);
        let id = Digest::of(config).hex();
        let docker = format!(r#"[{{"Config":"{id}.json","Layers":["0a/layer.tar","0b/layer.tar"]}}]"#);
        let podman = format!(r#"[{{"Config":"{id}.json","Layers":["{hex}.tar"]}}]"#);
        let newer = format!(r#"[{{"Config":"blobs/sha256/{id}","Layers":["blobs/sha256/{hex}"]}}]"#);
        let (config_name, blob) = (format!("{id}.json"), |hex: &str| format!("blobs/sha256/{hex}"));
        [
            archive(&[
                (&config_name, config),
                ("0a/VERSION", b"1.0"),
                ("0a/layer.tar", &layer),
                ("0b/layer.tar", &layer),
                ("manifest.json", docker.as_bytes()),
            ]),
            archive(&[(&format!("{hex}.tar"), &layer), (&config_name, config), ("manifest.json", podman.as_bytes())]),
            archive(&[(&blob(&hex), &layer), (&blob(&id), config), ("manifest.json", newer.as_bytes())]),
        ]
    }

    #[tokio::test]
    async fn a_damaged_archive_is_an_error_or_the_image_that_it_says() {
        let mut random = 1u64;
        let mut next = |below: usize| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) as usize % below
        };
        for (form, whole) in saved().into_iter().enumerate() {
            let (id, layers) = read(whole.clone()).await.unwrap();
            assert_eq!(layers.len(), if form == 0 { 2 } else { 1 });
            for _ in 0..300 {
                let mut bytes = whole.clone();
                match next(3) {
                    0 => bytes.truncate(next(whole.len())),
                    1 => bytes[next(whole.len())] ^= 1 << next(8),
                    _ => bytes
                        .splice(next(whole.len()) / 512 * 512.., whole[next(whole.len()) / 512 * 512..].to_vec())
                        .for_each(drop),
                }
                match read(bytes).await {
                    // In the older forms names do not hold what they name to anything.
                    Ok((found, kept)) if form == 2 => assert_eq!((found, kept), (id, layers.clone())),
                    Ok(_) | Err(_) => {}
                }
            }
        }
    }
}
