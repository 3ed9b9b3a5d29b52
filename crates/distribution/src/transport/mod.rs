//! Where images can be, by skopeo's names: a file each.
//!
//! To add one: a file here whose type is a [`Source`] or a [`Destination`] or both, a variant of [`Place`] with its row
//! in [`Place::parse`], and its line in [`Client::open_source`] and [`Client::open_destination`]. `copy.rs` does the rest.
//!
//! A source gives documents and blobs by digest. Docker's daemon and podman cannot: what they give is an [`Export`], an
//! archive that is read once, from its beginning to its end.

mod archive_file;
mod containerd;
mod containers_storage;
mod docker_daemon;
mod export;
mod exported;
mod oci_files;
mod oci_layout;
mod place;
mod program;
mod registry;
mod tar_sink;
mod tar_stream;

use std::path::Path;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use image::media::Descriptor;
use image::{Digest, Image, LayerCache};
use store::progress::Task;
use tar_sink::Flavour;

pub(crate) use export::{Event, Export, ExportedBlob};
pub use place::{InvalidPlace, Place};

use crate::blob::Blob;
use crate::client::Client;
use crate::documents::Document;
use crate::error::Error;

/// Something that has an image, or an index of several, and gives any part of it by digest.
pub(crate) trait Source: Send + Sync {
    /// What is said of it in messages.
    fn name(&self) -> String;

    /// What the name stands for: a manifest, or an index.
    fn root(&self) -> BoxFuture<'_, Result<Document, Error>>;

    /// A manifest that an index names.
    fn document<'a>(&'a self, wanted: &'a Descriptor) -> BoxFuture<'a, Result<Document, Error>>;

    /// A blob that a manifest names.
    fn blob(&self, wanted: &Descriptor) -> Box<dyn Blob>;

    /// Whether all platforms of an index are likely to be there.
    fn is_complete(&self) -> bool {
        true
    }

    /// The repository of a registry from which blobs can be mounted: host and name.
    fn repository(&self) -> Option<(&str, &str)> {
        None
    }
}

/// Something that takes images.
pub(crate) trait Destination: Send + Sync {
    /// What it can do.
    fn abilities(&self) -> Abilities;

    /// What its name stands for now, where that can be asked.
    fn current(&self) -> BoxFuture<'_, Result<Option<Digest>, Error>> {
        Box::pin(async { Ok(None) })
    }

    /// Whether it has a blob, so that this need not be sent.
    fn has(&self, digest: Digest) -> BoxFuture<'_, Result<bool, Error>>;

    /// Takes a blob, and says what it was.
    fn put<'a>(&'a self, blob: &'a dyn Blob, task: &'a Task<'_>) -> BoxFuture<'a, Result<Descriptor, Error>>;

    /// Takes over a blob from another repository of the same registry, if it can.
    fn mount<'a>(&'a self, _: Digest, _from: (&'a str, &'a str)) -> BoxFuture<'a, Result<bool, Error>> {
        Box::pin(async { Ok(false) })
    }

    /// Takes a manifest that an index names. Its blobs were put before.
    fn put_document<'a>(&'a self, document: &'a Document) -> BoxFuture<'a, Result<(), Error>>;

    /// Takes what the name is to stand for. Everything below it was put before; nothing is visible before this.
    fn finish<'a>(&'a self, root: &'a Document) -> BoxFuture<'a, Result<(), Error>>;

    /// Leaves nothing behind of what was not finished.
    fn abandon(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}

/// What a destination can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Abilities {
    /// It takes an index of several platforms.
    pub indexes: bool,
    /// What it gives back later has the same digest.
    pub digests: bool,
    /// How many blobs it takes at once. With one, it is an archive, which has to know the size of each before.
    pub parallel: usize,
}

/// An opened source.
pub(crate) enum Opened {
    /// Any part can be had by digest.
    Tree(Box<dyn Source>),
    /// One image without a manifest of its own.
    Image(Box<Image>),
    /// An archive that is read once.
    Export(Export),
}

impl Client {
    /// Opens what an image is copied from. Compressed archives are unpacked into `scratch`.
    pub(crate) async fn open_source(&self, place: &Place, scratch: &Path) -> Result<Opened, Error> {
        Ok(match place {
            Place::Registry(reference) => {
                Opened::Tree(Box::new(registry::RegistrySource::find(self, reference).await?))
            }
            Place::Layout { path, name } | Place::OciArchive { path, name } => {
                Opened::Tree(Box::new(oci_files::OciFiles::open(path, name.as_deref(), scratch)?))
            }
            Place::DockerArchive { path, name } => archive_file::open(path, name.as_deref(), scratch)?,
            Place::DockerDaemon { name } => Opened::Export(docker_daemon::export(self.settings(), name)?),
            Place::ContainersStorage { name } => Opened::Export(containers_storage::export(name)?),
            Place::Containerd { namespace, name } => {
                Opened::Tree(Box::new(containerd::ContainerdSource::find(namespace.as_deref(), name).await?))
            }
        })
    }

    /// Opens what an image is copied to. `by_digest` says that the digest of each blob is known before it is put.
    pub(crate) async fn open_destination(&self, place: &Place, by_digest: bool) -> Result<Arc<dyn Destination>, Error> {
        Ok(match place {
            Place::Registry(reference) => Arc::new(registry::RegistryDestination::open(self, reference).await?),
            Place::Layout { path, name } => Arc::new(oci_layout::LayoutDestination::open(path, name.as_deref())?),
            Place::OciArchive { path, name } => Arc::new(archive_file::sink(path, Flavour::Oci, name.as_deref())?),
            Place::DockerArchive { path, name } => {
                Arc::new(archive_file::sink(path, Flavour::Docker, name.as_deref())?)
            }
            Place::DockerDaemon { name } => Arc::new(docker_daemon::sink(self.settings(), name)?),
            Place::ContainersStorage { name } => Arc::new(containers_storage::sink(name, by_digest)?),
            Place::Containerd { namespace, name } => Arc::new(containerd::sink(namespace.as_deref(), name, by_digest)?),
        })
    }
}

/// What is remembered of compressed layers, for exports.
pub(crate) fn remembered(cache: &LayerCache, diff_id: Digest, compression: image::Compression) -> Option<Descriptor> {
    let blob = cache.compressed(&diff_id, compression)?;
    let descriptor = Descriptor::new(compression.media_type(), blob.digest, blob.size);
    Some(Descriptor { annotations: blob.annotations, ..descriptor })
}
