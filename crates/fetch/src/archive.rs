//! Archives → trees: tar, plain or compressed by gzip, xz, bzip2 or Zstandard, told by their first bytes.
//!
//! An archive may come from anyone. It is unpacked into a new directory that nobody else writes to, and of everything
//! there is noted what it is, so that no entry goes through a symlink or out of the directory.

use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::{Component, Path, PathBuf};

use bzip2::bufread::MultiBzDecoder;
use flate2::bufread::MultiGzDecoder;
use liblzma::bufread::XzDecoder;
use tar::{Archive, Entry, EntryType};

/// Unpacks an archive into `destination`, which must not exist, and returns the latest modification time in it, in
/// seconds since 1970. Errors are sentences without the archive's name.
pub(crate) fn unpack(archive: impl Read, destination: &Path) -> Result<u64, String> {
    fs::create_dir(destination).map_err(|error| format!("cannot create '{}': {error}", destination.display()))?;
    let stream = decompress(archive).map_err(|error| error.to_string())?;
    let mut unpacking = Unpacking { root: destination, kinds: HashMap::new(), newest: 0 };
    let mut archive = Archive::new(stream);
    for entry in archive.entries().map_err(|error| error.to_string())? {
        unpacking.entry(&mut entry.map_err(|error| error.to_string())?)?;
    }
    Ok(unpacking.newest)
}

/// The tree in an unpacked archive: its only directory if there is nothing beside it, as forges make archives.
pub(crate) fn only_directory(unpacked: PathBuf) -> Result<PathBuf, io::Error> {
    let mut entries = fs::read_dir(&unpacked)?;
    match (entries.next().transpose()?, entries.next()) {
        (Some(only), None) if only.file_type()?.is_dir() => Ok(only.path()),
        _ => Ok(unpacked),
    }
}

fn decompress<'a>(archive: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let mut stream = BufReader::with_capacity(128 * 1024, archive);
    let start = stream.fill_buf()?;
    Ok(match start {
        [0x1f, 0x8b, ..] => Box::new(MultiGzDecoder::new(stream)),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Box::new(XzDecoder::new_multi_decoder(stream)),
        [b'B', b'Z', b'h', ..] => Box::new(MultiBzDecoder::new(stream)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Box::new(zstd::Decoder::with_buffer(stream)?),
        [b'P', b'K', ..] => return Err(io::Error::other("zip archives are not supported")),
        _ => Box::new(stream),
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Directory,
    File,
    Symlink,
}

struct Unpacking<'a> {
    root: &'a Path,
    /// What was made, by the path below the root.
    kinds: HashMap<PathBuf, Kind>,
    newest: u64,
}

impl Unpacking<'_> {
    fn entry<R: Read>(&mut self, entry: &mut Entry<'_, R>) -> Result<(), String> {
        let kind = entry.header().entry_type();
        if matches!(kind, EntryType::XGlobalHeader) {
            return Ok(());
        }
        let path = inside(&entry.path_bytes())?;
        self.newest = self.newest.max(entry.header().mtime().unwrap_or(0));
        if path.as_os_str().is_empty() {
            return Ok(());
        }
        let failed = |error: io::Error| format!("cannot write '{}': {error}", path.display());
        if kind == EntryType::Directory {
            return self.directories(&path);
        }
        self.directories(path.parent().unwrap_or(Path::new("")))?;
        self.replace(&path)?;
        let place = self.root.join(&path);
        match kind {
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                let executable = entry.header().mode().unwrap_or(0) & 0o100 != 0;
                let mode = if executable { 0o755 } else { 0o644 };
                let opened = OpenOptions::new().write(true).create_new(true).mode(mode).open(place);
                io::copy(entry, &mut opened.map_err(failed)?).map_err(failed)?;
                self.kinds.insert(path, Kind::File);
            }
            EntryType::Symlink => {
                let target = entry.link_name_bytes().ok_or("a symlink has no target")?;
                symlink(std::ffi::OsStr::from_bytes(&target), place).map_err(failed)?;
                self.kinds.insert(path, Kind::Symlink);
            }
            EntryType::Link => {
                let target = inside(&entry.link_name_bytes().ok_or("a hard link has no target")?)?;
                let kind = self.kinds.get(&target).copied().filter(|kind| *kind != Kind::Directory);
                let kind = kind.ok_or_else(|| format!("the hard link '{}' has no target", path.display()))?;
                fs::hard_link(self.root.join(target), place).map_err(failed)?;
                self.kinds.insert(path, kind);
            }
            _ => return Err(format!("'{}' is a device or a pipe", path.display())),
        }
        Ok(())
    }

    /// Makes the directories on the way to `path`, and `path` itself.
    fn directories(&mut self, path: &Path) -> Result<(), String> {
        match self.kinds.get(path) {
            Some(Kind::Directory) => return Ok(()),
            Some(_) => return Err(format!("an entry goes through '{}', which is no directory", path.display())),
            None if path.as_os_str().is_empty() => return Ok(()),
            None => {}
        }
        self.directories(path.parent().unwrap_or(Path::new("")))?;
        fs::create_dir(self.root.join(path)).map_err(|error| format!("cannot create '{}': {error}", path.display()))?;
        self.kinds.insert(path.to_owned(), Kind::Directory);
        Ok(())
    }

    /// A later entry of the same name takes the place of an earlier one.
    fn replace(&mut self, path: &Path) -> Result<(), String> {
        match self.kinds.remove(path) {
            None => Ok(()),
            Some(Kind::Directory) => Err(format!("'{}' is there as a directory and as a file", path.display())),
            Some(_) => fs::remove_file(self.root.join(path))
                .map_err(|error| format!("cannot replace '{}': {error}", path.display())),
        }
    }
}

/// The path of an entry below the root; an error if it leads out.
fn inside(path: &[u8]) -> Result<PathBuf, String> {
    let path = Path::new(std::ffi::OsStr::from_bytes(path));
    let mut below = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => below.push(name),
            Component::CurDir => {}
            _ => return Err(format!("the entry '{}' leads out of the archive", path.display())),
        }
    }
    Ok(below)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn header(path: &str, kind: EntryType, size: u64) -> tar::Header {
        let mut header = tar::Header::new_gnu();
        // Not `set_path`, which refuses what is tested here.
        header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_mode(0o755);
        header.set_mtime(1000);
        header
    }

    fn archive(entries: &[(&str, EntryType, &str)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, kind, content) in entries {
            let is_file = *kind == EntryType::Regular;
            let mut header = header(path, *kind, if is_file { content.len() as u64 } else { 0 });
            if !is_file && !content.is_empty() {
                header.set_link_name_literal(content).unwrap();
            }
            header.set_cksum();
            builder.append(&header, if is_file { content.as_bytes() } else { b"" }).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn unpacked(bytes: &[u8]) -> (tempfile::TempDir, Result<u64, String>) {
        let dir = tempfile::tempdir().unwrap();
        let result = unpack(bytes, &dir.path().join("tree"));
        (dir, result)
    }

    #[test]
    fn every_compression_is_read() {
        let plain = archive(&[("top/a", EntryType::Regular, "text"), ("top/l", EntryType::Symlink, "../../x")]);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&plain).unwrap();
        let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
        xz.write_all(&plain).unwrap();
        let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        bzip2.write_all(&plain).unwrap();
        let zstd = zstd::encode_all(&plain[..], 1).unwrap();
        for bytes in [plain, gzip.finish().unwrap(), xz.finish().unwrap(), bzip2.finish().unwrap(), zstd] {
            let (dir, newest) = unpacked(&bytes);
            assert_eq!(newest, Ok(1000));
            let top = only_directory(dir.path().join("tree")).unwrap();
            assert!(top.ends_with("top"));
            assert_eq!(fs::read_to_string(top.join("a")).unwrap(), "text");
            let (_dir, truncated) = unpacked(&bytes[..bytes.len() / 2]);
            assert!(truncated.is_err());
        }
    }

    #[test]
    fn entries_cannot_escape() {
        for (entries, reason) in [
            (vec![("../a", EntryType::Regular, "x")], "leads out"),
            (vec![("/a", EntryType::Regular, "x")], "leads out"),
            (vec![("d", EntryType::Symlink, "/tmp"), ("d/a", EntryType::Regular, "x")], "no directory"),
            (vec![("d", EntryType::Symlink, "/tmp"), ("d", EntryType::Directory, "")], "no directory"),
            (vec![("l", EntryType::Link, "../../etc/passwd")], "leads out"),
            (vec![("l", EntryType::Link, "gone")], "has no target"),
            (vec![("f", EntryType::Fifo, "")], "device or a pipe"),
            (vec![("d/a", EntryType::Regular, ""), ("d", EntryType::Regular, "")], "as a directory and as a file"),
        ] {
            let (_dir, result) = unpacked(&archive(&entries));
            let error = result.unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn a_file_is_not_written_through_a_link() {
        let entries = [("l", EntryType::Symlink, "/dev/full"), ("l", EntryType::Regular, "x")];
        let (dir, result) = unpacked(&archive(&entries));
        result.unwrap();
        assert!(dir.path().join("tree/l").symlink_metadata().unwrap().is_file());
    }
}
