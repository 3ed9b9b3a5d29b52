//! `wharf layer …`: what derivations of `nix/docker-tools.nix` call inside a sandbox, where objects are in `/nix/store`.
//!
//! ```text
//! wharf layer copy [--keep-dirlinks] DIRECTORY CONTENT…   merge contents into a directory, by copying
//! wharf layer link DIRECTORY CONTENT…                     the same, by links
//! wharf layer pack --uid N --gid N --ownership RECORD TREE FILE
//! wharf layer stream IMAGE [--repo_tag NAME:TAG] [--objects DIRECTORY]
//!                                                         write the image's archive to standard output
//! ```

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use nix_formats::store_path::StorePath;

use crate::archive::{self, Format};
use crate::cache::LayerCache;
use crate::compress::Compression;
use crate::docker::Wanted;
use crate::error::{ImageError, io_error};
use crate::layout::split_reference;
use crate::objects::{Objects, STORE_DIR};
use crate::ownership::Ownership;
use crate::root_changes::Changed;
use crate::{root_tree, tree};

const USAGE: &str = "usage: wharf layer copy|link|pack|stream …";

/// Runs one of the commands; `arguments` begin after `layer`.
///
/// # Errors
/// The arguments are wrong, or what they ask for fails.
pub fn run(arguments: &[String]) -> Result<(), ImageError> {
    let mut words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if words.is_empty() {
        return Err(usage());
    }
    match words.remove(0) {
        "copy" => {
            let keep_dirlinks = take_flag(&mut words, "--keep-dirlinks");
            merge(&words, |contents| tree::copied(&store(), contents, keep_dirlinks))
        }
        "link" => merge(&words, |contents| tree::linked(&store(), contents)),
        "pack" => pack(words),
        "stream" => stream(words),
        _ => Err(usage()),
    }
}

fn store() -> Objects {
    Objects::new(STORE_DIR)
}

fn usage() -> ImageError {
    ImageError::Definition(USAGE.to_owned())
}

fn merge(
    words: &[&str],
    tree: impl FnOnce(&[PathBuf]) -> Result<tree::Directory, ImageError>,
) -> Result<(), ImageError> {
    let (directory, contents) = words.split_first().ok_or_else(usage)?;
    let contents: Vec<_> = contents.iter().map(PathBuf::from).collect();
    root_tree::write(&tree(&contents)?, Path::new(directory))
}

fn pack(mut words: Vec<&str>) -> Result<(), ImageError> {
    let mut number = |option| take_value(&mut words, option)?.parse::<u32>().map_err(|_| usage());
    let (uid, gid) = (number("--uid")?, number("--gid")?);
    let record = take_value(&mut words, "--ownership")?;
    let record = fs::read(record).map_err(io_error(format!("cannot read {record}")))?;
    let [tree, file] = words[..] else { return Err(usage()) };
    let failed = || io_error(format!("cannot write {file}"));
    let mut out = BufWriter::new(File::create(file).map_err(failed())?);
    let root = fs::canonicalize(tree).map_err(io_error(format!("cannot open {tree}")))?;
    let owners = Ownership::parse(&record, &root)?;
    Changed::new(&root, &owners, (uid, gid)).pack(&mut out)?;
    out.flush().map_err(failed())
}

fn stream(mut words: Vec<&str>) -> Result<(), ImageError> {
    let tag = ["--repo_tag", "-t"].into_iter().find_map(|option| take_value(&mut words, option).ok());
    // Outside a sandbox the objects of a standalone store are elsewhere.
    let objects = take_value(&mut words, "--objects").map_or_else(|_| store(), Objects::new);
    let [path] = words[..] else { return Err(usage()) };
    let object = StorePath::from_absolute(path).map_err(|error| ImageError::Definition(format!("{path}: {error}")))?;
    let scratch = tempfile::tempdir().map_err(io_error("cannot make a temporary directory"))?;
    let mut image = crate::open::open_object(&objects, &object, scratch.path(), Wanted::Only)?;
    if let Some(tag) = tag {
        (image.name, image.tag) = split_reference(tag);
    }
    let cache = LayerCache::new(scratch.path());
    archive::write(&[image], Format::Universal, Compression::None, &cache, io::stdout().lock())
}

fn take_flag(words: &mut Vec<&str>, flag: &str) -> bool {
    let before = words.len();
    words.retain(|word| *word != flag);
    words.len() < before
}

fn take_value<'a>(words: &mut Vec<&'a str>, option: &str) -> Result<&'a str, ImageError> {
    let at = words.iter().position(|word| *word == option).ok_or_else(usage)?;
    if at + 1 >= words.len() {
        return Err(usage());
    }
    words.remove(at);
    Ok(words.remove(at))
}
