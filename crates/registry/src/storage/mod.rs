//! What the registry keeps, behind one trait: blobs under their digests, uploads in progress, and small records in
//! ordered collections.
//!
//! The trait is synchronous and is called on blocking threads. Everything that returns `Ok` from a `put` or `commit` is
//! durable. The registry's meaning (what a link or a tag is) lives in [`crate::repository`], so that another backend
//! implements storage only.

mod filesystem;
mod layout;
mod ordered;
mod upload;

use std::fmt;
use std::io;
use std::time::Duration;

use bytes::Bytes;

use crate::digest::Digest;
use crate::name::RepositoryName;

pub use filesystem::Filesystem;

/// A collection of small records, ordered by name.
#[derive(Debug, Clone, Copy)]
pub enum Collection<'a> {
    /// The names of all repositories that hold something.
    Repositories,
    /// tag → the digest it points to
    Tags(&'a RepositoryName),
    /// manifest digest in hex → its media type
    Manifests(&'a RepositoryName),
    /// blob digest in hex → nothing: the blob may be read through this repository
    Blobs(&'a RepositoryName),
    /// digest in hex of a manifest that names `.1` as its subject → its descriptor in JSON
    Referrers(&'a RepositoryName, &'a Digest),
}

/// The name of an upload: a random UUID.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UploadId(String);

/// Where the registry keeps its content.
pub trait Storage: Send + Sync + 'static {
    /// The record `name`, if there is one.
    fn get(&self, collection: Collection<'_>, name: &str) -> io::Result<Option<Vec<u8>>>;
    /// Writes the record `name`, replacing what was there at once.
    fn put(&self, collection: Collection<'_>, name: &str, value: &[u8]) -> io::Result<()>;
    /// Removes the record `name`; false if there was none.
    fn remove(&self, collection: Collection<'_>, name: &str) -> io::Result<bool>;
    /// At most `limit` names that sort after `after`, in byte order.
    fn list(&self, collection: Collection<'_>, after: &str, limit: usize) -> io::Result<Vec<String>>;

    /// The size of a blob, if it is here.
    fn blob_size(&self, digest: &Digest) -> io::Result<Option<u64>>;
    /// Opens a blob for reading; the reader stays good when the blob is removed meanwhile.
    fn open_blob(&self, digest: &Digest) -> io::Result<Option<Box<dyn BlobReader>>>;
    /// Stores a blob that is in memory already. The caller has computed `digest` from `bytes`.
    fn put_blob(&self, digest: &Digest, bytes: &[u8]) -> io::Result<()>;

    /// Starts an upload.
    fn create_upload(&self, id: &UploadId) -> io::Result<Box<dyn UploadFile>>;
    /// Takes up an upload that another process (or this one, earlier) started.
    fn open_upload(&self, id: &UploadId) -> io::Result<Option<Box<dyn UploadFile>>>;
    /// Removes the uploads that got no byte for `age`; returns how many.
    fn expire_uploads(&self, age: Duration) -> io::Result<usize>;

    /// A secret of 32 random bytes that stays the same over restarts.
    fn secret(&self) -> io::Result<[u8; 32]>;
}

/// An open blob.
pub trait BlobReader: Send {
    /// The size in bytes.
    fn size(&self) -> u64;
    /// Reads `length` bytes from `offset`; fewer only at the end.
    fn read_at(&mut self, offset: u64, length: usize) -> io::Result<Bytes>;
}

/// An upload that is open for appending.
pub trait UploadFile: Send {
    /// How many bytes it has.
    fn length(&self) -> u64;
    /// Appends all of `bytes`; on an error the length is what it was before.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Reads `length` bytes from `offset`; fewer only at the end.
    fn read_at(&mut self, offset: u64, length: usize) -> io::Result<Bytes>;
    /// The note that [`UploadFile::save_state`] left, if it can still be trusted to describe the bytes that are here: a
    /// crash of the process keeps it so, a crash of the machine does not.
    fn state(&self) -> io::Result<SavedState>;
    /// Leaves a note for whoever takes the upload up.
    fn save_state(&mut self, state: &[u8]) -> io::Result<()>;
    /// Makes the bytes the blob `digest`, durably. The caller has checked the digest.
    fn commit(self: Box<Self>, digest: &Digest) -> io::Result<()>;
    /// Removes the upload.
    fn discard(self: Box<Self>) -> io::Result<()>;
}

/// A note found beside an upload.
pub struct SavedState {
    /// The note; empty if there is none.
    pub note: Vec<u8>,
    /// Whether the machine has stayed up since, so that every byte the note speaks of is really there.
    pub same_boot: bool,
}

impl UploadId {
    /// A new random name.
    pub fn random() -> UploadId {
        let mut bytes = [0u8; 16];
        fill_random(&mut bytes);
        let hex = hex::encode(bytes);
        UploadId(format!("{}-{}-4{}-8{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..]))
    }

    /// The name, if `text` has the form of one: it is safe in a path.
    pub fn parse(text: &str) -> Option<UploadId> {
        let hex = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f' | b'-');
        (text.len() == 36 && text.bytes().all(hex)).then(|| UploadId(text.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Fills `bytes` from the kernel's random generator.
///
/// # Panics
/// If the kernel has none, which no supported Linux does.
pub(crate) fn fill_random(bytes: &mut [u8]) {
    let mut filled = 0;
    while filled < bytes.len() {
        match rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty()) {
            Ok(count) => filled += count,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => panic!("the kernel gives no random bytes: {error}"),
        }
    }
}
