//! `wharf store path-info`.

use fetch::open_cache;
use indicatif::HumanBytes;
use nix_formats::store_path::StorePath;
use serde_json::{Value, json};
use store::cache::{BinaryCache, CacheOptions};
use store::{PathInfo, Store};

use super::opened::Opened;
use super::paths::parse_all;
use crate::failure::Failure;
use crate::nix_conf::OptionArguments;
use crate::settings::Settings;
use crate::substituters::{NetworkArguments, Reach, TrustArguments};

#[derive(clap::Args)]
#[command(
    disable_help_flag = true,
    after_help = "\
Examples:
  wharf store path-info -rsh ./result      the closure, with sizes
  wharf store path-info -Sh ./result       how large it is with all that it needs
  wharf store path-info --json --cache https://cache.nixos.org /nix/store/…-hello-2.12.1"
)]
pub(super) struct Arguments {
    /// Store paths; all objects where none is named
    paths: Vec<String>,
    /// Also what they refer to, directly or not
    #[arg(short, long, requires = "paths")]
    recursive: bool,
    /// Print sizes
    #[arg(short, long)]
    size: bool,
    /// Print sizes together with all that is referred to
    #[arg(short = 'S', long)]
    closure_size: bool,
    /// Print sizes with units
    #[arg(short, long)]
    human_readable: bool,
    /// Print signatures
    #[arg(long)]
    sigs: bool,
    /// Ask this binary cache, instead of the store
    #[arg(long, value_name = "URL", requires = "paths", conflicts_with_all = ["recursive", "closure_size"])]
    cache: Option<String>,
    #[command(flatten)]
    network: NetworkArguments,
    #[command(flatten)]
    options: OptionArguments,
    /// Print help
    #[arg(long, action = clap::ArgAction::Help)]
    help: Option<bool>,
}

/// What is printed of one object.
struct Row {
    info: PathInfo,
    /// Its own size and that of all it refers to.
    closure_size: Option<u64>,
    /// What only a cache knows.
    download: Option<Value>,
}

pub(super) fn run(arguments: &Arguments, settings: &Settings) -> Result<i32, Failure> {
    let rows = match &arguments.cache {
        Some(url) => from_cache(url, arguments, settings)?,
        None => from_store(arguments, settings)?,
    };
    if settings.json {
        let rows: Vec<_> = rows.iter().map(to_json).collect();
        println!("{}", json!({ "schema": 1, "objects": rows }));
        return Ok(0);
    }
    let width = rows.iter().map(|row| row.info.path.to_absolute().len()).max().unwrap_or(0);
    for row in &rows {
        println!("{}", line(row, width, arguments));
    }
    Ok(0)
}

fn from_store(arguments: &Arguments, settings: &Settings) -> Result<Vec<Row>, Failure> {
    let store = Opened::open(settings)?;
    let paths: Vec<StorePath> = match &arguments.paths[..] {
        [] => store.all_paths()?.into_iter().collect(),
        paths if arguments.recursive => store.closure(&parse_all(paths)?)?.into_iter().collect(),
        paths => parse_all(paths)?,
    };
    let row = |path: &StorePath| -> Result<Row, Failure> {
        let info = store.require(path)?;
        let closure_size = match arguments.closure_size {
            true => Some(closure_size(&*store, path)?),
            false => None,
        };
        Ok(Row { info, closure_size, download: None })
    };
    paths.iter().map(row).collect()
}

fn closure_size(store: &dyn Store, path: &StorePath) -> Result<u64, Failure> {
    let closure = store.closure(std::slice::from_ref(path))?;
    let sizes = closure.iter().map(|path| Ok(store.require(path)?.nar_size));
    sizes.sum::<Result<u64, Failure>>()
}

fn from_cache(url: &str, arguments: &Arguments, settings: &Settings) -> Result<Vec<Row>, Failure> {
    let reach = Reach::new(settings, &arguments.network, &TrustArguments::default(), &arguments.options.given()?)?;
    let cache = BinaryCache::new(open_cache(url, &reach.caches)?.transport, CacheOptions::default());
    let mut rows = Vec::new();
    for path in parse_all(&arguments.paths)? {
        let Some(info) = cache.info(&path)? else {
            return Err(Failure::new(format!("'{}' does not have '{}'", cache.address(), path.to_absolute())));
        };
        let download = json!({ "url": info.url, "compression": info.compression.name(), "size": info.file_size });
        rows.push(Row { info: PathInfo::from(&info), closure_size: None, download: Some(download) });
    }
    Ok(rows)
}

fn line(row: &Row, width: usize, arguments: &Arguments) -> String {
    let path = row.info.path.to_absolute();
    let mut columns = Vec::new();
    let sizes = [arguments.size.then_some(row.info.nar_size), row.closure_size];
    for size in sizes.into_iter().flatten() {
        columns.push(match arguments.human_readable {
            true => format!("{:>11}", HumanBytes(size).to_string()),
            false => format!("{size:>11}"),
        });
    }
    if arguments.sigs {
        let mut notes: Vec<String> = Vec::new();
        notes.extend(row.info.ultimate.then(|| "ultimate".to_owned()));
        notes.extend(row.info.content_address.map(|address| format!("ca:{address}")));
        notes.extend(row.info.signatures.iter().cloned());
        columns.push(notes.join(" "));
    }
    match columns.is_empty() {
        true => path,
        false => format!("{path:<width$}\t{}", columns.join("\t")).trim_end().to_owned(),
    }
}

fn to_json(row: &Row) -> Value {
    let info = &row.info;
    let mut value = json!({
        "path": info.path.to_absolute(),
        "narHash": info.nar_hash.to_sri(),
        "narSize": info.nar_size,
        "references": info.references.iter().map(StorePath::to_absolute).collect::<Vec<_>>(),
        "deriver": info.deriver.as_ref().map(StorePath::to_absolute),
        "registrationTime": info.registration_time,
        "ultimate": info.ultimate,
        "signatures": info.signatures,
        "ca": info.content_address.as_ref().map(ToString::to_string),
    });
    if let Some(size) = row.closure_size {
        value["closureSize"] = size.into();
    }
    if let Some(download) = &row.download {
        value["download"] = download.clone();
    }
    value
}
