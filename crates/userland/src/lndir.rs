//! `lndir`: the directories of a tree made again elsewhere, with a link to each of its files.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// Links every file of `from` into `to`. What `to` has already stays; a file where a directory is needed is an error.
fn link_tree(from: &Path, to: &Path, silent: bool) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, link) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type()?;
        if kind.is_dir() {
            if !link.is_dir() {
                fs::create_dir(&link).map_err(|error| at(&link, error))?;
            }
            link_tree(&source, &link, silent)?;
            continue;
        }
        // A link of the tree is made again as it is, so that those within the tree stay within the copy.
        let target = if kind.is_symlink() { fs::read_link(&source)? } else { source };
        match symlink(&target, &link) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if !silent && fs::read_link(&link).ok().as_ref() != Some(&target) {
                    eprintln!("lndir: {} is there already", link.display());
                }
            }
            result => result.map_err(|error| at(&link, error))?,
        }
    }
    Ok(())
}

fn at(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// `lndir [-silent] FROM [TO]`.
pub(crate) fn main(argv: Vec<OsString>) -> i32 {
    let (flags, paths): (Vec<_>, Vec<_>) =
        argv.into_iter().skip(1).partition(|arg| arg.to_str().is_some_and(|arg| arg.starts_with('-')));
    let silent = flags.iter().any(|flag| flag == "-silent");
    let (from, to) = match paths.as_slice() {
        [from] => (PathBuf::from(from), PathBuf::from(".")),
        [from, to] => (PathBuf::from(from), PathBuf::from(to)),
        _ => {
            eprintln!("usage: lndir [-silent] FROM [TO]");
            return 2;
        }
    };
    match fs::read_dir(&from).map_err(|error| at(&from, error)).and_then(|_| link_tree(&from, &to, silent)) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("lndir: {error}");
            1
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_made_files_linked_and_the_first_stays() {
        let dir = std::env::temp_dir().join(format!("lndir-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(dir.join("a/bin")).unwrap();
        fs::create_dir_all(dir.join("b/bin")).unwrap();
        fs::create_dir_all(dir.join("out")).unwrap();
        fs::write(dir.join("a/bin/x"), "a").unwrap();
        fs::write(dir.join("b/bin/x"), "b").unwrap();
        symlink("x", dir.join("b/bin/y")).unwrap();
        for tree in ["a", "b"] {
            link_tree(&dir.join(tree), &dir.join("out"), true).unwrap();
        }
        assert_eq!(fs::read_to_string(dir.join("out/bin/y")).unwrap(), "a");
        assert_eq!(fs::read_link(dir.join("out/bin/y")).unwrap(), Path::new("x"));
        fs::remove_dir_all(&dir).unwrap();
    }
}
