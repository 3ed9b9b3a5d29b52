//! NAR → tree.

use std::ffi::{CString, OsStr};
use std::io::{self, BufRead, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use nix_formats::nar::{self, Event, NarError, Reader};
use rustix::fs::{self, AtFlags, CWD, Mode, OFlags, Timestamps};

use super::canonical::TIMESTAMPS;
use super::{TreeError, TreeSink};

const DIRECTORY_MODE: u32 = 0o555;

/// Gives the nodes of a NAR to `sink`.
pub fn replay(nar: impl BufRead, sink: &mut impl TreeSink) -> Result<(), TreeError> {
    let mut reader = Reader::new(nar);
    let mut buffer = vec![0; 256 * 1024];
    while let Some(event) = reader.next()? {
        match event {
            Event::OpenDirectory => sink.open_directory()?,
            Event::Entry { name } => sink.entry(&name)?,
            Event::CloseDirectory => sink.close_directory()?,
            Event::Symlink { target } => sink.symlink(&target)?,
            Event::File { executable, size } => {
                sink.open_file(executable, size)?;
                loop {
                    match reader.content().read(&mut buffer) {
                        Ok(0) => break,
                        Ok(count) => sink.content(&buffer[..count])?,
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                            return Err(NarError::Truncated { offset: reader.offset() }.into());
                        }
                        Err(error) => return Err(NarError::Io(error).into()),
                    }
                }
                sink.close_file()?;
            }
        }
    }
    Ok(())
}

/// Writes a tree with canonical metadata: modification time 1, modes 0444 and 0555.
pub struct Restorer {
    /// The node being written.
    path: PathBuf,
    /// The name of the next node in the open directory; at the root the whole path.
    name: CString,
    /// The open directories.
    stack: Vec<OwnedFd>,
    file: Option<std::fs::File>,
    /// Whether the process's umask takes bits away that the modes need.
    chmod: bool,
}

impl Restorer {
    /// Will write the root of the tree to `destination`, which must not exist.
    pub fn new(destination: &Path) -> Result<Self, TreeError> {
        let name = CString::new(destination.as_os_str().as_bytes())
            .map_err(|_| TreeError::io("create", destination)(io::Error::from(io::ErrorKind::InvalidInput)))?;
        Ok(Self { path: destination.to_owned(), name, stack: Vec::new(), file: None, chmod: umask_interferes() })
    }

    /// Ends the tree; an error if it is not complete.
    pub fn finish(self) -> Result<(), TreeError> {
        if self.stack.is_empty() && self.file.is_none() {
            return Ok(());
        }
        Err(NarError::Misuse { reason: "the tree is not complete".to_owned() }.into())
    }

    fn parent(&self) -> BorrowedFd<'_> {
        self.stack.last().map_or(CWD, AsFd::as_fd)
    }

    fn failed<E: Into<io::Error>>(&self, action: &'static str) -> impl FnOnce(E) -> TreeError {
        TreeError::io(action, &self.path)
    }

    /// Something could not be made. What is there already, in a directory that is new, is another entry that the file system
    /// takes for this one: an archive has no name twice.
    fn not_made(&self, action: &'static str) -> impl FnOnce(rustix::io::Errno) -> TreeError {
        let inside = !self.stack.is_empty();
        move |errno| match errno {
            rustix::io::Errno::EXIST if inside => TreeError::Folded { path: self.path.clone() },
            errno => TreeError::io(action, &self.path)(errno),
        }
    }

    /// After a node: the path is that of the directory again.
    fn leave(&mut self) {
        if !self.stack.is_empty() {
            self.path.pop();
        }
    }
}

impl TreeSink for Restorer {
    fn open_directory(&mut self) -> Result<(), TreeError> {
        fs::mkdirat(self.parent(), &self.name, Mode::from_raw_mode(0o700))
            .map_err(self.not_made("create directory"))?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = fs::openat(self.parent(), &self.name, flags, Mode::empty()).map_err(self.failed("open directory"))?;
        self.stack.push(fd);
        Ok(())
    }

    fn entry(&mut self, name: &[u8]) -> Result<(), TreeError> {
        // Not every source of nodes has checked this: a git tree may hold any name.
        if let Some(problem) = nar::name_problem(name) {
            return Err(NarError::Misuse { reason: problem.to_owned() }.into());
        }
        self.path.push(OsStr::from_bytes(name));
        self.name = CString::new(name).map_err(|error| self.failed("create")(io::Error::from(error)))?;
        Ok(())
    }

    fn close_directory(&mut self) -> Result<(), TreeError> {
        if let Some(fd) = self.stack.pop() {
            fs::fchmod(&fd, Mode::from_raw_mode(DIRECTORY_MODE)).map_err(self.failed("set the mode of"))?;
            set_times(&fd).map_err(self.failed("set the time of"))?;
        }
        self.leave();
        Ok(())
    }

    fn symlink(&mut self, target: &[u8]) -> Result<(), TreeError> {
        fs::symlinkat(target, self.parent(), &self.name).map_err(self.not_made("create symlink"))?;
        fs::utimensat(self.parent(), &self.name, &TIMESTAMPS, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(self.failed("set the time of"))?;
        self.leave();
        Ok(())
    }

    fn open_file(&mut self, executable: bool, size: u64) -> Result<(), TreeError> {
        let mode = Mode::from_raw_mode(if executable { 0o555 } else { 0o444 });
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = fs::openat(self.parent(), &self.name, flags, mode).map_err(self.not_made("create"))?;
        if self.chmod {
            fs::fchmod(&fd, mode).map_err(self.failed("set the mode of"))?;
        }
        // A full disk should be seen before gigabytes are written. A size that lies is no harm: nothing is allocated
        // beyond it, and not every file system can.
        if size > 1024 * 1024
            && let Err(rustix::io::Errno::NOSPC) = fs::fallocate(&fd, fs::FallocateFlags::KEEP_SIZE, 0, size)
        {
            return Err(self.failed("allocate space for")(rustix::io::Errno::NOSPC));
        }
        self.file = Some(fd.into());
        Ok(())
    }

    fn content(&mut self, bytes: &[u8]) -> Result<(), TreeError> {
        match &mut self.file {
            Some(file) => file.write_all(bytes).map_err(TreeError::io("write", &self.path)),
            None => Err(NarError::Misuse { reason: "content outside of a file".to_owned() }.into()),
        }
    }

    fn close_file(&mut self) -> Result<(), TreeError> {
        if let Some(file) = self.file.take() {
            set_times(&file).map_err(self.failed("set the time of"))?;
        }
        self.leave();
        Ok(())
    }
}

fn set_times(fd: impl AsFd) -> rustix::io::Result<()> {
    let timestamps: &Timestamps = &TIMESTAMPS;
    fs::futimens(fd, timestamps)
}

/// Does the umask take away bits of 0555? Asked once; the file in /proc is the only way that does not change it.
fn umask_interferes() -> bool {
    static ANSWER: OnceLock<bool> = OnceLock::new();
    *ANSWER.get_or_init(|| {
        let Ok(status) = std::fs::read_to_string("/proc/self/status") else { return true };
        let umask = status.lines().find_map(|line| line.strip_prefix("Umask:"));
        umask.and_then(|text| u32::from_str_radix(text.trim(), 8).ok()).is_none_or(|umask| umask & 0o555 != 0)
    })
}
