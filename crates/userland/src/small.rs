//! Programs of a few lines that no library carries.

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// `which [-a] NAME…`: where `PATH` has each program; exit code 1 if one is missing.
pub(crate) fn which(argv: Vec<OsString>) -> i32 {
    let all = argv.iter().skip(1).any(|arg| arg == "-a");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut code = 0;
    for name in argv.iter().skip(1).filter(|arg| *arg != "-a") {
        let found: Vec<PathBuf> = candidates(Path::new(name), &path).collect();
        if found.is_empty() {
            code = 1;
        }
        for program in found.iter().take(if all { usize::MAX } else { 1 }) {
            println!("{}", program.display());
        }
    }
    code
}

fn candidates(name: &Path, path: &std::ffi::OsStr) -> impl Iterator<Item = PathBuf> {
    // A name with a slash is a path already and is not searched for.
    let named = name.components().count() > 1 || name.is_absolute();
    let places: Vec<PathBuf> = match named {
        true => vec![name.to_owned()],
        false => std::env::split_paths(path).map(|dir| dir.join(name)).collect(),
    };
    places.into_iter().filter(|file| {
        std::fs::metadata(file).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    })
}

/// `hostname`: the name of this machine, or of the namespace that stands for one.
pub(crate) fn hostname(argv: Vec<OsString>) -> i32 {
    if argv.len() > 1 {
        eprintln!("hostname: this hostname only prints the name; it takes no arguments");
        return 2;
    }
    println!("{}", rustix::system::uname().nodename().to_string_lossy());
    0
}
