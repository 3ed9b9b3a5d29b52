//! Objects and trees as files and as Nix archives: `wharf store add`, `dump`, `dump-path`, `hash`, `ls`, `cat`.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix_formats::content_address::Method;
use nix_formats::hash::{Hash, HashAlgo, Hasher};
use serde_json::{Value, json};
use store::{Store, fs_nar};

use super::paths::{parse, parse_inside};
use crate::failure::Failure;
use crate::output::unless_nobody_reads;
use crate::settings::Settings;

#[derive(clap::Args)]
pub(super) struct Add {
    /// The file or directory
    path: PathBuf,
    /// The name part of the store path [default: the file's name]
    #[arg(long)]
    name: Option<String>,
}

#[derive(clap::Args)]
pub(super) struct Dump {
    /// A store path
    path: String,
}

#[derive(clap::Args)]
pub(super) struct DumpPath {
    /// The file or directory
    path: PathBuf,
}

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  wharf store hash ./src                   for fetchgit, fetchFromGitHub, outputHashMode = \"recursive\"
  wharf store hash --flat ./release.tar.gz    for fetchurl")]
pub(super) struct HashArguments {
    /// Files and directories
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// Hash the bytes of a file, instead of its Nix archive
    #[arg(long)]
    flat: bool,
    /// The kind of hash
    #[arg(long = "type", value_name = "ALGO", default_value = "sha256")]
    algo: String,
    /// How it is written
    #[arg(long, value_enum, default_value_t = Format::Sri)]
    format: Format,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Format {
    Sri,
    Base16,
    #[value(name = "nix32", alias = "base32")]
    Nix32,
    Base64,
}

#[derive(clap::Args)]
pub(super) struct Ls {
    /// A store path, or a path inside of one
    path: String,
    /// Also what is in directories
    #[arg(short = 'R', long)]
    recursive: bool,
    /// Print kinds and sizes
    #[arg(short, long)]
    long: bool,
}

#[derive(clap::Args)]
pub(super) struct Cat {
    /// A path of a file inside of an object
    path: String,
}

pub(super) fn add(store: &dyn Store, arguments: &Add) -> Result<i32, Failure> {
    let absolute = arguments.path.canonicalize().map_err(|error| Failure::io("find", &arguments.path, error))?;
    let name = match (&arguments.name, absolute.file_name().and_then(|name| name.to_str())) {
        (Some(name), _) => name.clone(),
        (None, Some(name)) => name.to_owned(),
        (None, None) => return Err(Failure::usage("the path has no name that could be an object's; give --name")),
    };
    let path = store.add_tree(&name, &absolute, Method::Nar, HashAlgo::Sha256, &mut fs_nar::everything)?;
    println!("{}", path.to_absolute());
    Ok(0)
}

pub(super) fn dump(store: &dyn Store, arguments: &Dump) -> Result<i32, Failure> {
    let path = parse(&arguments.path)?;
    store.require(&path)?;
    let mut out = io::BufWriter::with_capacity(1 << 18, io::stdout().lock());
    store.write_nar(&path, &mut out)?;
    let written = out.flush();
    written
        .map_err(|error| Failure::io("write the archive of", Path::new(&arguments.path), unless_nobody_reads(error)))?;
    Ok(0)
}

pub(super) fn dump_path(arguments: &DumpPath) -> Result<i32, Failure> {
    write_archive(&arguments.path)
}

fn write_archive(path: &Path) -> Result<i32, Failure> {
    let out = io::BufWriter::with_capacity(1 << 18, io::stdout().lock());
    let written = fs_nar::dump(path, &mut fs_nar::everything, out)?.flush();
    written.map_err(|error| Failure::io("write the archive of", path, unless_nobody_reads(error)))?;
    Ok(0)
}

pub(super) fn hash(arguments: &HashArguments, settings: &Settings) -> Result<i32, Failure> {
    let algo = HashAlgo::parse(&arguments.algo)?;
    let mut rows = Vec::new();
    for path in &arguments.paths {
        let hash = match arguments.flat {
            true => flat_hash(path, algo)?,
            false => fs_nar::hash(path, &mut fs_nar::everything, algo)?.0,
        };
        let text = match arguments.format {
            Format::Sri => hash.to_sri(),
            Format::Base16 => hash.to_hex(),
            Format::Nix32 => hash.to_nix32(),
            Format::Base64 => hash.to_sri().split_once('-').map(|(_, text)| text.to_owned()).unwrap_or_default(),
        };
        match settings.json {
            true => rows.push(json!({ "path": path, "hash": text })),
            false => println!("{text}"),
        }
    }
    if settings.json {
        println!("{}", json!({ "schema": 1, "hashes": rows }));
    }
    Ok(0)
}

fn flat_hash(path: &Path, algo: HashAlgo) -> Result<Hash, Failure> {
    let mut hasher = Hasher::new(algo);
    let copied = File::open(path).and_then(|mut file| io::copy(&mut file, &mut hasher));
    copied.map_err(|error| Failure::io("read", path, error))?;
    Ok(hasher.finish())
}

pub(super) fn cat(store: &dyn Store, arguments: &Cat) -> Result<i32, Failure> {
    let path = inside(store, &arguments.path)?;
    let metadata = path.symlink_metadata().map_err(|error| Failure::io("read", &path, error))?;
    if !metadata.is_file() {
        return Err(
            Failure::new(format!("'{}' is no regular file", arguments.path)).help("`wharf store ls` lists files")
        );
    }
    let copied = File::open(&path).and_then(|mut file| io::copy(&mut file, &mut io::stdout().lock()));
    copied.map_err(|error| Failure::io("copy", &path, unless_nobody_reads(error)))?;
    Ok(0)
}

pub(super) fn ls(store: &dyn Store, arguments: &Ls, settings: &Settings) -> Result<i32, Failure> {
    let path = inside(store, &arguments.path)?;
    if settings.json {
        println!("{}", json!({ "schema": 1, "root": tree(&path, arguments.recursive, 0)? }));
        return Ok(0);
    }
    print(&path, ".", arguments, 0)?;
    Ok(0)
}

/// Where a path in an object really is. No symlink leads out of the object, since none but the path's own object is looked
/// at and none of its parts may be one.
fn inside(store: &dyn Store, text: &str) -> Result<PathBuf, Failure> {
    let (object, rest) = parse_inside(text)?;
    store.require(&object)?;
    let mut path = store.real_path(&object);
    for part in rest.components() {
        let is_link = path.symlink_metadata().is_ok_and(|metadata| metadata.is_symlink());
        if is_link || !matches!(part, std::path::Component::Normal(_)) {
            return Err(Failure::new(format!("'{}' is no directory of '{}'", path.display(), object.to_absolute())));
        }
        path.push(part);
    }
    Ok(path)
}

fn print(path: &Path, name: &str, arguments: &Ls, depth: usize) -> Result<(), Failure> {
    let metadata = path.symlink_metadata().map_err(|error| Failure::io("read", path, error))?;
    let link = if metadata.is_symlink() { fs::read_link(path).ok() } else { None };
    if depth > 0 || !metadata.is_dir() {
        let kind = match (metadata.is_dir(), &link, metadata.permissions().mode() & 0o100) {
            (true, ..) => "dr-xr-xr-x",
            (_, Some(_), _) => "lrwxrwxrwx",
            (_, _, 0) => "-r--r--r--",
            _ => "-r-xr-xr-x",
        };
        let size = if metadata.is_file() { metadata.len() } else { 0 };
        let target = link.map(|target| format!(" -> {}", target.display())).filter(|_| arguments.long);
        let long = if arguments.long { format!("{kind} {size:>20} ") } else { String::new() };
        println!("{long}{name}{}", target.unwrap_or_default());
    }
    if metadata.is_dir() && (depth == 0 || arguments.recursive) {
        for entry in entries(path)? {
            print(&path.join(&entry), &format!("{name}/{entry}"), arguments, depth + 1)?;
        }
    }
    Ok(())
}

/// A listing in the form of Nix's `.ls` files.
fn tree(path: &Path, recursive: bool, depth: usize) -> Result<Value, Failure> {
    let metadata = path.symlink_metadata().map_err(|error| Failure::io("read", path, error))?;
    if metadata.is_symlink() {
        return Ok(json!({ "type": "symlink", "target": fs::read_link(path).unwrap_or_default() }));
    }
    if metadata.is_file() {
        let executable = metadata.permissions().mode() & 0o100 != 0;
        return Ok(json!({ "type": "regular", "size": metadata.len(), "executable": executable }));
    }
    let mut listed = serde_json::Map::new();
    if depth == 0 || recursive {
        for entry in entries(path)? {
            let value = tree(&path.join(&entry), recursive, depth + 1)?;
            listed.insert(entry, value);
        }
    }
    Ok(json!({ "type": "directory", "entries": listed }))
}

fn entries(path: &Path) -> Result<Vec<String>, Failure> {
    let failed = |error| Failure::io("read", path, error);
    let names = fs::read_dir(path).map_err(failed)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let mut names = names.collect::<io::Result<Vec<_>>>().map_err(failed)?;
    names.sort_unstable();
    Ok(names)
}
