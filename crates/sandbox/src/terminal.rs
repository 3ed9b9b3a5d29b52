//! A pseudo-terminal for a process.

use std::ffi::CStr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use rustix::fs::{Mode, OFlags};

use crate::error::Error;

/// The two ends of a pseudo-terminal.
#[derive(Debug)]
pub struct Terminal {
    /// The end that reads what the process writes, and writes what it reads.
    pub master: OwnedFd,
    /// The end that becomes the process's standard streams.
    pub slave: OwnedFd,
    /// The device of that end on the host.
    pub path: PathBuf,
}

impl Terminal {
    /// Makes one.
    ///
    /// # Errors
    /// [`Error::System`] where the host has no more of them.
    pub fn open() -> Result<Terminal, Error> {
        let failed = || {
            let source = std::io::Error::last_os_error();
            Error::System { what: "make a terminal", source }
        };
        // SAFETY: makes a new descriptor, or fails with -1.
        let master = unsafe { libc::posix_openpt(libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC) };
        if master < 0 {
            return Err(failed());
        }
        // SAFETY: the descriptor was just made, and nobody else owns it.
        let master = unsafe { OwnedFd::from_raw_fd(master) };
        let mut name = [0; 64];
        // SAFETY: both calls take an open descriptor; the second writes a terminated name of at most the given length.
        let result = unsafe {
            match libc::unlockpt(master.as_raw_fd()) {
                0 => libc::ptsname_r(master.as_raw_fd(), name.as_mut_ptr().cast(), name.len()),
                _ => -1,
            }
        };
        if result != 0 {
            return Err(failed());
        }
        let name = CStr::from_bytes_until_nul(&name).unwrap_or_default();
        let path = PathBuf::from(std::ffi::OsStr::from_bytes(name.to_bytes()));
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let slave = rustix::fs::open(&path, flags, Mode::empty()).map_err(Error::system("open a terminal"))?;
        Ok(Terminal { master, slave, path })
    }
}
