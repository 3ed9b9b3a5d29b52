//! What git tracks in a working tree, and whether that is what was committed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, Metadata};
use std::io;
use std::ops::Bound;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use gix::ObjectId;
use gix::bstr::{BStr, BString, ByteSlice};
use gix::index::entry::{Flags, Mode};
use gix::objs::tree::EntryKind;
use nix_formats::hash::{HashAlgo, Hasher};
use store::fs_nar::FileKind;

use super::attributes::Attributes;
use super::submodules::DEEPEST;
use super::{Commit, Options, Repository};
use crate::FetchError;

/// A working tree.
pub(super) struct Worktree {
    pub root: PathBuf,
    /// The commit that is checked out, if there is one.
    pub head: Option<Commit>,
    /// Whether a tracked file is not as committed, or something is staged.
    pub is_dirty: bool,
    /// Whether the files, unless dirty, have the very bytes of the commit: no attribute or filter changes them, and
    /// none is left out.
    pub is_exact: bool,
    /// The tracked files that are there, relative to the root.
    files: BTreeSet<BString>,
    /// What leaves files out, if anything is to be left out.
    attributes: Option<Attributes>,
    /// The working trees of submodules, if they are wanted; `None` for one that is not checked out.
    submodules: BTreeMap<BString, Option<Worktree>>,
}

impl Worktree {
    pub fn read(repository: &Repository, options: Options) -> Result<Self, FetchError> {
        let root = repository.gix.workdir().unwrap_or(&repository.path).to_owned();
        let head = repository.head()?;
        let index = repository.gix.index_or_empty().map_err(repository.failed("read the index"))?;
        let staged = match &head {
            Some(head) => !matches_commit(repository, &index, head)?,
            None => true,
        };
        let mut worktree = Self {
            root,
            head,
            is_dirty: staged,
            is_exact: !repository.gix.git_dir().join("info/attributes").exists() && !converts_lines(repository),
            files: BTreeSet::new(),
            attributes: options.export_ignore.then(|| attributes(repository, &index)).transpose()?,
            submodules: BTreeMap::new(),
        };
        for entry in index.entries() {
            if entry.mode.is_submodule() {
                worktree.is_exact = false;
                if options.submodules {
                    worktree.submodule(entry.path(&index), entry.id, options)?;
                }
            } else {
                worktree.look_at(entry, entry.path(&index), &index)?;
            }
        }
        Ok(worktree)
    }

    /// Reads the working tree of a submodule. One that is at another commit than it should makes this one dirty.
    fn submodule(&mut self, path: &BStr, id: ObjectId, options: Options) -> Result<(), FetchError> {
        let place = self.root.join(Path::new(std::ffi::OsStr::from_bytes(path)));
        let inner = if place.join(".git").exists() && options.depth < DEEPEST {
            let repository = Repository::open(&place)?;
            Some(Self::read(&repository, Options { depth: options.depth + 1, ..options })?)
        } else {
            None
        };
        self.is_dirty |=
            inner.as_ref().is_some_and(|inner| inner.is_dirty || inner.head.as_ref().is_none_or(|head| head.id != id));
        self.submodules.insert(path.to_owned(), inner);
        Ok(())
    }

    /// Everything that is wanted must be there to be copied.
    pub fn check_whole(&self) -> Result<(), FetchError> {
        for (path, submodule) in &self.submodules {
            match submodule {
                Some(submodule) => submodule.check_whole()?,
                None => {
                    let reason = "this submodule is not checked out; run 'git submodule update --init --recursive'";
                    let what = self.root.join(Path::new(std::ffi::OsStr::from_bytes(path))).display().to_string();
                    return Err(FetchError::Unsupported { what, reason });
                }
            }
        }
        Ok(())
    }

    /// Is this path, relative to the root, to be copied: tracked, or a directory above something tracked?
    pub fn takes(&self, path: &[u8], kind: FileKind) -> bool {
        let is_directory = kind == FileKind::Directory;
        if self.attributes.as_ref().is_some_and(|found| found.is_export_ignored(path.as_bstr(), is_directory)) {
            return false;
        }
        self.tracks(path, kind) || self.has_submodule(path, kind)
    }

    /// Is this path in a submodule, or above one?
    fn has_submodule(&self, path: &[u8], kind: FileKind) -> bool {
        self.submodules.iter().any(|(place, submodule)| {
            if let Some(rest) = path.strip_prefix(place.as_slice()) {
                return match (rest, submodule) {
                    ([], _) => kind == FileKind::Directory,
                    ([b'/', below @ ..], Some(submodule)) => submodule.takes(below, kind),
                    _ => false,
                };
            }
            place.strip_prefix(path).is_some_and(|rest| rest.starts_with(b"/"))
        })
    }

    fn tracks(&self, path: &[u8], kind: FileKind) -> bool {
        if kind != FileKind::Directory {
            return self.files.contains(path.as_bstr());
        }
        let mut prefix = BString::from(path);
        prefix.push(b'/');
        let next = self.files.range::<BString, _>((Bound::Excluded(&prefix), Bound::Unbounded)).next();
        next.is_some_and(|file| file.starts_with(&prefix))
    }

    /// The tracked files that are there, those of submodules too.
    pub fn files(&self) -> Vec<PathBuf> {
        let own = self.files.iter().map(|file| self.root.join(Path::new(std::ffi::OsStr::from_bytes(file))));
        own.chain(self.submodules.values().flatten().flat_map(Self::files)).collect()
    }

    fn look_at(&mut self, entry: &gix::index::Entry, path: &BStr, index: &gix::index::File) -> Result<(), FetchError> {
        if path.ends_with(b".gitattributes") || entry.flags.contains(Flags::SKIP_WORKTREE) {
            self.is_exact = false;
        }
        let file = self.root.join(Path::new(std::ffi::OsStr::from_bytes(path)));
        let metadata = match file.symlink_metadata() {
            Ok(metadata) => metadata,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                self.is_dirty |= !entry.flags.contains(Flags::SKIP_WORKTREE);
                return Ok(());
            }
            Err(error) => return Err(FetchError::io("read", file)(error)),
        };
        self.files.insert(path.to_owned());
        let is_as_staged = !entry.flags.contains(Flags::INTENT_TO_ADD)
            && entry.stage_raw() == 0
            && (is_unchanged(entry, &metadata, index) || has_content(entry, &file, &metadata)?);
        self.is_dirty |= !is_as_staged;
        Ok(())
    }
}

/// The rules of the `.gitattributes` files in the index.
fn attributes(repository: &Repository, index: &gix::index::File) -> Result<Attributes, FetchError> {
    let mut attributes = Attributes::default();
    // The index is sorted, but a directory's file is not always before those below it.
    let mut files: Vec<(BString, ObjectId)> = Vec::new();
    for entry in index.entries() {
        let path = entry.path(index);
        let directory =
            path.strip_suffix(b".gitattributes").filter(|before| before.is_empty() || before.ends_with(b"/"));
        if let Some(directory) = directory {
            files.push((directory.strip_suffix(b"/").unwrap_or_default().into(), entry.id));
        }
    }
    files.sort();
    for (directory, id) in files {
        attributes.add(directory.as_bstr(), &repository.blob(id)?);
    }
    Ok(attributes)
}

/// Does the configuration make git change line ends?
fn converts_lines(repository: &Repository) -> bool {
    let config = repository.gix.config_snapshot();
    config.string("core.autocrlf").is_some_and(|value| value.as_bstr() != "false")
        || config.string("core.eol").is_some()
}

/// Is the index the tree of the commit?
fn matches_commit(repository: &Repository, index: &gix::index::File, commit: &Commit) -> Result<bool, FetchError> {
    // Git keeps the tree's hash in the index as long as nothing is staged.
    if index.tree().is_some_and(|tree| tree.num_entries.is_some() && tree.id == commit.tree) {
        return Ok(true);
    }
    let mut committed = Vec::new();
    flatten(repository, commit.tree, &mut BString::default(), &mut committed)?;
    committed.sort();
    let mut staged: Vec<(BString, EntryKind, ObjectId)> = Vec::with_capacity(committed.len());
    for entry in index.entries() {
        let Some(mode) = entry.mode.to_tree_entry_mode() else { return Ok(false) };
        if entry.flags.contains(Flags::INTENT_TO_ADD) {
            return Ok(false);
        }
        staged.push((entry.path(index).to_owned(), mode.kind(), entry.id));
    }
    staged.sort();
    Ok(staged == committed)
}

fn flatten(
    repository: &Repository,
    tree: ObjectId,
    prefix: &mut BString,
    into: &mut Vec<(BString, EntryKind, ObjectId)>,
) -> Result<(), FetchError> {
    let tree = repository.gix.find_tree(tree).map_err(repository.failed("find the tree"))?;
    for entry in tree.iter() {
        let entry = entry.map_err(repository.failed("read the tree"))?;
        let before = prefix.len();
        prefix.extend_from_slice(entry.filename());
        match entry.mode().kind() {
            EntryKind::Tree => {
                prefix.push(b'/');
                flatten(repository, entry.object_id(), prefix, into)?;
            }
            kind => into.push((prefix.clone(), kind, entry.object_id())),
        }
        prefix.truncate(before);
    }
    Ok(())
}

/// Does the file look as when git last saw it? Only a certain yes counts.
fn is_unchanged(entry: &gix::index::Entry, metadata: &Metadata, index: &gix::index::File) -> bool {
    let stat = &entry.stat;
    let seen = index.timestamp();
    // A file that changed within the tick of the clock in which the index was written looks the same.
    let is_settled = (metadata.mtime(), metadata.mtime_nsec()) < (seen.unix_seconds(), i64::from(seen.nanoseconds()));
    is_settled
        && mode_of(metadata) == Some(entry.mode)
        && stat.size == metadata.size() as u32
        && stat.mtime.secs == metadata.mtime() as u32
        && stat.mtime.nsecs == metadata.mtime_nsec() as u32
        && stat.ctime.secs == metadata.ctime() as u32
        && stat.ctime.nsecs == metadata.ctime_nsec() as u32
}

/// Has the file the content and the mode that are in the index?
fn has_content(entry: &gix::index::Entry, file: &Path, metadata: &Metadata) -> Result<bool, FetchError> {
    if mode_of(metadata) != Some(entry.mode) {
        return Ok(false);
    }
    let algo = if entry.id.as_bytes().len() == 20 { HashAlgo::Sha1 } else { HashAlgo::Sha256 };
    let mut hasher = Hasher::new(algo);
    if metadata.is_symlink() {
        let target = fs::read_link(file).map_err(FetchError::io("read", file))?;
        hasher.update(format!("blob {}\0", target.as_os_str().len()).as_bytes());
        hasher.update(target.as_os_str().as_bytes());
    } else {
        hasher.update(format!("blob {}\0", metadata.len()).as_bytes());
        let mut content = File::open(file).map_err(FetchError::io("open", file))?;
        io::copy(&mut content, &mut hasher).map_err(FetchError::io("read", file))?;
    }
    Ok(hasher.finish().bytes() == entry.id.as_bytes())
}

fn mode_of(metadata: &Metadata) -> Option<Mode> {
    if metadata.is_symlink() {
        Some(Mode::SYMLINK)
    } else if metadata.is_file() {
        Some(if metadata.mode() & 0o100 != 0 { Mode::FILE_EXECUTABLE } else { Mode::FILE })
    } else {
        None
    }
}
