//! Where a walk's nodes go.

use std::io::Write;

use nix_formats::nar::{self, NarError};

use super::TreeError;

/// Takes the nodes of a tree, depth first, entries in byte order of their names.
///
/// A node is a symlink, a file with its content, or a directory with its entries; each node in a directory comes after
/// its `entry`.
pub trait TreeSink {
    /// A directory starts.
    fn open_directory(&mut self) -> Result<(), TreeError>;
    /// An entry of the open directory; its node follows.
    fn entry(&mut self, name: &[u8]) -> Result<(), TreeError>;
    /// The open directory ends.
    fn close_directory(&mut self) -> Result<(), TreeError>;
    /// A symlink.
    fn symlink(&mut self, target: &[u8]) -> Result<(), TreeError>;
    /// A regular file of `size` bytes starts.
    fn open_file(&mut self, executable: bool, size: u64) -> Result<(), TreeError>;
    /// The next bytes of the open file.
    fn content(&mut self, bytes: &[u8]) -> Result<(), TreeError>;
    /// The open file ends.
    fn close_file(&mut self) -> Result<(), TreeError>;
}

/// Writes a NAR. Its writes are small, so `W` should be buffered or a hash.
pub struct NarSink<W>(nar::Writer<W>);

impl<W: Write> NarSink<W> {
    /// Starts a NAR.
    pub fn new(out: W) -> Result<Self, TreeError> {
        Ok(Self(nar::Writer::new(out).map_err(NarError::Io)?))
    }

    /// Ends the NAR, and gives `out` back.
    pub fn finish(self) -> Result<W, TreeError> {
        Ok(self.0.finish()?)
    }
}

impl<W: Write> TreeSink for NarSink<W> {
    fn open_directory(&mut self) -> Result<(), TreeError> {
        Ok(self.0.open_directory()?)
    }
    fn entry(&mut self, name: &[u8]) -> Result<(), TreeError> {
        Ok(self.0.entry(name)?)
    }
    fn close_directory(&mut self) -> Result<(), TreeError> {
        Ok(self.0.close_directory()?)
    }
    fn symlink(&mut self, target: &[u8]) -> Result<(), TreeError> {
        Ok(self.0.symlink(target)?)
    }
    fn open_file(&mut self, executable: bool, size: u64) -> Result<(), TreeError> {
        Ok(self.0.open_file(executable, size)?)
    }
    fn content(&mut self, bytes: &[u8]) -> Result<(), TreeError> {
        Ok(self.0.content(bytes)?)
    }
    fn close_file(&mut self) -> Result<(), TreeError> {
        Ok(self.0.close_file()?)
    }
}

/// Gives every node to both.
pub struct Tee<'a, A, B>(pub &'a mut A, pub &'a mut B);

impl<A: TreeSink, B: TreeSink> TreeSink for Tee<'_, A, B> {
    fn open_directory(&mut self) -> Result<(), TreeError> {
        self.0.open_directory()?;
        self.1.open_directory()
    }
    fn entry(&mut self, name: &[u8]) -> Result<(), TreeError> {
        self.0.entry(name)?;
        self.1.entry(name)
    }
    fn close_directory(&mut self) -> Result<(), TreeError> {
        self.0.close_directory()?;
        self.1.close_directory()
    }
    fn symlink(&mut self, target: &[u8]) -> Result<(), TreeError> {
        self.0.symlink(target)?;
        self.1.symlink(target)
    }
    fn open_file(&mut self, executable: bool, size: u64) -> Result<(), TreeError> {
        self.0.open_file(executable, size)?;
        self.1.open_file(executable, size)
    }
    fn content(&mut self, bytes: &[u8]) -> Result<(), TreeError> {
        self.0.content(bytes)?;
        self.1.content(bytes)
    }
    fn close_file(&mut self) -> Result<(), TreeError> {
        self.0.close_file()?;
        self.1.close_file()
    }
}
