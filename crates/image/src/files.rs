//! The files of an image from outside: a directory, or the members of a tar archive, which is never unpacked.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::compress::Compression;
use crate::digest::Hashing;
use crate::error::{ImageError, io_error};
use crate::tar::BLOCK;

/// No manifest, index or configuration is larger: registries refuse more than 4 MiB.
const MAX_DOCUMENT: u64 = 16 << 20;
/// No archive of an image has more members.
const MAX_MEMBERS: usize = 100_000;
/// A compressed archive may grow to this many bytes, and beyond it by the factor below: more is a bomb.
const FREE_GROWTH: u64 = 64 << 20;
const MAX_GROWTH: u64 = 1000;
/// Where a tar header says that it is one.
const MAGIC: usize = 257;
/// Links in an archive lead to a file after at most this many steps.
const MAX_LINKS: usize = 8;

/// Where the bytes of one file are.
#[derive(Clone, Debug)]
pub struct Location {
    /// The file itself, or the archive that it is a member of.
    pub path: PathBuf,
    /// Where in that it begins.
    pub offset: u64,
    /// The number of its bytes.
    pub size: u64,
}

impl Location {
    pub(crate) fn open(&self) -> io::Result<io::Take<File>> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(self.offset))?;
        Ok(file.take(self.size))
    }
}

/// The files of an image from outside.
pub struct Files {
    /// What the user named, for messages.
    origin: PathBuf,
    kind: FilesKind,
}

enum FilesKind {
    Directory(PathBuf),
    Archive { path: PathBuf, members: BTreeMap<String, Member> },
}

enum Member {
    File { offset: u64, size: u64 },
    Link(String),
}

impl Files {
    /// The files of a directory, or of a tar archive, which is decompressed into `scratch` if need be.
    ///
    /// # Errors
    /// It cannot be read, or is no archive.
    pub fn open(origin: &Path, scratch: &Path) -> Result<Self, ImageError> {
        let failed = || format!("cannot open the image {}", origin.display());
        let kind = if fs::metadata(origin).map_err(io_error(failed()))?.is_dir() {
            FilesKind::Directory(origin.to_owned())
        } else {
            let path = decompressed(origin, scratch)?;
            let members = members(&path).map_err(|error| {
                discard(origin, &path);
                unusable(origin, &error.to_string())
            })?;
            FilesKind::Archive { path, members }
        };
        Ok(Self { origin: origin.to_owned(), kind })
    }

    /// Removes what was unpacked, since it is no image.
    pub(crate) fn discard(&self) {
        if let FilesKind::Archive { path, .. } = &self.kind {
            discard(&self.origin, path);
        }
    }

    /// Where a file is, if there is one of this name.
    ///
    /// # Errors
    /// The name leads outside, or the file system refuses.
    pub fn find(&self, name: &str) -> Result<Option<Location>, ImageError> {
        match &self.kind {
            FilesKind::Directory(directory) => {
                if !is_plain(name) {
                    return Err(self.unusable(&format!("it names a file `{name}` outside itself")));
                }
                let path = directory.join(name);
                match fs::metadata(&path) {
                    Ok(metadata) if metadata.is_file() => Ok(Some(Location { path, offset: 0, size: metadata.len() })),
                    Ok(_) => Err(self.unusable(&format!("{name} is not a regular file"))),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                    Err(error) => Err(io_error(format!("cannot look at {}", path.display()))(error)),
                }
            }
            FilesKind::Archive { path, members } => {
                Ok(follow(members, name).map(|(offset, size)| Location { path: path.clone(), offset, size }))
            }
        }
    }

    /// Where a file is that must be there.
    ///
    /// # Errors
    /// As [`Files::find`], and if it is not there.
    pub fn locate(&self, name: &str) -> Result<Location, ImageError> {
        self.find(name)?.ok_or_else(|| self.unusable(&format!("it has no `{name}`")))
    }

    /// The bytes of a document, which is not large.
    ///
    /// # Errors
    /// As [`Files::locate`], and if it is too large.
    pub fn read(&self, name: &str) -> Result<Vec<u8>, ImageError> {
        let location = self.locate(name)?;
        if location.size > MAX_DOCUMENT {
            return Err(self.unusable(&format!("{name} is larger than {} MiB", MAX_DOCUMENT >> 20)));
        }
        let mut bytes = Vec::new();
        let read = location.open().and_then(|mut file| file.read_to_end(&mut bytes));
        read.map_err(io_error(format!("cannot read {name} of {}", self.origin.display())))?;
        Ok(bytes)
    }

    /// A document.
    pub(crate) fn parse<T: serde::de::DeserializeOwned>(&self, name: &str, bytes: &[u8]) -> Result<T, ImageError> {
        serde_json::from_slice(bytes).map_err(|error| self.unusable(&format!("{name}: {error}")))
    }

    /// The error that says what is wrong with the image.
    pub fn unusable(&self, reason: &str) -> ImageError {
        unusable(&self.origin, reason)
    }
}

fn discard(origin: &Path, path: &Path) {
    if path != origin {
        // What cannot be removed only takes room.
        let _ = fs::remove_file(path);
    }
}

fn unusable(origin: &Path, reason: &str) -> ImageError {
    ImageError::Unusable { path: origin.to_owned(), reason: reason.to_owned() }
}

/// Whether a name stays below the directory that it is joined to.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && Path::new(name).components().all(|part| matches!(part, std::path::Component::Normal(_)))
}

/// The file itself, or its decompressed content in `scratch`.
fn decompressed(path: &Path, scratch: &Path) -> Result<PathBuf, ImageError> {
    let failed = || format!("cannot read the image {}", path.display());
    let mut start = [0; 4];
    let mut file = File::open(path).map_err(io_error(failed()))?;
    let read = file.read(&mut start).map_err(io_error(failed()))?;
    file.rewind().map_err(io_error(failed()))?;
    let compression = Compression::detect(&start[..read]);
    if compression == Compression::None {
        return Ok(path.to_owned());
    }
    let size = file.metadata().map_err(io_error(failed()))?.len();
    let limit = FREE_GROWTH.saturating_add(size.saturating_mul(MAX_GROWTH));
    let mut decoder = compression.decoder(file).map_err(io_error(failed()))?.take(limit + 1);
    let mut first = Vec::new();
    decoder.by_ref().take(BLOCK as u64).read_to_end(&mut first).map_err(|error| unusable(path, &error.to_string()))?;
    if first.get(MAGIC..MAGIC + 5) != Some(b"ustar") {
        return Err(unusable(path, "it is compressed, and no tar archive"));
    }
    let unpacking = || format!("cannot unpack the image {} into {}", path.display(), scratch.display());
    let mut out = Hashing::new(tempfile::NamedTempFile::new_in(scratch).map_err(io_error(unpacking()))?);
    let written = io::copy(&mut io::Cursor::new(first).chain(decoder), &mut out).map_err(io_error(unpacking()))?;
    if written > limit {
        return Err(unusable(path, "it unpacks to more than a thousand times its size"));
    }
    let (digest, _, file) = out.finish();
    let kept = scratch.join(format!("{}.tar", digest.hex()));
    file.persist(&kept).map_err(|error| io_error(unpacking())(error.error))?;
    Ok(kept)
}

/// The regular files and links of an archive, the later of two with one name.
fn members(path: &Path) -> io::Result<BTreeMap<String, Member>> {
    let length = fs::metadata(path)?.len();
    let mut archive = ::tar::Archive::new(File::open(path)?);
    let mut members = BTreeMap::new();
    for entry in archive.entries_with_seek()? {
        let entry = entry?;
        let Some(name) = normal(&entry.path_bytes()) else { continue };
        let kind = entry.header().entry_type();
        let member = if kind.is_file() {
            let (offset, size) = (entry.raw_file_position(), entry.size());
            if offset.checked_add(size).is_none_or(|end| end > length) {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("`{name}` is cut off")));
            }
            Member::File { offset, size }
        } else if kind.is_symlink() || kind.is_hard_link() {
            let target = entry.link_name_bytes().unwrap_or_default();
            let target = String::from_utf8_lossy(&target).into_owned();
            Member::Link(if kind.is_symlink() { sibling(&name, &target) } else { target })
        } else {
            continue;
        };
        if members.len() == MAX_MEMBERS {
            return Err(io::Error::other(format!("it has more than {MAX_MEMBERS} members")));
        }
        members.insert(name, member);
    }
    Ok(members)
}

/// A member's name without `./` and slashes at the end; `None` for what cannot be a file of an image.
fn normal(name: &[u8]) -> Option<String> {
    let name = str::from_utf8(name).ok()?;
    let parts: Vec<_> = name.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    (!parts.is_empty() && !parts.contains(&"..")).then(|| parts.join("/"))
}

/// What a symbolic link beside `name` leads to, as a name in the archive.
fn sibling(name: &str, target: &str) -> String {
    let mut parts: Vec<_> = name.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            other => parts.push(other),
        }
    }
    parts.join("/")
}

fn follow(members: &BTreeMap<String, Member>, name: &str) -> Option<(u64, u64)> {
    let mut name = normal(name.as_bytes())?;
    for _ in 0..MAX_LINKS {
        match members.get(&name)? {
            Member::File { offset, size } => return Some((*offset, *size)),
            Member::Link(target) => name = normal(target.as_bytes())?,
        }
    }
    None
}
