//! The size of a tree's NAR, without reading the files.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::TreeError;

/// The size in bytes of the NAR of the tree at `path`, from names and metadata alone.
pub fn nar_size(path: &Path) -> Result<u64, TreeError> {
    Ok(string("nix-archive-1".len() as u64) + node(path)?)
}

fn node(path: &Path) -> Result<u64, TreeError> {
    let metadata = path.symlink_metadata().map_err(TreeError::io("read", path))?;
    let kind = metadata.file_type();
    let frame = words(&["(", "type", ")"]);
    if kind.is_symlink() {
        let target = std::fs::read_link(path).map_err(TreeError::io("read symlink", path))?;
        return Ok(frame + words(&["symlink", "target"]) + string(target.as_os_str().len() as u64));
    }
    if kind.is_file() {
        let executable = std::os::unix::fs::MetadataExt::mode(&metadata) & 0o100 != 0;
        let mark = if executable { words(&["executable", ""]) } else { 0 };
        return Ok(frame + words(&["regular", "contents"]) + mark + string(metadata.len()));
    }
    if !kind.is_dir() {
        return Err(TreeError::UnsupportedType { path: path.to_owned() });
    }
    let mut size = frame + words(&["directory"]);
    for entry in std::fs::read_dir(path).map_err(TreeError::io("read directory", path))? {
        let entry = entry.map_err(TreeError::io("read directory", path))?;
        size += words(&["entry", "(", "name", "node", ")"]);
        size += string(entry.file_name().as_bytes().len() as u64) + node(&entry.path())?;
    }
    Ok(size)
}

/// A string in a NAR has its length before it and is padded to a multiple of 8.
fn string(len: u64) -> u64 {
    8 + len.next_multiple_of(8)
}

fn words(words: &[&str]) -> u64 {
    words.iter().map(|word| string(word.len() as u64)).sum()
}
