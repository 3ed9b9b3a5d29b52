//! One copy in progress: what a source has, an image that is here or an archive that is read once, into a destination.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use futures_util::future::BoxFuture;
use futures_util::{TryStreamExt, stream};
use image::media::{Descriptor, Platform};
use image::{Compression, Digest, Image};
use store::progress::{Activity, Outcome, Progress, Task};

use crate::blob::{Blob, BytesBlob, LayerBlob};
use crate::copy::{Copied, CopyOptions};
use crate::documents::{Content, Document};
use crate::error::Error;
use crate::push::check_tag;
use crate::transport::{Destination, Event, Export, ExportedBlob, Place, Source, remembered};

/// An index may point to an index; deeper than this is a mistake or malice.
pub(crate) const MAX_DEPTH: usize = 4;

/// The host of repositories that are named for the destination's own registry.
pub(crate) const HERE: &str = "";

/// What was moved so far.
#[derive(Default)]
pub(crate) struct Tally {
    up_to_date: AtomicBool,
    bytes: AtomicU64,
    sent: AtomicUsize,
    mounted: AtomicUsize,
}

impl Tally {
    /// Of a copy that had nothing to do.
    pub fn up_to_date() -> Tally {
        Tally { up_to_date: true.into(), ..Tally::default() }
    }

    pub fn copied(self, digest: Digest, changed: Option<String>) -> Copied {
        Copied {
            digest,
            up_to_date: self.up_to_date.into_inner(),
            changed,
            bytes_sent: self.bytes.into_inner(),
            blobs_sent: self.sent.into_inner(),
            blobs_mounted: self.mounted.into_inner(),
        }
    }
}

/// One copy in progress.
pub(crate) struct Copying<'a> {
    destination: &'a dyn Destination,
    mount_from: &'a [String],
    progress: &'a dyn Progress,
    tally: Tally,
}

impl<'a> Copying<'a> {
    pub fn new(destination: &'a dyn Destination, mount_from: &'a [String], progress: &'a dyn Progress) -> Self {
        Self { destination, mount_from, progress, tally: Tally::default() }
    }

    pub async fn end(self, outcome: Result<Digest, Error>, changed: Option<String>) -> Result<Copied, Error> {
        match outcome {
            Ok(digest) => Ok(self.tally.copied(digest, changed)),
            Err(error) => {
                self.destination.abandon().await;
                Err(error)
            }
        }
    }

    /// Copies what a manifest refers to.
    pub fn contents<'b>(
        &'b self,
        source: &'b dyn Source,
        document: &'b Document,
        depth: usize,
    ) -> BoxFuture<'b, Result<(), Error>> {
        Box::pin(async move {
            match &document.content {
                Content::Image(image) => {
                    let mut begun = BTreeSet::new();
                    // An image may have the same layer twice.
                    let blobs = std::iter::once(&image.config).chain(&image.layers);
                    let blobs = blobs.filter(|blob| begun.insert(blob.digest)).map(Ok);
                    let parallel = self.destination.abilities().parallel;
                    stream::iter(blobs)
                        .try_for_each_concurrent(parallel, |wanted| async move {
                            let blob = source.blob(wanted);
                            self.blob(&*blob, source.repository()).await.map(drop)
                        })
                        .await
                }
                Content::Index(_) if depth == MAX_DEPTH => Err(nested(&source.name())),
                Content::Index(index) => {
                    for entry in &index.manifests {
                        let inner = source.document(entry).await?;
                        self.contents(source, &inner, depth + 1).await?;
                        self.destination.put_document(&inner).await?;
                    }
                    Ok(())
                }
            }
        })
    }

    /// Sends a blob, unless the destination has it or can get it in another way.
    async fn blob(&self, blob: &dyn Blob, from: Option<(&str, &str)>) -> Result<Descriptor, Error> {
        if let Some(known) = blob.known() {
            if self.destination.has(known.digest).await? {
                return Ok(known);
            }
            let others = self.mount_from.iter().map(|repository| (HERE, repository.as_str()));
            for place in from.into_iter().chain(others) {
                if self.destination.mount(known.digest, place).await? {
                    self.tally.mounted.fetch_add(1, Ordering::Relaxed);
                    return Ok(known);
                }
            }
        }
        let known = blob.known();
        let name = known.as_ref().map_or_else(|| "a layer".to_owned(), |known| known.digest.to_string());
        let task = Task::start(self.progress, Activity::Push, &name, known.map(|known| known.size));
        let put = self.destination.put(blob, &task).await?;
        self.tally.bytes.fetch_add(put.size, Ordering::Relaxed);
        self.tally.sent.fetch_add(1, Ordering::Relaxed);
        task.finish(Outcome::Done);
        Ok(put)
    }

    /// Puts an image that is here, or the one for each of several platforms and an index of them. A destination that has to
    /// know digests before gets layers without compression.
    pub async fn images(&self, images: &[Image], options: &CopyOptions) -> Result<Digest, Error> {
        let mut manifests = Vec::new();
        for image in images {
            let manifest = self.contents_of(image, options).await?;
            self.blob(&BytesBlob::new(image::media::CONFIG, image.config_bytes()), None).await?;
            manifests.push(manifest);
        }
        let parsed = manifests.iter().map(|bytes| Document::parse(bytes.clone(), None, "of the image"));
        let documents = parsed.collect::<Result<Vec<_>, _>>()?;
        if let [one] = &documents[..] {
            self.destination.finish(one).await?;
            return Ok(one.digest);
        }
        for document in &documents {
            self.destination.put_document(document).await?;
        }
        let index = Document::parse(image::platforms::index(images, &manifests), None, "of the images")?;
        self.destination.finish(&index).await?;
        Ok(index.digest)
    }

    /// Puts the layers of an image; its manifest.
    async fn contents_of(&self, image: &Image, options: &CopyOptions) -> Result<Vec<u8>, Error> {
        let streams = self.destination.abilities().parallel > 1;
        let compression = if streams { options.compression } else { Compression::None };
        let mut layers = Vec::new();
        for layer in &image.layers {
            let blob = LayerBlob { layer, compression, cache: &options.cache };
            let put = self.blob(&blob, None).await?;
            // The media type and annotations of what was compressed on the way are known now.
            layers.push(blob.known().unwrap_or(put));
        }
        Ok(image.manifest_of(layers))
    }

    /// Puts what an archive gives, as it comes.
    pub async fn export(
        &self,
        export: &Export,
        platform: &Platform,
        to: &Place,
        options: &CopyOptions,
    ) -> Result<Digest, Error> {
        let streams = self.destination.abilities().parallel > 1;
        let compression = if streams { options.compression } else { Compression::None };
        let mut events = export.events(compression);
        let mut stored = BTreeMap::new();
        while let Some(event) = events.recv().await {
            let documents = match event? {
                Event::Layer(blob) => {
                    let put = self.exported(&blob, compression, options).await?;
                    stored.insert(blob.member.clone(), put);
                    continue;
                }
                Event::End(documents) => documents,
            };
            let assembled = documents.assemble(platform, &stored, export.name())?;
            if let Place::Registry(reference) = to {
                let there = self.destination.current().await?;
                if there == Some(assembled.document.digest) {
                    self.tally.up_to_date.store(self.tally.sent.load(Ordering::Relaxed) == 0, Ordering::Relaxed);
                    return Ok(assembled.document.digest);
                }
                check_tag(reference, &reference.target(), there, assembled.document.digest, options.force)?;
            }
            return self.finish(&assembled.document, &assembled.config).await;
        }
        Err(Error::Unusable { what: export.name().to_owned(), reason: "its archive has no end".to_owned() })
    }

    /// Puts a layer of an archive, unless it was compressed before and is there.
    async fn exported(
        &self,
        blob: &ExportedBlob,
        compression: Compression,
        options: &CopyOptions,
    ) -> Result<Descriptor, Error> {
        let compresses = compression != Compression::None;
        let before =
            blob.named.filter(|_| compresses).and_then(|diff_id| remembered(&options.cache, diff_id, compression));
        if let Some(known) = before
            && self.destination.has(known.digest).await?
        {
            return Ok(known);
        }
        let put = self.blob(blob, None).await?;
        let put = blob.known().unwrap_or(put);
        if let Some(diff_id) = blob.named.filter(|named| *named != put.digest) {
            let known = image::Blob { annotations: put.annotations.clone(), ..image::Blob::new(put.digest, put.size) };
            options.cache.set_compressed(&diff_id, compression, &known)?;
        }
        Ok(put)
    }

    async fn finish(&self, document: &Document, config: &[u8]) -> Result<Digest, Error> {
        self.blob(&BytesBlob::new(image::media::CONFIG, config), None).await?;
        self.destination.finish(document).await?;
        Ok(document.digest)
    }
}

pub(crate) fn nested(what: &str) -> Error {
    let reason = format!("its indexes are nested more than {MAX_DEPTH} deep");
    Error::Unusable { what: what.to_owned(), reason }
}
