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

/// The owners that were recorded, by absolute path.
#[derive(Debug, Default)]
pub struct Ownership(HashMap<PathBuf, (Option<u32>, Option<u32>)>);

impl Ownership {
    /// Reads a record.
    ///
    /// # Errors
    /// An entry is cut off or has no numbers.
    pub fn parse(record: &[u8]) -> Result<Self, ImageError> {
        let mut owners = HashMap::new();
        let mut rest = record;
        while !rest.is_empty() {
            let entry = next_field(&mut rest, 0).and_then(|path| {
                Some((path, number(next_field(&mut rest, 0)?)?, number(next_field(&mut rest, b'\n')?)?))
            });
            let (path, uid, gid) =
                entry.ok_or_else(|| ImageError::Definition("the record of owners is damaged".to_owned()))?;
            let owner: &mut (Option<u32>, Option<u32>) =
                owners.entry(PathBuf::from(OsStr::from_bytes(path))).or_default();
            *owner = (uid.or(owner.0), gid.or(owner.1));
        }
        Ok(Self(owners))
    }

    /// The user and group of a file, as far as they were set.
    pub fn of(&self, path: &Path) -> (Option<u32>, Option<u32>) {
        self.0.get(path).copied().unwrap_or_default()
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
        let owners = Ownership::parse(&record(&[("/a\n", "1", "2"), ("/b", "5", ""), ("/a\n", "", "7")])).unwrap();
        assert_eq!(owners.of(Path::new("/a\n")), (Some(1), Some(7)));
        assert_eq!(owners.of(Path::new("/b")), (Some(5), None));
        assert_eq!(owners.of(Path::new("/c")), (None, None));
        for damaged in [b"/a".to_vec(), record(&[("/a", "x", "1")]), record(&[("/a", "1", "2")])[..4].to_vec()] {
            assert!(Ownership::parse(&damaged).is_err());
        }
    }
}
