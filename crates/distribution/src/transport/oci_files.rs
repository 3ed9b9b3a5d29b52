//! `oci:` and `oci-archive:` as a source: an OCI layout, in a directory or in a tar.

use std::path::Path;

use futures_util::future::BoxFuture;
use image::layout::{IMAGE_NAME, REF_NAME};
use image::media::{Descriptor, Index};
use image::{Digest, Files};

use crate::blob::{Blob, FileBlob};
use crate::byte_stream::{ByteStream, wrapped};
use crate::documents::Document;
use crate::error::{Error, io_error};
use crate::transport::Source;

/// The files of a layout, and the entry of its index that is meant.
pub(crate) struct OciFiles {
    files: Files,
    name: String,
    entry: Descriptor,
}

/// A blob that is not there.
struct Absent {
    name: String,
    descriptor: Descriptor,
}

impl OciFiles {
    /// Opens a layout. Without a name, there must be one entry.
    pub fn open(path: &Path, name: Option<&str>, scratch: &Path) -> Result<OciFiles, Error> {
        let files = Files::open(path, prepared(scratch)?)?;
        for mark in ["oci-layout", "index.json"] {
            if files.find(mark)?.is_none() {
                return Err(files.unusable(&format!("it is no OCI layout: it has no `{mark}`")).into());
            }
        }
        let index: Index = serde_json::from_slice(&files.read("index.json")?)
            .map_err(|error| files.unusable(&format!("index.json: {error}")))?;
        let entry = choose(&index, name).map_err(|reason| files.unusable(&reason))?.clone();
        let name = name.map_or_else(|| path.display().to_string(), |name| format!("{}:{name}", path.display()));
        Ok(OciFiles { files, name, entry })
    }

    fn read(&self, wanted: &Descriptor) -> Result<Document, Error> {
        let bytes = self.files.read(&file_name(&wanted.digest))?;
        let found = Digest::of(&bytes);
        if found != wanted.digest {
            let (expected, found) = (wanted.digest.to_string(), found.to_string());
            return Err(Error::Corrupt { what: "a manifest".into(), registry: self.name.clone(), expected, found });
        }
        Document::parse(bytes, Some(&wanted.media_type), &self.name)
    }
}

impl Source for OciFiles {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn root(&self) -> BoxFuture<'_, Result<Document, Error>> {
        Box::pin(async { self.read(&self.entry) })
    }

    fn document<'a>(&'a self, wanted: &'a Descriptor) -> BoxFuture<'a, Result<Document, Error>> {
        Box::pin(async { self.read(wanted) })
    }

    fn blob(&self, wanted: &Descriptor) -> Box<dyn Blob> {
        match self.files.locate(&file_name(&wanted.digest)) {
            Ok(place) if place.size == wanted.size => {
                Box::new(FileBlob { path: place.path, offset: place.offset, descriptor: wanted.clone() })
            }
            _ => Box::new(Absent { name: self.name.clone(), descriptor: wanted.clone() }),
        }
    }
}

impl Blob for Absent {
    fn open(&self, _: u64) -> ByteStream {
        let (registry, descriptor) = (self.name.clone(), &self.descriptor);
        let what = format!("blob {} of {} bytes", descriptor.digest, descriptor.size);
        Box::pin(futures_util::stream::once(async move { Err(wrapped(Error::NotFound { registry, what })) }))
    }

    fn known(&self) -> Option<Descriptor> {
        Some(self.descriptor.clone())
    }
}

/// The entry of that tag or whole reference.
fn choose<'a>(index: &'a Index, name: Option<&str>) -> Result<&'a Descriptor, String> {
    let named = |entry: &Descriptor, wanted: &str| {
        let is = |key| entry.annotations.get(key).is_some_and(|found| found == wanted);
        entry.digest.to_string() == wanted || [IMAGE_NAME, REF_NAME].into_iter().any(is)
    };
    let fits = |entry: &&Descriptor| name.is_none_or(|wanted| named(entry, wanted));
    let mut fitting = index.manifests.iter().filter(fits);
    match (fitting.next(), fitting.next(), name) {
        (Some(one), None, _) | (Some(one), Some(_), Some(_)) => Ok(one),
        (Some(_), Some(_), None) => Err(format!("it has several images; name one: {}", all(index))),
        (None, _, Some(name)) => Err(format!("it has no image `{name}`; it has: {}", all(index))),
        (None, _, None) => Err("it has no image".to_owned()),
    }
}

fn all(index: &Index) -> String {
    let name = |entry: &Descriptor| match entry.annotations.get(REF_NAME) {
        Some(name) => name.clone(),
        None => entry.digest.to_string(),
    };
    index.manifests.iter().map(name).collect::<Vec<_>>().join(", ")
}

fn file_name(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// The directory for what has to be unpacked, made if it is not there.
pub(crate) fn prepared(scratch: &Path) -> Result<&Path, Error> {
    std::fs::create_dir_all(scratch).map_err(io_error("create", scratch))?;
    Ok(scratch)
}
