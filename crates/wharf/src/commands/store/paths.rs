//! Store paths as users name them.

use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};

use image::Digest;
use nix_formats::store_path::StorePath;
use store::Store;

use crate::failure::Failure;

/// Objects that a command is about.
#[derive(clap::Args)]
pub(super) struct Paths {
    /// Store paths, or links to them such as ./result
    #[arg(required = true)]
    pub(super) paths: Vec<String>,
}

pub(super) fn closure(store: &dyn Store, arguments: &Paths) -> Result<i32, Failure> {
    let closure = store.closure(&parse_all(&arguments.paths)?)?;
    closure.iter().for_each(|path| println!("{}", path.to_absolute()));
    Ok(0)
}

pub(super) fn real_path(store: &dyn Store, arguments: &Paths) -> Result<i32, Failure> {
    parse_all(&arguments.paths)?.iter().for_each(|path| println!("{}", store.real_path(path).display()));
    Ok(0)
}

pub(super) fn parse_all(paths: &[String]) -> Result<Vec<StorePath>, Failure> {
    paths.iter().map(|text| parse(text)).collect()
}

/// A store path as such, or a path or link that leads into the store, as `./result` does.
pub(super) fn parse(text: &str) -> Result<StorePath, Failure> {
    Ok(parse_inside(text)?.0)
}

/// The same, and what follows after the object.
pub(super) fn parse_inside(text: &str) -> Result<(StorePath, PathBuf), Failure> {
    if let Ok((path, rest)) = StorePath::split_absolute(text.as_bytes()) {
        let rest = <OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(rest);
        return Ok((path, Path::new(rest).strip_prefix("/").unwrap_or(Path::new(rest)).to_owned()));
    }
    let real = Path::new(text).canonicalize().map_err(|error| Failure::io("find", Path::new(text), error))?;
    let mut components = real.components().skip_while(|part| part.as_os_str() != "store").skip(1);
    let object = components
        .next()
        .and_then(|part: Component<'_>| StorePath::from_base_name(part.as_os_str().as_encoded_bytes()).ok());
    if let Some(object) = object {
        return Ok((object, components.collect()));
    }
    match of_archive(Path::new(text), &real) {
        Some(image) => Ok((image, PathBuf::new())),
        None => Err(Failure::usage(format!("'{text}' is no store path and does not lead to one"))
            .help("a store path looks like /nix/store/<32 characters>-name")),
    }
}

/// The image whose build has left this link to its archive: beside the archives is noted what it was.
fn of_archive(link: &Path, archive: &Path) -> Option<StorePath> {
    let link = std::path::absolute(link).ok()?;
    let noted = archive.parent()?.with_file_name("results").join(Digest::of(link.as_os_str().as_encoded_bytes()).hex());
    StorePath::from_base_name(std::fs::read_link(noted).ok()?.file_name()?.as_encoded_bytes()).ok()
}
