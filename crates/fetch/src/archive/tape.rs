//! Archives of tar.

use std::cell::Cell;
use std::io::Read;
use std::path::Path;
use std::rc::Rc;

use tar::{Archive, Entry, EntryType};

use super::bounds::Rationed;
use super::place::{Unpacking, inside};

/// The most that may stand between two contents, in bytes: names and extended headers are read into memory whole.
const LONGEST_HEADER: u64 = 4 << 20;

pub(super) fn unpack(stream: impl Read, unpacking: &mut Unpacking<'_>) -> Result<(), String> {
    let ration = Rc::new(Cell::new(LONGEST_HEADER));
    let mut archive = Archive::new(Rationed { inner: stream, ration: Rc::clone(&ration) });
    for entry in archive.entries().map_err(|error| error.to_string())? {
        // Contents go to the disk, and are bounded there.
        ration.set(u64::MAX);
        one(&mut entry.map_err(|error| error.to_string())?, unpacking)?;
        ration.set(LONGEST_HEADER);
    }
    Ok(())
}

fn one<R: Read>(entry: &mut Entry<'_, R>, unpacking: &mut Unpacking<'_>) -> Result<(), String> {
    let kind = entry.header().entry_type();
    if matches!(kind, EntryType::XGlobalHeader) {
        return Ok(());
    }
    let path = inside(&entry.path_bytes())?;
    unpacking.newest = unpacking.newest.max(entry.header().mtime().unwrap_or(0));
    if kind == EntryType::Directory {
        return unpacking.directory(&path);
    }
    if path == Path::new("") {
        return Ok(());
    }
    match kind {
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
            let executable = entry.header().mode().unwrap_or(0) & 0o100 != 0;
            unpacking.file(&path, executable, entry)
        }
        EntryType::Symlink => {
            let target = entry.link_name_bytes().ok_or("a symlink has no target")?;
            unpacking.symlink(&path, &target)
        }
        EntryType::Link => {
            let target = inside(&entry.link_name_bytes().ok_or("a hard link has no target")?)?;
            unpacking.hard_link(&path, &target)
        }
        _ => Err(format!("'{}' is a device or a pipe", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use tar::EntryType;

    use crate::archive::{only_directory, unpack};

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
            assert_eq!(std::fs::read_to_string(top.join("a")).unwrap(), "text");
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
    fn names_do_not_fill_the_memory() {
        let name = vec![b'a'; 8 << 20];
        let mut builder = tar::Builder::new(Vec::new());
        let mut long = header("././@LongLink", EntryType::GNULongName, name.len() as u64);
        long.set_cksum();
        builder.append(&long, &name[..]).unwrap();
        let mut file = header("a", EntryType::Regular, 0);
        file.set_cksum();
        builder.append(&file, &b""[..]).unwrap();
        let (_dir, result) = unpacked(&builder.into_inner().unwrap());
        assert!(result.unwrap_err().contains("too long"));
    }

    #[test]
    fn a_file_is_not_written_through_a_link() {
        let entries = [("l", EntryType::Symlink, "/dev/full"), ("l", EntryType::Regular, "x")];
        let (dir, result) = unpacked(&archive(&entries));
        result.unwrap();
        assert!(dir.path().join("tree/l").symlink_metadata().unwrap().is_file());
    }
}
