//! Large files of git LFS: git stores a pointer, a server the content.
//!
//! What a pointer is says <https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md>. A file whose attribute `filter` is
//! `lfs` but that is no pointer is taken as it is.

mod server;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use gix::ObjectId;
use gix::bstr::{BStr, BString, ByteSlice};
use gix::objs::tree::EntryKind;
use nix_formats::hash::{HashAlgo, Hasher};
use store::fs_nar::{Restorer, TreeSink};

use super::Repository;
use super::attributes::{Attributes, State};
use super::export::{add_attributes, push};
use crate::{FetchError, Fetcher};

/// Pointers are smaller than this, in bytes.
const LONGEST_POINTER: u64 = 1024;

/// What a pointer says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Pointer {
    /// The SHA-256 of the content, in base 16.
    pub oid: String,
    pub size: u64,
}

impl Pointer {
    fn parse(text: &[u8]) -> Option<Self> {
        let text = text.to_str().ok()?;
        if !text.starts_with("version https://git-lfs.github.com/spec/v1\n") {
            return None;
        }
        let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key));
        let oid = value("oid sha256:")?;
        let is_digest = oid.len() == 64 && oid.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        is_digest.then_some(Self { oid: oid.to_owned(), size: value("size ")?.parse().ok()? })
    }

    /// Where the content is below a directory of them.
    fn place(&self) -> String {
        format!("{}/{}/{}", &self.oid[..2], &self.oid[2..4], self.oid)
    }
}

/// The large files of a tree, all of them on this machine.
pub(super) struct LargeFiles {
    files: BTreeMap<BString, (Pointer, PathBuf)>,
}

impl LargeFiles {
    /// Finds the pointers of a tree, and downloads what is not here.
    pub fn find(fetcher: &Fetcher, repository: &Repository, tree: ObjectId) -> Result<Self, FetchError> {
        let mut search = Search { repository, attributes: Attributes::default(), found: BTreeMap::new() };
        search.tree(tree, &mut BString::default())?;
        let own = repository.gix.common_dir().join("lfs/objects");
        let cache = fetcher.settings.cache.join("lfs");
        let mut files = BTreeMap::new();
        let mut missing = BTreeMap::new();
        for (path, pointer) in search.found {
            let places = [own.join(pointer.place()), cache.join(pointer.place())];
            let there = |place: &&PathBuf| place.metadata().is_ok_and(|file| file.len() == pointer.size);
            let place = places.iter().find(there).cloned();
            if place.is_none() {
                missing.insert(pointer.oid.clone(), pointer.clone());
            }
            files.insert(path, (pointer, place.unwrap_or_else(|| places[1].clone())));
        }
        if !missing.is_empty() {
            let wanted: Vec<Pointer> = missing.into_values().collect();
            server::download(fetcher, repository, tree, &wanted, &cache)?;
        }
        Ok(Self { files })
    }

    /// Writes a large file; whether the path is one.
    pub fn write(&self, path: &BStr, executable: bool, sink: &mut Restorer) -> Result<bool, FetchError> {
        let Some((pointer, place)) = self.files.get(path) else { return Ok(false) };
        let mut file = File::open(place).map_err(FetchError::io("open", place))?;
        let mut hasher = Hasher::new(HashAlgo::Sha256);
        let mut buffer = vec![0; 128 * 1024];
        sink.open_file(executable, pointer.size)?;
        loop {
            match file.read(&mut buffer).map_err(FetchError::io("read", place))? {
                0 => break,
                count => {
                    hasher.update(&buffer[..count]);
                    sink.content(&buffer[..count])?;
                }
            }
        }
        if hasher.finish().to_hex() != pointer.oid {
            let reason = format!("'{}' does not have the hash that its pointer says; delete it", place.display());
            return Err(FetchError::Revision { what: path.to_string(), reason });
        }
        sink.close_file()?;
        Ok(true)
    }
}

/// Looks for pointers.
struct Search<'a> {
    repository: &'a Repository,
    attributes: Attributes,
    found: BTreeMap<BString, Pointer>,
}

impl Search<'_> {
    fn tree(&mut self, id: ObjectId, path: &mut BString) -> Result<(), FetchError> {
        let repository = self.repository;
        let tree = repository.gix.find_tree(id).map_err(repository.failed("find the tree"))?;
        add_attributes(repository, &tree, path.as_bstr(), &mut self.attributes)?;
        for entry in tree.iter() {
            let entry = entry.map_err(repository.failed("read the tree"))?;
            let length = path.len();
            push(path, entry.filename());
            match entry.mode().kind() {
                EntryKind::Tree => self.tree(entry.object_id(), path)?,
                EntryKind::Blob | EntryKind::BlobExecutable => self.file(entry.object_id(), path)?,
                EntryKind::Link | EntryKind::Commit => {}
            }
            path.truncate(length);
        }
        Ok(())
    }

    fn file(&mut self, id: ObjectId, path: &BString) -> Result<(), FetchError> {
        if self.attributes.get(path.as_bstr(), false, "filter") != State::Value("lfs".into()) {
            return Ok(());
        }
        let header = self.repository.gix.find_header(id).map_err(self.repository.failed("find the file"))?;
        if header.size() < LONGEST_POINTER
            && let Some(pointer) = Pointer::parse(&self.repository.blob(id)?)
        {
            self.found.insert(path.clone(), pointer);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Pointer;

    #[test]
    fn only_pointers_of_the_first_version_are_pointers() {
        let oid = "f5e02aa71e67f41d79023a128ca35bad86cf7b6656967bfe0884b3a3c4325eaf";
        let text = format!("version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize 12\n");
        let pointer = Pointer::parse(text.as_bytes()).unwrap();
        assert_eq!((pointer.oid.as_str(), pointer.size), (oid, 12));
        for wrong in [text.replace("v1", "v2"), text.replace("f5", "F5"), text.replace("12", "x"), String::new()] {
            assert_eq!(Pointer::parse(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
