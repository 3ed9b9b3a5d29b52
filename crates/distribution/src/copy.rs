//! Copying an image from any place to any other: by digest where both can, byte for byte, without a disk in between.

use std::path::{Path, PathBuf};

use image::media::Platform;
use image::{Compression, Digest, Image, LayerCache};
use store::progress::Progress;

use crate::client::{Client, manifest};
use crate::copying::{Copying, MAX_DEPTH, Tally, nested};
use crate::documents::{Content, Document, choose};
use crate::error::Error;
use crate::push::{PushOptions, check_tag};
use crate::reference::Reference;
use crate::retry::Attempts;
use crate::transport::{Destination, Export, Opened, Place, Source};

/// How to copy.
#[derive(Debug, Clone)]
pub struct CopyOptions {
    /// Which image of an index.
    pub select: Select,
    /// Fail rather than give the image another digest.
    pub preserve_digests: bool,
    /// How layers are compressed that come without compression and without a manifest that says so.
    pub compression: Compression,
    /// What is known of compressed layers from before.
    pub cache: LayerCache,
    /// Move version tags of a registry too.
    pub force: bool,
    /// Other repositories of the destination's registry that may have some of the layers.
    pub mount_from: Vec<String>,
    /// Where compressed archives are unpacked.
    pub scratch: PathBuf,
}

/// Which image of an index is copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Select {
    /// The whole index where both places can hold one, else the image for this platform.
    WhatFits(Platform),
    /// The whole index, and an error where one of the places cannot hold it.
    All,
    /// The image for this platform.
    One(Platform),
}

/// What a copy came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// The digest that the destination was given.
    pub digest: Digest,
    /// The destination had it already.
    pub up_to_date: bool,
    /// Why the image has, or may have, another digest than at its source.
    pub changed: Option<String>,
    /// Bytes of blobs that were sent.
    pub bytes_sent: u64,
    /// How many blobs were sent.
    pub blobs_sent: usize,
    /// How many were taken over from other repositories.
    pub blobs_mounted: usize,
}

impl Client {
    /// Copies an image, or all images of an index, from one place to another.
    ///
    /// # Errors
    /// The image is not there, a place cannot do what is asked of it, a version tag would move and `force` is not set,
    /// something does not have its digest, or one of the places refuses or cannot be reached.
    pub async fn copy(
        &self,
        from: &Place,
        to: &Place,
        options: &CopyOptions,
        progress: &dyn Progress,
    ) -> Result<Copied, Error> {
        match self.open_source(from, &options.scratch).await? {
            Opened::Tree(source) => self.copy_tree(&*source, from, to, options, progress).await,
            Opened::Image(image) => {
                refuse_without_manifest(from, options)?;
                self.put_images(std::slice::from_ref(&*image), to, options, progress).await
            }
            Opened::Export(export) => self.copy_export(&export, from, to, options, progress).await,
        }
    }

    /// Gives a place an image that is here, or the one for each of several platforms.
    ///
    /// # Errors
    /// As [`Client::copy`].
    pub async fn put_images(
        &self,
        images: &[Image],
        to: &Place,
        options: &CopyOptions,
        progress: &dyn Progress,
    ) -> Result<Copied, Error> {
        if let Place::Registry(reference) = to {
            let push = PushOptions {
                compression: options.compression,
                cache: options.cache.clone(),
                force: options.force,
                mount_from: options.mount_from.clone(),
            };
            let pushed = self.push_platforms(images, reference, &push, progress).await?;
            return Ok(Copied {
                digest: pushed.digest,
                up_to_date: pushed.up_to_date,
                changed: None,
                bytes_sent: pushed.bytes_sent,
                blobs_sent: pushed.blobs_sent,
                blobs_mounted: pushed.blobs_mounted,
            });
        }
        let destination = self.open_destination(to, true).await?;
        let changed = (!destination.abilities().digests).then(|| makes_its_own(to));
        let here = image::platforms::for_here(images).filter(|_| !destination.abilities().indexes);
        let images = here.map_or(images, std::slice::from_ref);
        let copying = Copying::new(&*destination, &[], progress);
        let outcome = copying.images(images, options).await;
        copying.end(outcome, changed).await
    }

    async fn copy_tree(
        &self,
        source: &dyn Source,
        from: &Place,
        to: &Place,
        options: &CopyOptions,
        progress: &dyn Progress,
    ) -> Result<Copied, Error> {
        let destination = self.open_destination(to, true).await?;
        let changed = (!destination.abilities().digests).then(|| makes_its_own(to));
        if let (Some(reason), true) = (&changed, options.preserve_digests) {
            return Err(Error::Settings(format!("the digest of {from} cannot be preserved: {reason}")));
        }
        let root = match wanted(source, &*destination, from, to, options).await {
            Ok((root, false)) => root,
            Ok((root, true)) => return Ok(Tally::up_to_date().copied(root.digest, None)),
            Err(error) => {
                destination.abandon().await;
                return Err(error);
            }
        };
        let copying = Copying::new(&*destination, &options.mount_from, progress);
        let outcome = match copying.contents(source, &root, 0).await {
            Ok(()) => destination.finish(&root).await.map(|()| root.digest),
            Err(error) => Err(error),
        };
        copying.end(outcome, changed).await
    }

    async fn copy_export(
        &self,
        export: &Export,
        from: &Place,
        to: &Place,
        options: &CopyOptions,
        progress: &dyn Progress,
    ) -> Result<Copied, Error> {
        refuse_without_manifest(from, options)?;
        let platform = match &options.select {
            Select::WhatFits(platform) | Select::One(platform) => platform,
            Select::All => return Err(Error::Settings(format!("{from} gives one platform, so --all cannot be had"))),
        };
        if matches!(to, Place::OciArchive { .. }) {
            return self.through_layout(export, platform, from, to, options, progress).await;
        }
        if let Place::Registry(reference) = to
            && let Some(digest) = self.same_image(export, reference).await?
        {
            return Ok(Tally::up_to_date().copied(digest, Some(makes_its_own(from))));
        }
        let mut attempts = Attempts::new(self.settings().retries);
        loop {
            let destination = self.open_destination(to, false).await?;
            let copying = Copying::new(&*destination, &options.mount_from, progress);
            let outcome = copying.export(export, platform, to, options).await;
            match copying.end(outcome, Some(makes_its_own(from))).await {
                // The layers that are there already are not sent again.
                Err(Error::Unreachable { .. }) if attempts.pause(None).await => {}
                other => return other,
            }
        }
    }

    /// The digest of what the reference stands for, if that is the image that would be exported: one with the same
    /// configuration, which names its layers before compression.
    async fn same_image(&self, export: &Export, reference: &Reference) -> Result<Option<Digest>, Error> {
        let id = export.id().await?;
        let registry = self.registry(reference).await?;
        match manifest(&registry, reference.repository(), &reference.target()).await {
            Ok(Document { content: Content::Image(image), digest, .. }) if image.config.digest == id => {
                Ok(Some(digest))
            }
            // The push itself says better what is wrong.
            Ok(_) | Err(_) => Ok(None),
        }
    }

    /// In a tar a member has its name, which here is its digest, before its content: that takes a second reading.
    async fn through_layout(
        &self,
        export: &Export,
        platform: &Platform,
        from: &Place,
        to: &Place,
        options: &CopyOptions,
        progress: &dyn Progress,
    ) -> Result<Copied, Error> {
        let parent = scratch(&options.scratch)?;
        let path = parent.path().join("layout");
        let layout = Place::Layout { path, name: None };
        let destination = self.open_destination(&layout, false).await?;
        let copying = Copying::new(&*destination, &[], progress);
        copying.export(export, platform, &layout, options).await?;
        let Opened::Tree(source) = self.open_source(&layout, &options.scratch).await? else {
            return Err(Error::Settings("a layout is read by digest".to_owned()));
        };
        let one = CopyOptions { preserve_digests: false, ..options.clone() };
        let copied = self.copy_tree(&*source, &layout, to, &one, progress).await?;
        Ok(Copied { changed: Some(makes_its_own(from)), ..copied })
    }
}

fn scratch(directory: &Path) -> Result<tempfile::TempDir, Error> {
    std::fs::create_dir_all(directory).map_err(crate::error::io_error("create", directory))?;
    tempfile::tempdir_in(directory).map_err(crate::error::io_error("write into", directory))
}

/// Why a place gives an image another digest.
fn makes_its_own(place: &Place) -> String {
    match place {
        Place::DockerDaemon { .. } => "Docker's daemon keeps no manifest and makes one of its own".to_owned(),
        Place::ContainersStorage { .. } => "podman gives layers without compression, and no manifest".to_owned(),
        _ => "a docker archive has no manifest whose digest could be kept".to_owned(),
    }
}

fn refuse_without_manifest(from: &Place, options: &CopyOptions) -> Result<(), Error> {
    match options.preserve_digests {
        true => Err(Error::Settings(format!("the digest of {from} cannot be preserved: {}", makes_its_own(from)))),
        false => Ok(()),
    }
}

/// The document that is copied, and whether the destination has it already.
async fn wanted(
    source: &dyn Source,
    destination: &dyn Destination,
    from: &Place,
    to: &Place,
    options: &CopyOptions,
) -> Result<(Document, bool), Error> {
    let root = selected(source, destination, from, to, options).await?;
    let there = destination.current().await?;
    if let Place::Registry(reference) = to {
        check_tag(reference, &reference.target(), there, root.digest, options.force)?;
    }
    let is_there = there == Some(root.digest);
    Ok((root, is_there))
}

/// The document that is copied: the whole, or the image of one platform.
async fn selected(
    source: &dyn Source,
    destination: &dyn Destination,
    from: &Place,
    to: &Place,
    options: &CopyOptions,
) -> Result<Document, Error> {
    let mut document = source.root().await?;
    let indexes = destination.abilities().indexes;
    let platform = match &options.select {
        Select::All if !indexes && matches!(document.content, Content::Index(_)) => {
            return Err(Error::Settings(format!(
                "{to} holds one platform; leave --all out, or name one with --platform"
            )));
        }
        Select::All => return Ok(document),
        Select::WhatFits(_) if indexes && source.is_complete() => return Ok(document),
        Select::WhatFits(platform) | Select::One(platform) => platform,
    };
    for _ in 0..MAX_DEPTH {
        match &document.content {
            Content::Image(_) => return Ok(document),
            Content::Index(index) => {
                let entry = choose(index, platform, &from.to_string())?.clone();
                document = source.document(&entry).await?;
            }
        }
    }
    Err(nested(&from.to_string()))
}
