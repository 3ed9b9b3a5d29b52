//! Paths as the language has them: absolute, canonical, made of bytes.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::embedded;

/// The bytes of a path.
pub fn bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes()
}

/// Bytes as a path.
pub fn path(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}

/// A path as messages show it.
pub fn shown(path: &Path) -> String {
    String::from_utf8_lossy(&embedded::shown(bytes(path))).into_owned()
}

/// An absolute path without `.`, `..`, doubled and trailing slashes. Symbolic links are not looked at.
pub fn canonical(path: &[u8]) -> Vec<u8> {
    let mut out: Vec<u8> = Vec::with_capacity(path.len());
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => out.truncate(out.iter().rposition(|byte| *byte == b'/').unwrap_or(0)),
            _ => {
                out.push(b'/');
                out.extend_from_slice(part);
            }
        }
    }
    if out.is_empty() {
        out.push(b'/');
    }
    out
}

/// The part after the last slash; one trailing slash is ignored.
pub fn base_name(path: &[u8]) -> &[u8] {
    let path = path.strip_suffix(b"/").unwrap_or(path);
    path.rsplit(|byte| *byte == b'/').next().unwrap_or(path)
}

/// What is before the last slash: `/` for a path right below the root, `.` if there is no slash.
pub fn dir_name(path: &[u8]) -> &[u8] {
    match path.iter().rposition(|byte| *byte == b'/') {
        None => b".",
        Some(0) => b"/",
        Some(slash) => &path[..slash],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_paths() {
        for (path, expected) in [
            ("/", "/"),
            ("//a//b/", "/a/b"),
            ("/a/./b/../c", "/a/c"),
            ("/../..", "/"),
            ("/a/../../b/.", "/b"),
            ("/a/...", "/a/..."),
        ] {
            assert_eq!(canonical(path.as_bytes()), expected.as_bytes(), "{path}");
        }
        assert_eq!(base_name(b"/a/b/"), b"b");
        assert_eq!(dir_name(b"/a"), b"/");
        assert_eq!(dir_name(b"a"), b".");
    }
}
