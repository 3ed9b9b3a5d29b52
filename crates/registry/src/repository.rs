//! Repositories: which blobs and manifests each one holds, its tags, and who refers to what.
//!
//! Content is stored once for all repositories; a repository has a link to what was pushed or mounted into it, and gives
//! out nothing else. A manifest is written in the order blob, link, referrer, tag, so that whatever is found by a tag is
//! complete after a crash at any point.

use std::io;
use std::sync::Arc;

use crate::digest::{Algorithm, Digest};
pub use crate::error::Error;
use crate::manifest::{self, Descriptor, Manifest};
use crate::name::{Reference, RepositoryName, Tag};
use crate::storage::{BlobReader, Collection, Storage};

/// All repositories of a registry. Its operations block.
pub struct Repositories {
    storage: Arc<dyn Storage>,
    sparse: bool,
}

/// A manifest as it was pushed.
pub struct StoredManifest {
    /// Its digest.
    pub digest: Digest,
    /// The type under which it was pushed.
    pub media_type: String,
    /// The exact bytes.
    pub bytes: bytes::Bytes,
}

/// What a push of a manifest came to.
#[derive(Debug)]
pub struct PushedManifest {
    /// Its digest, by the algorithm that the client used.
    pub digest: Digest,
    /// Its media type.
    pub media_type: String,
    /// The manifest that it speaks about.
    pub subject: Option<Digest>,
}

impl Repositories {
    /// Repositories in `storage`; `sparse` admits manifests that refer to absent content.
    pub fn new(storage: Arc<dyn Storage>, sparse: bool) -> Repositories {
        Repositories { storage, sparse }
    }

    /// The size of a blob that `repository` holds.
    pub fn blob_size(&self, repository: &RepositoryName, digest: &Digest) -> Result<u64, Error> {
        self.require_link(repository, digest)?;
        self.storage.blob_size(digest)?.ok_or_else(|| Error::BlobUnknown(digest.clone()))
    }

    /// Opens a blob that `repository` holds.
    pub fn open_blob(&self, repository: &RepositoryName, digest: &Digest) -> Result<Box<dyn BlobReader>, Error> {
        self.require_link(repository, digest)?;
        self.storage.open_blob(digest)?.ok_or_else(|| Error::BlobUnknown(digest.clone()))
    }

    fn require_link(&self, repository: &RepositoryName, digest: &Digest) -> Result<(), Error> {
        match self.storage.get(Collection::Blobs(repository), digest.hex())? {
            Some(_) => Ok(()),
            None => Err(Error::BlobUnknown(digest.clone())),
        }
    }

    /// Lets a blob that is in the storage be read through `repository`.
    pub fn link_blob(&self, repository: &RepositoryName, digest: &Digest) -> Result<(), Error> {
        Ok(self.storage.put(Collection::Blobs(repository), digest.hex(), b"")?)
    }

    /// Links the blob of another repository; false if that one does not hold it.
    pub fn mount(&self, from: &RepositoryName, to: &RepositoryName, digest: &Digest) -> Result<bool, Error> {
        match self.blob_size(from, digest) {
            Ok(_) => self.link_blob(to, digest).map(|()| true),
            Err(Error::BlobUnknown(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Takes a blob out of `repository`; other repositories keep it.
    pub fn unlink_blob(&self, repository: &RepositoryName, digest: &Digest) -> Result<(), Error> {
        match self.storage.remove(Collection::Blobs(repository), digest.hex())? {
            true => Ok(()),
            false => Err(Error::BlobUnknown(digest.clone())),
        }
    }

    /// The manifest under a tag or digest.
    pub fn manifest(&self, repository: &RepositoryName, reference: &Reference) -> Result<StoredManifest, Error> {
        let unknown = || Error::ManifestUnknown(reference.to_string());
        let digest = match reference {
            Reference::Digest(digest) => digest.clone(),
            Reference::Tag(tag) => self.tagged(repository, tag)?.ok_or_else(unknown)?,
        };
        let media_type = self.storage.get(Collection::Manifests(repository), digest.hex())?.ok_or_else(unknown)?;
        let media_type = String::from_utf8(media_type).map_err(io::Error::other)?;
        let mut reader = self.storage.open_blob(&digest)?.ok_or_else(unknown)?;
        let bytes = reader.read_at(0, manifest::SIZE_LIMIT)?;
        Ok(StoredManifest { digest, media_type, bytes })
    }

    fn tagged(&self, repository: &RepositoryName, tag: &Tag) -> Result<Option<Digest>, Error> {
        let Some(bytes) = self.storage.get(Collection::Tags(repository), tag.as_str())? else { return Ok(None) };
        let text = String::from_utf8(bytes).map_err(io::Error::other)?;
        Ok(Some(text.parse().map_err(io::Error::other)?))
    }

    /// Stores a manifest under a digest or tag, and under `tags`.
    pub fn put_manifest(
        &self,
        repository: &RepositoryName,
        reference: &Reference,
        tags: &[Tag],
        content_type: Option<&str>,
        bytes: &[u8],
    ) -> Result<PushedManifest, Error> {
        let algorithm = match reference {
            Reference::Digest(digest) => digest.algorithm(),
            Reference::Tag(_) => Algorithm::Sha256,
        };
        let digest = Digest::of(algorithm, bytes);
        if let Reference::Digest(claimed) = reference
            && *claimed != digest
        {
            return Err(Error::DigestMismatch { claimed: claimed.clone(), actual: digest });
        }
        let parsed = Manifest::parse(bytes, content_type)?;
        self.require_references(repository, &parsed)?;
        self.storage.put_blob(&digest, bytes)?;
        self.storage.put(Collection::Manifests(repository), digest.hex(), parsed.media_type.as_bytes())?;
        if let Some(subject) = &parsed.subject {
            let descriptor = parsed.descriptor(digest.clone(), bytes.len() as u64);
            let json = serde_json::to_vec(&descriptor).map_err(io::Error::other)?;
            self.storage.put(Collection::Referrers(repository, subject), digest.hex(), &json)?;
        }
        self.storage.put(Collection::Repositories, repository.as_str(), b"")?;
        let own = match reference {
            Reference::Tag(tag) => Some(tag),
            Reference::Digest(_) => None,
        };
        for tag in own.into_iter().chain(tags) {
            self.storage.put(Collection::Tags(repository), tag.as_str(), digest.as_str().as_bytes())?;
        }
        Ok(PushedManifest { digest, media_type: parsed.media_type, subject: parsed.subject })
    }

    fn require_references(&self, repository: &RepositoryName, manifest: &Manifest) -> Result<(), Error> {
        for (descriptor, is_manifest) in
            manifest.blobs.iter().map(|d| (d, false)).chain(manifest.manifests.iter().map(|d| (d, true)))
        {
            // Build caches are indexes whose entries are blobs.
            let hex = descriptor.digest.hex();
            let linked = (is_manifest && self.storage.get(Collection::Manifests(repository), hex)?.is_some())
                || self.storage.get(Collection::Blobs(repository), hex)?.is_some();
            let size = if linked { self.storage.blob_size(&descriptor.digest)? } else { None };
            match size {
                None if self.sparse => {}
                None => return Err(Error::ManifestBlobUnknown(descriptor.digest.clone())),
                Some(size) if size != descriptor.size => {
                    return Err(Error::ManifestInvalid(format!(
                        "{} has {size} bytes, the manifest says {}",
                        descriptor.digest, descriptor.size
                    )));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// Removes a tag, or a manifest with all tags that point to it.
    pub fn delete_manifest(&self, repository: &RepositoryName, reference: &Reference) -> Result<(), Error> {
        let unknown = || Error::ManifestUnknown(reference.to_string());
        let digest = match reference {
            Reference::Tag(tag) => {
                return match self.storage.remove(Collection::Tags(repository), tag.as_str())? {
                    true => Ok(()),
                    false => Err(unknown()),
                };
            }
            Reference::Digest(digest) => digest,
        };
        let stored = self.manifest(repository, reference)?;
        if !self.storage.remove(Collection::Manifests(repository), digest.hex())? {
            return Err(unknown());
        }
        let parsed = Manifest::parse(&stored.bytes, Some(&stored.media_type));
        if let Some(subject) = parsed.ok().and_then(|parsed| parsed.subject) {
            self.storage.remove(Collection::Referrers(repository, &subject), digest.hex())?;
        }
        self.remove_tags_of(repository, digest)
    }

    fn remove_tags_of(&self, repository: &RepositoryName, digest: &Digest) -> Result<(), Error> {
        let mut after = String::new();
        loop {
            let page = self.storage.list(Collection::Tags(repository), &after, 1000)?;
            let Some(last) = page.last() else { return Ok(()) };
            after.clone_from(last);
            for tag in page {
                let value = self.storage.get(Collection::Tags(repository), &tag)?;
                if value.as_deref() == Some(digest.as_str().as_bytes()) {
                    self.storage.remove(Collection::Tags(repository), &tag)?;
                }
            }
        }
    }

    /// At most `limit` tags after `after`, in byte order.
    pub fn tags(&self, repository: &RepositoryName, after: &str, limit: usize) -> Result<Vec<String>, Error> {
        if self.storage.get(Collection::Repositories, repository.as_str())?.is_none() {
            return Err(Error::NameUnknown(repository.to_string()));
        }
        Ok(self.storage.list(Collection::Tags(repository), after, limit)?)
    }

    /// At most `limit` repositories after `after`, in byte order.
    pub fn catalog(&self, after: &str, limit: usize) -> Result<Vec<String>, Error> {
        Ok(self.storage.list(Collection::Repositories, after, limit)?)
    }

    /// At most `limit` manifests that name `subject`, after the one with the hex digest `after`; those that clients
    /// without the referrers API recorded under the fallback tag come with the first page.
    pub fn referrers(
        &self,
        repository: &RepositoryName,
        subject: &Digest,
        after: &str,
        limit: usize,
    ) -> Result<Vec<Descriptor>, Error> {
        let mut found = Vec::new();
        for name in self.storage.list(Collection::Referrers(repository, subject), after, limit)? {
            if let Some(json) = self.storage.get(Collection::Referrers(repository, subject), &name)? {
                found.push(serde_json::from_slice(&json).map_err(io::Error::other)?);
            }
        }
        if after.is_empty() {
            self.add_fallback_referrers(repository, subject, &mut found)?;
        }
        Ok(found)
    }

    fn add_fallback_referrers(
        &self,
        repository: &RepositoryName,
        subject: &Digest,
        found: &mut Vec<Descriptor>,
    ) -> Result<(), Error> {
        let name = format!("{}-{}", subject.algorithm().as_str(), &subject.hex()[..64]);
        let index = match self.manifest(repository, &Reference::Tag(name.parse()?)) {
            Err(Error::ManifestUnknown(_)) => return Ok(()),
            other => other?,
        };
        for entry in manifest::index_entries(&index.bytes) {
            let listed = found.iter().any(|known| known.digest == entry.digest);
            let linked = self.storage.get(Collection::Manifests(repository), entry.digest.hex())?.is_some();
            let recorded = self.storage.get(Collection::Referrers(repository, subject), entry.digest.hex())?.is_some();
            if !listed && !recorded && linked {
                found.push(entry);
            }
        }
        Ok(())
    }
}
