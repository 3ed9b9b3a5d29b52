//! The built-in package set: the files of `nix/`, carried in the binary and seen by the evaluator below one directory
//! that exists nowhere else.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use eval::FileType;

/// The directory below which the evaluator finds the files. No user's file can be there: `/wharf` is refused as a
/// place to read from by no one, but what is embedded is found first.
pub(crate) const ROOT: &str = "/wharf/nix";

/// Each file by its path below [`ROOT`], sorted.
static FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/embedded.rs"));

/// What is at a path of the built-in set.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Embedded {
    /// A file's content.
    File(&'static [u8]),
    /// A directory's entries.
    Directory(BTreeMap<&'static str, FileType>),
}

/// Whether a path is below [`ROOT`], whatever is there.
pub(crate) fn covers(path: &Path) -> bool {
    path.starts_with(ROOT)
}

/// Looks a path up; `None` if the set has nothing there.
pub(crate) fn find(path: &Path) -> Option<Embedded> {
    let relative = path.strip_prefix(ROOT).ok()?;
    let mut parts = Vec::new();
    for component in relative.components() {
        match component {
            Component::Normal(part) => parts.push(part.to_str()?),
            _ => return None,
        }
    }
    let name = parts.join("/");
    if let Ok(row) = FILES.binary_search_by(|(file, _)| (*file).cmp(&name)) {
        return Some(Embedded::File(FILES[row].1));
    }
    let below = if name.is_empty() { name } else { name + "/" };
    let mut entries = BTreeMap::new();
    for (file, _) in FILES {
        if let Some(rest) = file.strip_prefix(below.as_str()) {
            match rest.split_once('/') {
                Some((directory, _)) => entries.insert(directory, FileType::Directory),
                None => entries.insert(rest, FileType::Regular),
            };
        }
    }
    (!entries.is_empty()).then_some(Embedded::Directory(entries))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_directories_are_found_and_nothing_else() {
        assert!(FILES.is_sorted_by(|a, b| a.0 < b.0));
        assert!(matches!(find(Path::new("/wharf/nix/default.nix")), Some(Embedded::File(_))));
        let Some(Embedded::Directory(entries)) = find(Path::new(ROOT)) else { panic!("the root is a directory") };
        assert_eq!(entries.get("lib"), Some(&FileType::Directory));
        assert_eq!(find(Path::new("/wharf/nix/none")), None);
        assert_eq!(find(Path::new("/wharf/nix/../nix/default.nix")), None);
        assert_eq!(find(Path::new("/etc")), None);
    }
}
