//! Writing images as a tar that goes to a file, a program or a daemon while it is made.

use std::collections::BTreeMap;

use futures_util::future::BoxFuture;
use image::Digest;
use image::layout::{IMAGE_NAME, REF_NAME};
use image::media::{self, Descriptor, Index, canonical_json};
use serde_json::json;
use store::progress::Task;
use tokio::sync::Mutex;

use crate::blob::{Blob, BytesBlob};
use crate::byte_stream::ByteStream;
use crate::documents::{Content, Document};
use crate::error::Error;
use crate::transport::tar_stream::TarStream;
use crate::transport::{Abilities, Destination};

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
    state: Mutex<TarStream>,
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
        let state = Mutex::new(TarStream::start(consume));
        TarSink { flavour, name, keeps_digests, one_platform: flavour == Flavour::Docker, state }
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
        let name = match &known {
            Some(known) => member_name(&known.digest),
            None => state.nameless_member(),
        };
        state.begin(&name, size).await?;
        let digest = state.content(blob.open(0), size, task).await?;
        if let Some(known) = known.as_ref().filter(|known| known.digest != digest) {
            let (expected, found) = (known.digest.to_string(), digest.to_string());
            let (what, registry) = ("a blob".to_owned(), "its source".to_owned());
            return Err(Error::Corrupt { what, registry, expected, found });
        }
        state.members.insert(digest, name);
        Ok(known.unwrap_or_else(|| Descriptor::new(image::Compression::None.media_type(), digest, size)))
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

fn member_name(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}
