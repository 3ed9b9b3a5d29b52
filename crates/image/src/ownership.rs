//! Who owns what in a tree whose files cannot really be given away, since the builder is not root.
//!
//! The userland's `chown` and `chgrp` append to the file that the environment variable `WHARF_OWNERSHIP` names: for
//! each file its absolute path, a NUL, the user's number, a NUL, the group's number and a line feed. A number that is
//! left as it was is empty. The last entry of a path counts.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::error::ImageError;

/// The owners that were recorded, by the path below the tree's root.
#[derive(Debug, Default)]
pub struct Ownership(HashMap<PathBuf, (Option<u32>, Option<u32>)>);

impl Ownership {
    /// Reads a record of a tree whose root had the path `root` for the commands that wrote it. What is said of files
    /// elsewhere is left out.
    ///
    /// # Errors
    /// An entry is cut off or has no numbers.
    pub fn parse(record: &[u8], root: &Path) -> Result<Self, ImageError> {
        let mut owners = Self::default();
        let mut rest = record;
        while !rest.is_empty() {
            let entry = next_field(&mut rest, 0).and_then(|path| {
                Some((path, number(next_field(&mut rest, 0)?)?, number(next_field(&mut rest, b'\n')?)?))
            });
            let (path, uid, gid) =
                entry.ok_or_else(|| ImageError::Definition("the record of owners is damaged".to_owned()))?;
            if let Ok(inside) = Path::new(OsStr::from_bytes(path)).strip_prefix(root) {
                owners.set(inside.to_owned(), uid, gid);
            }
        }
        Ok(owners)
    }

    /// Adds what was recorded later.
    pub fn extend(&mut self, later: Self) {
        later.0.into_iter().for_each(|(path, (uid, gid))| self.set(path, uid, gid));
    }

    /// The user and group of a file, as far as they were set.
    pub fn of(&self, path: &Path) -> (Option<u32>, Option<u32>) {
        self.0.get(path).copied().unwrap_or_default()
    }

    fn set(&mut self, path: PathBuf, uid: Option<u32>, gid: Option<u32>) {
        let owner = self.0.entry(path).or_default();
        *owner = (uid.or(owner.0), gid.or(owner.1));
    }
}

fn next_field<'a>(rest: &mut &'a [u8], end: u8) -> Option<&'a [u8]> {
    let length = rest.iter().position(|byte| *byte == end)?;
    let field = &rest[..length];
    *rest = &rest[length + 1..];
    Some(field)
}

/// `Some(None)` for an empty field.
fn number(field: &[u8]) -> Option<Option<u32>> {
    if field.is_empty() { Some(None) } else { Some(Some(str::from_utf8(field).ok()?.parse().ok()?)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(entries: &[(&str, &str, &str)]) -> Vec<u8> {
        let line = |(path, uid, gid): &(&str, &str, &str)| format!("{path}\0{uid}\0{gid}\n");
        entries.iter().map(line).collect::<String>().into_bytes()
    }

    #[test]
    fn the_last_entry_counts_and_an_empty_number_changes_nothing() {
        let text =
            record(&[("/t/a\n", "1", "2"), ("/t/b", "5", ""), ("/t", "9", "9"), ("/t/a\n", "", "7"), ("/u", "1", "1")]);
        let mut owners = Ownership::parse(&text, Path::new("/t")).unwrap();
        assert_eq!(owners.of(Path::new("a\n")), (Some(1), Some(7)));
        assert_eq!(owners.of(Path::new("b")), (Some(5), None));
        assert_eq!(owners.of(Path::new("")), (Some(9), Some(9)));
        assert_eq!(owners.of(Path::new("u")), (None, None));
        owners.extend(Ownership::parse(&record(&[("/b", "", "6")]), Path::new("/")).unwrap());
        assert_eq!(owners.of(Path::new("b")), (Some(5), Some(6)));
        for damaged in [b"/a".to_vec(), record(&[("/a", "x", "1")]), record(&[("/a", "1", "2")])[..4].to_vec()] {
            assert!(Ownership::parse(&damaged, Path::new("/")).is_err());
        }
    }
}
