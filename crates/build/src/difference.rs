//! Where two trees differ.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// How many places are named.
const MOST: usize = 20;

/// The places where two trees differ, relative to their roots, each with what is different there. No more than some of
/// them, since one is enough to know where to look.
pub(crate) fn differences(one: &Path, other: &Path) -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    compare(one, other, Path::new(""), &mut found)?;
    Ok(found)
}

fn compare(one: &Path, other: &Path, place: &Path, found: &mut Vec<String>) -> io::Result<()> {
    if found.len() == MOST {
        return Ok(());
    }
    let (a, b) = (one.symlink_metadata()?, other.symlink_metadata()?);
    let mut differs = |what: &str| {
        let place = if place.as_os_str().is_empty() { Path::new(".") } else { place };
        found.push(format!("{}: {what}", place.display()));
    };
    let (kind_a, kind_b) = (a.file_type(), b.file_type());
    if kind_a != kind_b {
        differs("another kind of file");
    } else if kind_a.is_symlink() {
        let (a, b) = (fs::read_link(one)?, fs::read_link(other)?);
        if a != b {
            differs(&format!("a link to '{}' and to '{}'", a.display(), b.display()));
        }
    } else if kind_a.is_dir() {
        return compare_directories(one, other, place, found);
    } else {
        if (a.permissions().mode() ^ b.permissions().mode()) & 0o100 != 0 {
            differs("executable or not");
        }
        if let Some(offset) = first_difference(one, other)? {
            differs(&format!("from byte {offset} on ({} and {} bytes)", a.len(), b.len()));
        }
    }
    Ok(())
}

fn compare_directories(one: &Path, other: &Path, place: &Path, found: &mut Vec<String>) -> io::Result<()> {
    let names = |directory: &Path| -> io::Result<BTreeSet<PathBuf>> {
        fs::read_dir(directory)?.map(|entry| Ok(PathBuf::from(entry?.file_name()))).collect()
    };
    let (a, b) = (names(one)?, names(other)?);
    for name in a.union(&b) {
        let place = place.join(name);
        match (a.contains(name), b.contains(name)) {
            (true, true) => compare(&one.join(name), &other.join(name), &place, found)?,
            (here, _) if found.len() < MOST => {
                let which = if here { "only in the first" } else { "only in the second" };
                found.push(format!("{}: {which}", place.display()));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Where two files begin to differ.
fn first_difference(one: &Path, other: &Path) -> io::Result<Option<u64>> {
    let mut one = BufReader::with_capacity(1 << 16, File::open(one)?).bytes();
    let mut other = BufReader::with_capacity(1 << 16, File::open(other)?).bytes();
    let mut offset = 0;
    loop {
        match (one.next().transpose()?, other.next().transpose()?) {
            (None, None) => return Ok(None),
            (a, b) if a == b => offset += 1,
            _ => return Ok(Some(offset)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_difference_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let tree = |name: &str, content: &str, target: &str, extra: &str| {
            let root = dir.path().join(name);
            fs::create_dir_all(root.join("sub")).unwrap();
            fs::write(root.join("sub/same"), "same").unwrap();
            fs::write(root.join("sub/file"), content).unwrap();
            std::os::unix::fs::symlink(target, root.join("link")).unwrap();
            fs::write(root.join(extra), "").unwrap();
            root
        };
        let (one, other) = (tree("one", "abc", "x", "first"), tree("other", "abd!", "y", "second"));
        assert_eq!(
            differences(&one, &other).unwrap(),
            [
                "first: only in the first",
                "link: a link to 'x' and to 'y'",
                "second: only in the second",
                "sub/file: from byte 2 on (3 and 4 bytes)",
            ]
        );
        assert!(differences(&one, &one).unwrap().is_empty());
    }
}
