//! Unpacking a layer's archive, which may come from anybody, into a directory.
//!
//! Every path is resolved by the kernel within that directory (`openat2` with `RESOLVE_IN_ROOT`), so neither `..` nor
//! a link that an earlier entry made leads out of it. Whiteouts become what overlayfs takes for one.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Timestamps, XattrFlags, makedev};
use rustix::io::Errno;
use sandbox::IdMap;
use tar::{Archive, Entry, EntryType};

use crate::entry::{inside, link_target, mode_of, owner_of, times_of, wrong};
use crate::place::{make_directory, names, remove, remove_tree};

/// The prefix of names that hide a file of the layers below, and the name that hides a directory's whole content.
const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";

/// What an entry is that cannot be unpacked.
#[derive(Debug)]
pub(crate) struct BadEntry {
    pub path: PathBuf,
    pub problem: String,
}

/// How whiteouts are carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whiteouts {
    /// The directory becomes one layer of an overlay: they are kept, in the form that it knows.
    Keep,
    /// The directory holds the layers below already: they are deleted.
    Apply,
}

/// What could not be made, without the archive being wrong.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Omitted {
    /// Device nodes, which only root can make.
    pub devices: u64,
}

/// Unpacks an archive into a directory.
pub(crate) fn unpack(archive: impl Read, directory: &Path, whiteouts: Whiteouts) -> Result<Omitted, BadEntry> {
    let bad = |path: &Path, problem: String| BadEntry { path: path.to_owned(), problem };
    let whole = |error: io::Error| bad(Path::new(""), error.to_string());
    let root = rustix::fs::open(directory, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| whole(errno.into()))?;
    let mut unpacker = Unpacker {
        root,
        whiteouts,
        owners: IdMap::own().is_some(),
        parent: None,
        directories: Vec::new(),
        omitted: Omitted::default(),
    };
    // Some tools leave out the zeros at an archive's end, even those that fill its last block. That nothing else is
    // missing is told by the layer's digest.
    let mut archive = Archive::new(archive.chain(io::repeat(0).take(1024)));
    for entry in archive.entries().map_err(whole)? {
        let mut entry = entry.map_err(whole)?;
        let path = entry.path().map_err(whole)?.into_owned();
        unpacker.entry(&mut entry, &path).map_err(|error| bad(&path, error.to_string()))?;
    }
    unpacker.finish().map_err(whole)
}

struct Unpacker {
    root: OwnedFd,
    whiteouts: Whiteouts,
    /// Whether owners can be set.
    owners: bool,
    /// The directory of the last entry, since the next one is most often in it too.
    parent: Option<(PathBuf, OwnedFd)>,
    /// Directories with their final modes and times, which must wait until everything is in them.
    directories: Vec<(PathBuf, Mode, Timestamps)>,
    omitted: Omitted,
}

impl Unpacker {
    fn entry(&mut self, entry: &mut Entry<'_, impl Read>, path: &Path) -> io::Result<()> {
        let path = inside(path)?;
        let Some(name) = path.file_name().map(OsStr::to_owned) else {
            return self.directory_metadata(entry, Path::new(""));
        };
        let parent_path = path.parent().unwrap_or(Path::new("")).to_owned();
        let parent = self.parent(&parent_path)?;
        let result = self.make(entry, &path, &parent, &name);
        self.parent = Some((parent_path, parent));
        result
    }

    fn make(
        &mut self,
        entry: &mut Entry<'_, impl Read>,
        path: &Path,
        parent: &OwnedFd,
        name: &OsStr,
    ) -> io::Result<()> {
        if name.as_bytes() == OPAQUE {
            return self.opaque(parent);
        }
        if let Some(hidden) = name.as_bytes().strip_prefix(WHITEOUT) {
            return self.whiteout(parent, OsStr::from_bytes(hidden));
        }
        let kind = entry.header().entry_type();
        if kind == EntryType::Directory {
            make_directory(parent, name)?;
            return self.directory_metadata(entry, path);
        }
        remove(parent, name)?;
        match kind {
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => self.file(entry, parent, name),
            EntryType::Symlink => {
                let target = link_target(entry)?;
                rustix::fs::symlinkat(&target, parent, name)?;
                self.metadata(entry, parent, name, false)
            }
            EntryType::Link => self.hard_link(&link_target(entry)?, parent, name),
            EntryType::Fifo => {
                rustix::fs::mknodat(parent, name, FileType::Fifo, mode_of(entry)?, 0)?;
                self.metadata(entry, parent, name, true)
            }
            EntryType::Char => self.device(entry, parent, name, FileType::CharacterDevice),
            EntryType::Block => self.device(entry, parent, name, FileType::BlockDevice),
            EntryType::XGlobalHeader => Ok(()),
            other => Err(wrong(format!("it has the unknown type {:?}", char::from(other.as_byte())))),
        }
    }

    /// The directory of this path inside, made if it is missing.
    fn parent(&mut self, path: &Path) -> io::Result<OwnedFd> {
        match self.parent.take() {
            Some((known, directory)) if known == path => return Ok(directory),
            _ => {}
        }
        match self.open(path) {
            Err(Errno::NOENT) => {}
            other => return Ok(other?),
        }
        let mut so_far = PathBuf::new();
        for name in path.components() {
            let directory = self.open(&so_far)?;
            so_far.push(name);
            if self.open(&so_far).is_err() {
                make_directory(&directory, name.as_os_str())?;
            }
        }
        Ok(self.open(path)?)
    }

    fn open(&self, path: &Path) -> Result<OwnedFd, Errno> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        rustix::fs::openat2(&self.root, path, flags, Mode::empty(), resolve)
    }

    fn file(&self, entry: &mut Entry<'_, impl Read>, parent: &OwnedFd, name: &OsStr) -> io::Result<()> {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(parent, name, flags, Mode::RUSR | Mode::WUSR)?;
        let mut file = File::from(file);
        io::copy(entry, &mut file)?;
        if self.owners {
            let (user, group) = owner_of(entry)?;
            rustix::fs::fchown(&file, Some(user), Some(group))?;
            self.capabilities(entry, &file)?;
        }
        rustix::fs::fchmod(&file, mode_of(entry)?)?;
        rustix::fs::futimens(&file, &times_of(entry)?)?;
        Ok(())
    }

    /// The capabilities of a file, as those of `ping`. Other extended attributes have no meaning in a container that
    /// could not be set from inside it, and some would mean something to overlayfs.
    fn capabilities(&self, entry: &mut Entry<'_, impl Read>, file: &File) -> io::Result<()> {
        const NAME: &str = "security.capability";
        let Some(extensions) = entry.pax_extensions()? else { return Ok(()) };
        for extension in extensions {
            let extension = extension?;
            if extension.key_bytes() == [b"SCHILY.xattr.", NAME.as_bytes()].concat() {
                rustix::fs::fsetxattr(file, NAME, extension.value_bytes(), XattrFlags::empty())?;
            }
        }
        Ok(())
    }

    fn hard_link(&self, target: &Path, parent: &OwnedFd, name: &OsStr) -> io::Result<()> {
        let target = inside(target)?;
        let target_name = target.file_name().ok_or_else(|| wrong("it is a hard link to a directory".to_owned()))?;
        let directory = self.open(target.parent().unwrap_or(Path::new("")))?;
        Ok(rustix::fs::linkat(&directory, target_name, parent, name, AtFlags::empty())?)
    }

    fn device(
        &mut self,
        entry: &Entry<'_, impl Read>,
        parent: &OwnedFd,
        name: &OsStr,
        kind: FileType,
    ) -> io::Result<()> {
        let header = entry.header();
        let number = (header.device_major()?.unwrap_or(0), header.device_minor()?.unwrap_or(0));
        // To an overlay, 0/0 means that the file is not there.
        if !self.owners || number == (0, 0) {
            self.omitted.devices += 1;
            return Ok(());
        }
        match rustix::fs::mknodat(parent, name, kind, mode_of(entry)?, makedev(number.0, number.1)) {
            Ok(()) => {}
            Err(Errno::PERM) => {
                self.omitted.devices += 1;
                return Ok(());
            }
            Err(errno) => return Err(errno.into()),
        }
        self.metadata(entry, parent, name, true)
    }

    fn metadata(&self, entry: &Entry<'_, impl Read>, parent: &OwnedFd, name: &OsStr, mode: bool) -> io::Result<()> {
        if self.owners {
            let (user, group) = owner_of(entry)?;
            rustix::fs::chownat(parent, name, Some(user), Some(group), AtFlags::SYMLINK_NOFOLLOW)?;
        }
        if mode {
            rustix::fs::chmodat(parent, name, mode_of(entry)?, AtFlags::empty())?;
        }
        Ok(rustix::fs::utimensat(parent, name, &times_of(entry)?, AtFlags::SYMLINK_NOFOLLOW)?)
    }

    fn directory_metadata(&mut self, entry: &Entry<'_, impl Read>, path: &Path) -> io::Result<()> {
        if self.owners {
            let (user, group) = owner_of(entry)?;
            let directory = self.open(path)?;
            rustix::fs::chownat(&directory, "", Some(user), Some(group), AtFlags::EMPTY_PATH)?;
        }
        self.directories.push((path.to_owned(), mode_of(entry)?, times_of(entry)?));
        Ok(())
    }

    fn whiteout(&self, parent: &OwnedFd, name: &OsStr) -> io::Result<()> {
        if name.is_empty() || name == "." || name == ".." {
            return Err(wrong("it hides nothing".to_owned()));
        }
        remove_tree(parent, name)?;
        match self.whiteouts {
            Whiteouts::Apply => Ok(()),
            // A device that anybody may make.
            Whiteouts::Keep => {
                Ok(rustix::fs::mknodat(parent, name, FileType::CharacterDevice, Mode::empty(), makedev(0, 0))?)
            }
        }
    }

    fn opaque(&self, parent: &OwnedFd) -> io::Result<()> {
        let directory =
            rustix::fs::openat(parent, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        match self.whiteouts {
            Whiteouts::Keep => Ok(rustix::fs::fsetxattr(&directory, "user.overlay.opaque", b"y", XattrFlags::empty())?),
            Whiteouts::Apply => {
                for name in names(&directory)? {
                    remove_tree(parent, &name)?;
                }
                Ok(())
            }
        }
    }

    fn finish(self) -> io::Result<Omitted> {
        // The last entry of a path counts, and a directory's own time must come after those of its children.
        for (path, mode, times) in self.directories.iter().rev() {
            let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
            let directory = match rustix::fs::openat2(&self.root, path, flags, Mode::empty(), resolve) {
                Ok(directory) => directory,
                // A later entry has replaced it, or an unreadable mode is set already.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::ACCESS) => continue,
                Err(errno) => return Err(errno.into()),
            };
            rustix::fs::fchmod(&directory, *mode)?;
            rustix::fs::futimens(&directory, times)?;
        }
        Ok(self.omitted)
    }
}
