//! `wharf store …`: looking after what was built.

use std::io::Write;
use std::path::Path;

use indicatif::HumanBytes;
use nix_formats::store_path::StorePath;
use serde_json::json;
use store::local::{GcOptions, VerifyOptions};
use store::{LocalStore, PathInfo, Store, fs_nar};

use crate::artifacts;
use crate::failure::Failure;
use crate::progress;
use crate::settings::Settings;

/// Look after the store: what is in it, is it whole, what may go
#[derive(clap::Args)]
#[command(arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Subcommand,
}

#[derive(clap::Subcommand)]
enum Subcommand {
    /// Delete what no result link and no running command needs
    Gc(Gc),
    /// Check that the store is what its database says
    Verify(Verify),
    /// Print what is known of objects
    PathInfo(PathInfoArguments),
    /// Print where an object really lies
    RealPath(Paths),
    /// Print the objects that these refer to, directly or not
    Closure(Paths),
    /// Write an object as a Nix archive to standard output
    Dump(Paths),
    /// Add a file or directory, and print its store path
    Add(Add),
}

#[derive(clap::Args)]
struct Gc {
    /// Print what would be deleted, and delete nothing
    #[arg(long)]
    dry_run: bool,
    /// Stop when this many bytes are freed
    #[arg(long, value_name = "BYTES")]
    max_freed: Option<u64>,
}

#[derive(clap::Args)]
struct Verify {
    /// Read every object and compare its hash
    #[arg(long)]
    contents: bool,
    /// Forget what is missing or damaged, so that it is made again
    #[arg(long)]
    repair: bool,
}

#[derive(clap::Args)]
struct PathInfoArguments {
    /// Store paths; all objects where none is named
    paths: Vec<String>,
}

#[derive(clap::Args)]
struct Paths {
    /// Store paths
    #[arg(required = true)]
    paths: Vec<String>,
}

#[derive(clap::Args)]
struct Add {
    /// The file or directory
    path: std::path::PathBuf,
    /// The name part of the store path [default: the file's name]
    #[arg(long)]
    name: Option<String>,
}

pub(crate) fn run(arguments: &Arguments, settings: &Settings) -> Result<i32, Failure> {
    let store = LocalStore::open(&settings.data)?;
    match &arguments.command {
        Subcommand::Gc(gc) => collect(&store, gc, settings),
        Subcommand::Verify(verify) => check(&store, verify, settings),
        Subcommand::PathInfo(arguments) => path_info(&store, &arguments.paths, settings),
        Subcommand::RealPath(arguments) => {
            parse_all(&arguments.paths)?.iter().for_each(|path| println!("{}", store.real_path(path).display()));
            Ok(0)
        }
        Subcommand::Closure(arguments) => {
            let closure = store.closure(&parse_all(&arguments.paths)?)?;
            closure.iter().for_each(|path| println!("{}", path.to_absolute()));
            Ok(0)
        }
        Subcommand::Dump(arguments) => dump(&store, &arguments.paths),
        Subcommand::Add(add) => add_path(&store, add),
    }
}

fn collect(store: &LocalStore, arguments: &Gc, settings: &Settings) -> Result<i32, Failure> {
    let archives = artifacts::collect(settings, arguments.dry_run)?;
    let options = GcOptions { dry_run: arguments.dry_run, max_freed: arguments.max_freed, keep_registered_since: None };
    let collected = store.collect_garbage(&options, &*progress::observer(settings))?;
    let bytes = collected.bytes + archives;
    if settings.json {
        let paths: Vec<_> = collected.paths.iter().map(StorePath::to_absolute).collect();
        println!("{}", json!({ "schema": 1, "paths": paths, "bytes": bytes, "deleted": !arguments.dry_run }));
        return Ok(0);
    }
    if arguments.dry_run {
        collected.paths.iter().for_each(|path| println!("{}", path.to_absolute()));
    }
    let would = if arguments.dry_run { "would free" } else { "freed" };
    eprintln!("{would} {} of {} objects and of archives without a link", HumanBytes(bytes), collected.paths.len());
    Ok(0)
}

fn check(store: &LocalStore, arguments: &Verify, settings: &Settings) -> Result<i32, Failure> {
    let options = VerifyOptions { contents: arguments.contents, repair: arguments.repair };
    let problems = store.verify(options, &*progress::observer(settings))?;
    for problem in &problems {
        println!("{problem}");
    }
    match problems.len() {
        0 => Ok(0),
        count if arguments.repair => {
            eprintln!("{count} problems were found; what was damaged will be made again");
            Ok(0)
        }
        count => Err(Failure::new(format!("the store in {} has {count} problems", settings.data.display()))
            .help("`wharf store verify --repair` forgets what is damaged, so that it is made again")),
    }
}

fn path_info(store: &LocalStore, paths: &[String], settings: &Settings) -> Result<i32, Failure> {
    let paths = match paths {
        [] => store.all_paths()?.into_iter().collect(),
        _ => parse_all(paths)?,
    };
    let infos = paths.iter().map(|path| store.require(path)).collect::<Result<Vec<_>, _>>()?;
    if settings.json {
        let rows: Vec<_> = infos.iter().map(to_json).collect();
        println!("{}", json!({ "schema": 1, "objects": rows }));
    } else {
        infos.iter().for_each(|info| println!("{}", info.path.to_absolute()));
    }
    Ok(0)
}

fn to_json(info: &PathInfo) -> serde_json::Value {
    json!({
        "path": info.path.to_absolute(),
        "narHash": info.nar_hash.to_sri(),
        "narSize": info.nar_size,
        "references": info.references.iter().map(StorePath::to_absolute).collect::<Vec<_>>(),
        "deriver": info.deriver.as_ref().map(StorePath::to_absolute),
        "registrationTime": info.registration_time,
        "signatures": info.signatures,
        "ca": info.content_address.as_ref().map(ToString::to_string),
    })
}

fn dump(store: &LocalStore, paths: &[String]) -> Result<i32, Failure> {
    let [path] = &parse_all(paths)?[..] else {
        return Err(Failure::usage("one archive holds one object: name one store path"));
    };
    store.require(path)?;
    let out = std::io::BufWriter::with_capacity(1 << 18, std::io::stdout().lock());
    fs_nar::dump(&store.real_path(path), &mut fs_nar::everything, out)?.flush()?;
    Ok(0)
}

fn add_path(store: &LocalStore, arguments: &Add) -> Result<i32, Failure> {
    use nix_formats::{content_address::Method, hash::HashAlgo};
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

fn parse_all(paths: &[String]) -> Result<Vec<StorePath>, Failure> {
    paths.iter().map(|text| parse(text)).collect()
}

/// A store path as such, or a path or link that leads into the store, as `./result` does.
pub(crate) fn parse(text: &str) -> Result<StorePath, Failure> {
    if let Ok((path, _)) = StorePath::split_absolute(text.as_bytes()) {
        return Ok(path);
    }
    let real = Path::new(text).canonicalize().map_err(|error| Failure::io("find", Path::new(text), error))?;
    let object = real
        .components()
        .skip_while(|part| part.as_os_str() != "store")
        .nth(1)
        .and_then(|part| StorePath::from_base_name(part.as_os_str().as_encoded_bytes()).ok());
    object.ok_or_else(|| {
        Failure::usage(format!("'{text}' is no store path and does not lead to one"))
            .help("a store path looks like /nix/store/<32 characters>-name")
    })
}
