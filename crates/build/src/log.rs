//! The log of a build: compressed into a file where Nix keeps its logs, the last lines remembered for the error.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use bzip2::Compression;
use bzip2::write::BzEncoder;
use nix_formats::store_path::StorePath;
use store::progress::Task;

use crate::error::BuildError;

/// How many lines an error shows.
const LAST_LINES: usize = 25;
/// A longer line is shown in pieces of this many bytes.
const LINE_LIMIT: usize = 16 << 10;

/// Where the log of a derivation is: below `log_dir` as `drvs/` + the first two characters of its base name + `/` +
/// the others + `.bz2`, which is Nix's layout.
pub fn log_path(log_dir: &Path, derivation: &StorePath) -> PathBuf {
    let (first, rest) = derivation.base_name().split_at(2);
    log_dir.join("drvs").join(first).join(format!("{rest}.bz2"))
}

/// A log that is being written.
pub(crate) struct BuildLog<'a> {
    path: PathBuf,
    task: &'a Task<'a>,
    /// Made when the first byte comes, since most builders have nothing to say.
    file: Option<(BzEncoder<File>, PathBuf)>,
    partial: Vec<u8>,
    last_lines: VecDeque<String>,
    failed: Option<BuildError>,
}

impl<'a> BuildLog<'a> {
    pub fn new(path: PathBuf, task: &'a Task<'a>) -> BuildLog<'a> {
        BuildLog { path, task, file: None, partial: Vec::new(), last_lines: VecDeque::new(), failed: None }
    }

    /// Takes what the builder wrote. A failure to write the log is kept for the end, so that the builder goes on.
    pub fn write(&mut self, bytes: &[u8]) {
        if self.failed.is_none()
            && let Err(error) = self.compress(bytes)
        {
            self.failed = Some(error);
        }
        let mut lines = bytes.split(|byte| *byte == b'\n');
        let last = lines.next_back().unwrap_or_default();
        for line in lines {
            self.partial.extend_from_slice(line);
            self.end_line();
        }
        for piece in last.chunks(LINE_LIMIT) {
            self.partial.extend_from_slice(piece);
            if self.partial.len() >= LINE_LIMIT {
                self.end_line();
            }
        }
    }

    fn compress(&mut self, bytes: &[u8]) -> Result<(), BuildError> {
        if self.file.is_none() {
            let directory = self.path.parent().unwrap_or(Path::new("/"));
            fs::create_dir_all(directory).map_err(BuildError::file("create the directory", directory))?;
            let temporary = self.path.with_extension(format!("tmp.{}", std::process::id()));
            let file = File::create(&temporary).map_err(BuildError::file("create the log", &temporary))?;
            self.file = Some((BzEncoder::new(file, Compression::fast()), temporary));
        }
        match &mut self.file {
            Some((encoder, path)) => encoder.write_all(bytes).map_err(BuildError::file("write the log", &*path)),
            None => Ok(()),
        }
    }

    fn end_line(&mut self) {
        let line = String::from_utf8_lossy(&self.partial).trim_end_matches('\r').to_owned();
        self.partial.clear();
        self.task.log(&line);
        if self.last_lines.len() == LAST_LINES {
            self.last_lines.pop_front();
        }
        self.last_lines.push_back(line);
    }

    /// Puts the log into its place. Returns the last lines, and the file unless the builder wrote nothing.
    pub fn finish(mut self) -> Result<(Vec<String>, Option<PathBuf>), BuildError> {
        if !self.partial.is_empty() {
            self.end_line();
        }
        if let Some(error) = self.failed {
            return Err(error);
        }
        let Some((encoder, temporary)) = self.file.take() else {
            return Ok((self.last_lines.into(), None));
        };
        encoder.finish().map_err(BuildError::file("write the log", &temporary))?;
        fs::rename(&temporary, &self.path).map_err(BuildError::file("move into place the log", &self.path))?;
        Ok((self.last_lines.into(), Some(self.path.clone())))
    }
}
