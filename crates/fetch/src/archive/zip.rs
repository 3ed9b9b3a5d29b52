//! Archives of zip.
//!
//! Its directory is at its end, and says of each entry whether it is a symlink; so the whole archive must be there first.

use std::io::{self, BufReader, Read, Seek};

use flate2::bufread::DeflateDecoder;
use rawzip::{
    CompressionMethod, CreatorSystem, MAX_CENTRAL_DIRECTORY_RECORD_SIZE, ZipArchive, ZipArchiveEntryWayfinder,
    ZipFileHeaderRecord,
};

use super::place::{Unpacking, inside};

/// The longest target of a symlink, in bytes, that Linux knows.
const LONGEST_TARGET: u64 = 4096;

/// What the directory says of an entry.
struct Listed {
    path: Vec<u8>,
    is_directory: bool,
    mode: u32,
    is_symlink: bool,
    method: CompressionMethod,
    modified: u64,
    wayfinder: ZipArchiveEntryWayfinder,
    compressed: u64,
}

pub(super) fn unpack(mut stream: impl Read, unpacking: &mut Unpacking<'_>) -> Result<(), String> {
    let mut file = unpacking.spool()?;
    let size = io::copy(&mut stream, &mut file).map_err(|error| error.to_string())?;
    file.rewind().map_err(|error| error.to_string())?;
    let wrong = |error: rawzip::Error| format!("the zip archive is malformed: {error}");
    let mut buffer = vec![0; MAX_CENTRAL_DIRECTORY_RECORD_SIZE];
    let archive = ZipArchive::from_file(file, &mut buffer).map_err(wrong)?;
    let mut entries = archive.entries(&mut buffer);
    let mut left = size;
    while let Some(entry) = entries.next_entry().map_err(wrong)? {
        let listed = list(&entry)?;
        // Entries that share their bytes are how a small archive holds petabytes.
        left = left.checked_sub(listed.compressed).ok_or("entries of the zip archive overlap")?;
        unpacking.newest = unpacking.newest.max(listed.modified);
        one(&archive, &listed, unpacking)?;
    }
    Ok(())
}

fn list(entry: &ZipFileHeaderRecord<'_>) -> Result<Listed, String> {
    let raw = entry.file_path();
    let mut path = AsRef::<[u8]>::as_ref(&raw).to_vec();
    let system = entry.version_made_by().creator_system();
    // Programs of DOS and Windows have written their own separators.
    if matches!(system, CreatorSystem::FAT | CreatorSystem::NTFS) && !path.contains(&b'/') {
        path.iter_mut().filter(|byte| **byte == b'\\').for_each(|byte| *byte = b'/');
    }
    if entry.flags().is_encrypted() {
        return Err(format!("the entry '{}' is encrypted", String::from_utf8_lossy(&path)));
    }
    let mode = entry.mode();
    Ok(Listed {
        is_directory: path.ends_with(b"/") || entry.is_dir(),
        mode: mode.value(),
        is_symlink: mode.is_symlink(),
        method: entry.compression_method(),
        modified: modified(entry),
        wayfinder: entry.wayfinder(),
        compressed: entry.compressed_size_hint(),
        path,
    })
}

/// When an entry was changed, in seconds since 1970. A time without a zone is taken to be in UTC.
fn modified(entry: &ZipFileHeaderRecord<'_>) -> u64 {
    use rawzip::time::ZipDateTimeKind;
    let seconds = match entry.last_modified() {
        ZipDateTimeKind::Utc(time) => time.to_unix(),
        ZipDateTimeKind::Local(time) => {
            let numbers = [time.month(), time.day(), time.hour(), time.minute(), time.second()];
            let [month, day, hour, minute, second] = numbers.map(|number| i8::try_from(number).unwrap_or(0));
            let year = i16::try_from(time.year()).unwrap_or(1980);
            let date = jiff::civil::DateTime::new(year, month, day, hour, minute, second, 0);
            let zoned = date.ok().and_then(|date| date.to_zoned(jiff::tz::TimeZone::UTC).ok());
            zoned.map_or(0, |zoned| zoned.timestamp().as_second())
        }
    };
    u64::try_from(seconds).unwrap_or(0)
}

fn one(archive: &ZipArchive<rawzip::FileReader>, listed: &Listed, unpacking: &mut Unpacking<'_>) -> Result<(), String> {
    let path = inside(&listed.path)?;
    if listed.is_directory {
        return unpacking.directory(&path);
    }
    if path.as_os_str().is_empty() {
        return Err("an entry of the zip archive has no name".to_owned());
    }
    let shown = path.display();
    let wrong = |error: rawzip::Error| format!("the entry '{shown}' is malformed: {error}");
    let entry = archive.get_entry(listed.wayfinder).map_err(wrong)?;
    let stored = BufReader::new(entry.reader());
    let plain: Box<dyn Read> = match listed.method {
        CompressionMethod::STORE => Box::new(stored),
        CompressionMethod::DEFLATE => Box::new(DeflateDecoder::new(stored)),
        CompressionMethod::BZIP2 => Box::new(bzip2::bufread::BzDecoder::new(stored)),
        CompressionMethod::XZ => Box::new(liblzma::bufread::XzDecoder::new(stored)),
        CompressionMethod::ZSTD => {
            Box::new(zstd::Decoder::with_buffer(stored).map_err(|error| format!("cannot read '{shown}': {error}"))?)
        }
        other => return Err(format!("the entry '{shown}' is compressed by {other}, which is not supported")),
    };
    let mut content = entry.verifying_reader(plain);
    if !listed.is_symlink {
        return unpacking.file(&path, listed.mode & 0o100 != 0, &mut content);
    }
    let mut target = Vec::new();
    let read = content.take(LONGEST_TARGET).read_to_end(&mut target);
    read.map_err(|error| format!("cannot read '{shown}': {error}"))?;
    if target.len() as u64 == LONGEST_TARGET {
        return Err(format!("the target of the symlink '{shown}' is too long"));
    }
    unpacking.symlink(&path, &target)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use rawzip::path::EntryPath;
    use rawzip::{CompressionMethod, ZipArchiveWriter};

    use crate::archive::{only_directory, unpack};

    /// Entries by name, mode and content.
    fn archive(entries: &[(&str, u32, &[u8])]) -> Vec<u8> {
        let mut archive = ZipArchiveWriter::new(Vec::new());
        for (path, mode, content) in entries {
            let file = archive.new_file(EntryPath::verbatim(path.as_bytes())).unix_permissions(*mode);
            let time = rawzip::time::UtcDateTime::from_unix(1_700_000_000);
            let file = file.compression_method(CompressionMethod::DEFLATE).last_modified(time);
            let (mut entry, config) = file.start().unwrap();
            let encoder = flate2::write::DeflateEncoder::new(&mut entry, flate2::Compression::fast());
            let mut writer = config.wrap(encoder);
            writer.write_all(content).unwrap();
            let (encoder, descriptor) = writer.finish().unwrap();
            encoder.finish().unwrap();
            entry.finish(descriptor).unwrap();
        }
        archive.finish().unwrap()
    }

    fn unpacked(bytes: &[u8]) -> (tempfile::TempDir, Result<u64, String>) {
        let dir = tempfile::tempdir().unwrap();
        let result = unpack(bytes, &dir.path().join("tree"));
        (dir, result)
    }

    #[test]
    fn files_links_and_modes_are_kept() {
        let bytes = archive(&[
            ("top/a", 0o100644, b"text"),
            ("top/run", 0o100755, b"#!/bin/sh\n"),
            ("top/link", 0o120777, b"../elsewhere"),
            ("top/empty/", 0o040755, b""),
        ]);
        let (dir, newest) = unpacked(&bytes);
        assert_eq!(newest, Ok(1_700_000_000));
        let top = only_directory(dir.path().join("tree")).unwrap();
        assert_eq!(std::fs::read_to_string(top.join("a")).unwrap(), "text");
        assert_eq!(std::fs::read_link(top.join("link")).unwrap().to_str(), Some("../elsewhere"));
        assert!(top.join("empty").is_dir());
        let mode =
            |name: &str| std::os::unix::fs::PermissionsExt::mode(&top.join(name).metadata().unwrap().permissions());
        assert_eq!((mode("a") & 0o100, mode("run") & 0o100), (0, 0o100));
        for length in 4..bytes.len() {
            assert!(unpacked(&bytes[..length]).1.is_err(), "cut after {length} bytes");
        }
    }

    #[test]
    fn entries_cannot_escape() {
        for (entries, reason) in [
            (vec![("../a", 0o100644, &b"x"[..])], "leads out"),
            (vec![("/a", 0o100644, b"x")], "leads out"),
            (vec![("a/../../b", 0o100644, b"x")], "leads out"),
            (vec![("d", 0o120777, b"/tmp"), ("d/a", 0o100644, b"x")], "no directory"),
            (vec![("d/a", 0o100644, b""), ("d", 0o100644, b"")], "as a directory and as a file"),
            (vec![("l", 0o120777, &[b'a'; 5000])], "too long"),
            (vec![("", 0o100644, b"x")], ""),
        ] {
            let error = unpacked(&archive(&entries)).1.unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn contents_are_checked() {
        let mut bytes = archive(&[("a", 0o100644, b"some text"), ("b", 0o100644, b"more")]);
        let position = bytes.windows(2).position(|pair| pair == b"\x1f\x8b").unwrap_or(40);
        bytes[position] ^= 1;
        assert!(unpacked(&bytes).1.is_err());
        let encrypted = {
            let mut bytes = archive(&[("a", 0o100644, b"x")]);
            let directory = bytes.windows(4).position(|four| four == b"PK\x01\x02").unwrap();
            bytes[directory + 8] |= 1;
            bytes
        };
        assert!(unpacked(&encrypted).1.unwrap_err().contains("encrypted"));
    }

    #[test]
    fn entries_do_not_share_bytes() {
        let bytes = archive(&[("a", 0o100644, &[7; 4000]), ("b", 0o100644, b"")]);
        let mut double = bytes.clone();
        let directory: Vec<usize> =
            bytes.windows(4).enumerate().filter(|(_, four)| *four == b"PK\x01\x02").map(|(at, _)| at).collect();
        // The second entry of the directory says that it is as long as the whole archive.
        let size = u32::try_from(bytes.len()).unwrap().to_le_bytes();
        double[directory[1] + 20..directory[1] + 24].copy_from_slice(&size);
        assert!(unpacked(&double).1.is_err());
    }
}
