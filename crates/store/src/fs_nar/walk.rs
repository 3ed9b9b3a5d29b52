//! Tree → sink.

use std::ffi::{CStr, CString, OsStr};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix_formats::nar::{MAX_DEPTH, NarError};
use rustix::fs::{self, AtFlags, CWD, FileType, Mode, OFlags, RawDir};

use super::{FileKind, Filter, TreeError, TreeSink};

/// Files up to one byte less than this are read by a single call.
const CONTENT_BUFFER: usize = 256 * 1024;
const DIRECTORY_BUFFER: usize = 32 * 1024;

/// Gives the tree at `source` to `sink`. Symlinks are given as such, `source` itself too if it is one.
pub fn walk(source: &Path, filter: &mut Filter<'_>, sink: &mut impl TreeSink) -> Result<(), TreeError> {
    let mut walk = Walk { path: source.to_owned(), filter, sink, content: Vec::new(), directory: Vec::new(), depth: 0 };
    let name = CString::new(source.as_os_str().as_bytes())
        .map_err(|_| TreeError::io("read", source)(std::io::Error::from(std::io::ErrorKind::InvalidInput)))?;
    let kind = walk.stat_kind(CWD, &name)?;
    walk.node(CWD, &name, kind)
}

struct Walk<'a, 'f, S> {
    /// The node being read.
    path: PathBuf,
    filter: &'a mut Filter<'f>,
    sink: &'a mut S,
    /// As large as the largest read so far: most sources are one small file, and clearing whole buffers for them takes longer
    /// than reading them.
    content: Vec<u8>,
    directory: Vec<MaybeUninit<u8>>,
    depth: usize,
}

/// The entries of one directory, their names one after the other, each with its zero byte.
#[derive(Default)]
struct Entries {
    names: Vec<u8>,
    index: Vec<(usize, usize, FileType)>,
}

impl Entries {
    fn name(&self, start: usize, end: usize) -> &CStr {
        CStr::from_bytes_with_nul(&self.names[start..end]).unwrap_or(c"")
    }
}

impl<S: TreeSink> Walk<'_, '_, S> {
    fn node(&mut self, parent: BorrowedFd<'_>, name: &CStr, kind: FileKind) -> Result<(), TreeError> {
        match kind {
            FileKind::Regular => self.file(parent, name),
            FileKind::Directory => self.walk_directory(parent, name),
            FileKind::Symlink => {
                let target =
                    fs::readlinkat(parent, name, Vec::new()).map_err(TreeError::io("read symlink", &self.path))?;
                self.sink.symlink(target.as_bytes())
            }
            FileKind::Other => Err(TreeError::UnsupportedType { path: self.path.clone() }),
        }
    }

    fn walk_directory(&mut self, parent: BorrowedFd<'_>, name: &CStr) -> Result<(), TreeError> {
        if self.depth >= MAX_DEPTH {
            return Err(NarError::Misuse { reason: "directories nest too deep".to_owned() }.into());
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = fs::openat(parent, name, flags, Mode::empty()).map_err(TreeError::io("open directory", &self.path))?;
        let entries = self.entries(&fd)?;
        self.sink.open_directory()?;
        self.depth += 1;
        for &(start, end, file_type) in &entries.index {
            let name = entries.name(start, end);
            self.path.push(OsStr::from_bytes(name.to_bytes()));
            self.child(fd.as_fd(), name, file_type)?;
            self.path.pop();
        }
        self.depth -= 1;
        self.sink.close_directory()
    }

    fn child(&mut self, parent: BorrowedFd<'_>, name: &CStr, file_type: FileType) -> Result<(), TreeError> {
        let kind = match file_type {
            FileType::Unknown => self.stat_kind(parent, name)?,
            known => FileKind::of(known),
        };
        if !(self.filter)(&self.path, kind).map_err(|_| TreeError::FilterStopped)? {
            return Ok(());
        }
        self.sink.entry(name.to_bytes())?;
        self.node(parent, name, kind)
    }

    fn entries(&mut self, fd: &OwnedFd) -> Result<Entries, TreeError> {
        let mut entries = Entries::default();
        self.directory.resize(DIRECTORY_BUFFER, MaybeUninit::uninit());
        let mut directory = RawDir::new(fd, &mut self.directory);
        while let Some(entry) = directory.next() {
            let entry = entry.map_err(TreeError::io("read directory", &self.path))?;
            let name = entry.file_name().to_bytes_with_nul();
            if !matches!(name, b".\0" | b"..\0") {
                let start = entries.names.len();
                entries.names.extend_from_slice(name);
                entries.index.push((start, entries.names.len(), entry.file_type()));
            }
        }
        let names = &entries.names;
        entries.index.sort_unstable_by_key(|&(start, end, _)| &names[start..end]);
        Ok(entries)
    }

    fn file(&mut self, parent: BorrowedFd<'_>, name: &CStr) -> Result<(), TreeError> {
        // Not to be caught by a pipe that took the file's place.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = fs::openat(parent, name, flags, Mode::empty()).map_err(TreeError::io("open", &self.path))?;
        let stat = fs::fstat(&fd).map_err(TreeError::io("read", &self.path))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(TreeError::Changed { path: self.path.clone() });
        }
        let size = stat.st_size as u64;
        self.sink.open_file(stat.st_mode & 0o100 != 0, size)?;
        self.read_content(&fd, size)?;
        self.sink.close_file()
    }

    fn read_content(&mut self, fd: &OwnedFd, size: u64) -> Result<(), TreeError> {
        let mut left = size;
        loop {
            // One byte more than there should be, so that the same call sees a file that has grown.
            let want = usize::try_from(left).map_or(CONTENT_BUFFER, |left| CONTENT_BUFFER.min(left + 1));
            if self.content.len() < want {
                self.content.resize(want, 0);
            }
            let count = match rustix::io::read(fd, &mut self.content[..want]) {
                Err(rustix::io::Errno::INTR) => continue,
                other => other.map_err(TreeError::io("read", &self.path))?,
            };
            if count as u64 > left || (count == 0 && left > 0) {
                return Err(TreeError::Changed { path: self.path.clone() });
            }
            self.sink.content(&self.content[..count])?;
            left -= count as u64;
            if left == 0 && count < want {
                return Ok(());
            }
        }
    }

    fn stat_kind(&self, parent: BorrowedFd<'_>, name: &CStr) -> Result<FileKind, TreeError> {
        let stat = fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW).map_err(TreeError::io("read", &self.path))?;
        Ok(FileKind::of(FileType::from_raw_mode(stat.st_mode)))
    }
}
