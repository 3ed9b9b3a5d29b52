//! `wharf store push` and `copy`.

use std::path::PathBuf;

use fetch::{OpenCache, open_cache};
use indicatif::HumanBytes;
use nix_formats::narinfo::{Compression, NarInfo};
use nix_formats::realisation::Realisation;
use nix_formats::signature::SecretKey;
use nix_formats::store_path::StorePath;
use serde_json::json;
use store::cache::{BinaryCache, ExportOptions, export, put_realisations};
use store::progress::Progress;
use store::{DaemonStore, LocalStore, PathInfo, Store, StoreError};

use super::ends::End;
use super::key;
use super::opened::Opened;
use super::paths::parse_all;
use crate::failure::Failure;
use crate::nix_conf::OptionArguments;
use crate::progress;
use crate::settings::Settings;
use crate::substituters::{NetworkArguments, Reach, TrustArguments};

/// What is written into a cache.
#[derive(clap::Args)]
struct Written {
    /// How archives are compressed [default: the address's ?compression=, else zstd]
    #[arg(long, value_parser = parse_compression, value_name = "none|bzip2|gzip|xz|zstd|br")]
    compression: Option<Compression>,
    /// How hard, by the compressor's own scale
    #[arg(long, value_name = "N")]
    compression_level: Option<u32>,
    /// A file with a key to sign with; several give several signatures
    #[arg(long = "secret-key", value_name = "FILE")]
    secret_keys: Vec<PathBuf>,
}

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  wharf store push file:///srv/cache ./result
  wharf store push 's3://bucket?region=eu-central-1' --secret-key ./key ./result
  wharf store push https://cache.example.org --netrc-file ./netrc ./result    a server that takes PUT

Nix substitutes from such a cache: --option substituters URL --option trusted-public-keys NAME:KEY")]
pub(super) struct Push {
    /// The binary cache: file:///DIR, https://…, s3://BUCKET?region=…&endpoint=…
    cache: String,
    /// Store paths, or links to them such as ./result
    #[arg(required = true)]
    paths: Vec<String>,
    #[command(flatten)]
    written: Written,
    #[command(flatten)]
    network: NetworkArguments,
    #[command(flatten)]
    options: OptionArguments,
}

#[derive(clap::Args)]
#[command(after_help = "\
A binary cache is an address such as file:///DIR, https://… or s3://BUCKET. A store is the directory that it is below, `daemon`
for that of this machine's Nix, or ssh-ng://HOST for another machine's.

Examples:
  wharf store copy --from https://cache.nixos.org /nix/store/…-hello-2.12.1
  wharf store copy --to file:///media/usb ./result
  wharf store copy --from file:///media/usb --no-check-sigs /nix/store/…-web
  wharf store copy --from file:///media/usb --option trusted-public-keys 'build-1:…' /nix/store/…-web
  wharf store copy --to ./other-store ./result
  wharf store copy --to daemon ./result
  wharf store copy --to ssh-ng://build@farm.example.org ./result")]
pub(super) struct Copy {
    /// Where from: a binary cache, or the directory of a store [default: the store]
    #[arg(long, value_name = "URL|DIR|daemon", required_unless_present = "to")]
    from: Option<String>,
    /// Where to: a binary cache, or the directory of a store [default: the store]
    #[arg(long, value_name = "URL|DIR|daemon")]
    to: Option<String>,
    /// Store paths, or links to them such as ./result
    #[arg(required = true)]
    paths: Vec<String>,
    /// Print what would be taken from a binary cache into a store, and how much that is, and copy nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    written: Written,
    #[command(flatten)]
    trust: TrustArguments,
    #[command(flatten)]
    network: NetworkArguments,
    #[command(flatten)]
    options: OptionArguments,
}

pub(super) fn push(store: &Opened, arguments: &Push, settings: &Settings) -> Result<i32, Failure> {
    let reach = Reach::new(settings, &arguments.network, &TrustArguments::default(), &arguments.options.given()?)?;
    let cache = open_cache(&arguments.cache, &reach.caches)?;
    let paths = parse_all(&arguments.paths)?;
    let written = fill(store, &paths, &cache, &arguments.written, &reach, settings)?;
    report(&written, &arguments.cache, settings)
}

pub(super) fn copy(arguments: &Copy, settings: &Settings) -> Result<i32, Failure> {
    let reach = Reach::new(settings, &arguments.network, &arguments.trust, &arguments.options.given()?)?;
    let paths = parse_all(&arguments.paths)?;
    let from = End::open(arguments.from.as_deref(), true, &reach, settings)?;
    let to = End::open(arguments.to.as_deref(), false, &reach, settings)?;
    let progress = progress::observer(settings);
    let own = || match settings.daemon() {
        Some(_) => "the daemon's store".to_owned(),
        None => settings.data.display().to_string(),
    };
    let shown = arguments.to.clone().unwrap_or_else(own);
    if arguments.dry_run {
        let (End::Cache(address, _), End::Store(to)) = (&from, &to) else {
            return Err(Failure::usage("--dry-run is for what is copied from a binary cache into a store"));
        };
        return foresee(address, &paths, &**to, &reach, settings);
    }
    let copied = match (&from, &to) {
        (End::Store(from), End::Cache(_, to)) => fill(from, &paths, to, &arguments.written, &reach, settings)?,
        (End::Cache(address, _), End::Store(to)) => take(address, &paths, &**to, &reach, settings)?,
        (End::Store(from), End::Store(to)) => {
            let accept = |info: &PathInfo| check_signature(info, &reach);
            let copied = store::copy(&**from, &paths, &**to, accept, &*progress)?;
            if let Opened::Daemon(to) = to {
                tell(to, from.realisations(&paths, settings)?, &*progress)?;
            }
            copied
        }
        (End::Cache(address, _), End::Cache(_, to)) => {
            // Through a store of its own, so that what arrives is checked as whole objects before it is passed on.
            let between =
                tempfile::tempdir().map_err(|error| Failure::io("make", &std::env::temp_dir(), error))?.keep();
            let copied = LocalStore::open(&between).map_err(Failure::from).and_then(|store| {
                let store = Opened::Own(Box::new(store));
                take(address, &paths, &*store, &reach, settings)?;
                fill(&store, &paths, to, &arguments.written, &reach, settings)
            });
            store::fs_nar::remove(&between)?;
            copied?
        }
    };
    report(&copied, &shown, settings)
}

/// Prints what would be taken.
fn foresee(
    address: &str,
    paths: &[StorePath],
    store: &dyn Store,
    reach: &Reach,
    settings: &Settings,
) -> Result<i32, Failure> {
    let caches = reach.substituters(vec![open(address, reach)?]);
    let plan = caches.plan(paths.iter().cloned(), store, &*progress::observer(settings))?;
    let missing: Vec<String> = plan.missing.iter().map(StorePath::to_absolute).collect();
    if settings.json {
        let row = |info: &NarInfo| json!({ "path": info.path.to_absolute(), "downloadSize": info.file_size, "narSize": info.nar_size });
        let rows: Vec<_> = plan.objects().map(row).collect();
        println!("{}", json!({ "schema": 1, "wouldTake": rows, "missing": missing }));
        return Ok(0);
    }
    plan.objects().for_each(|info| println!("{}", info.path.to_absolute()));
    let (download, unpacked) = (HumanBytes(plan.download_size()), HumanBytes(plan.nar_size()));
    eprintln!("{} objects: {download} to download, {unpacked} unpacked", plan.objects().count());
    match missing.is_empty() {
        true => Ok(0),
        false => Err(Failure::new(format!("'{address}' lacks {} objects", missing.len())).because(missing.join("\n"))),
    }
}

fn open(address: &str, reach: &Reach) -> Result<BinaryCache, Failure> {
    let offline = || Failure::new(format!("'{address}' cannot be reached, for the network is not used (--offline)"));
    reach.cache(address, false)?.ok_or_else(offline)
}

fn take(
    address: &str,
    paths: &[StorePath],
    store: &dyn Store,
    reach: &Reach,
    settings: &Settings,
) -> Result<Vec<StorePath>, Failure> {
    let caches = reach.substituters(vec![open(address, reach)?]);
    Ok(caches.take(paths.iter().cloned(), store, &*progress::observer(settings))?)
}

/// Tells a daemon which outputs the objects are that it has got.
fn tell(daemon: &DaemonStore, realisations: Vec<Realisation>, progress: &dyn Progress) -> Result<(), Failure> {
    for realisation in realisations {
        match daemon.register_realisation(&realisation) {
            // It has the objects all the same.
            Err(error @ StoreError::DaemonSaid { .. }) => progress.warn(&error.to_string()),
            told => told?,
        }
    }
    Ok(())
}

fn fill(
    store: &Opened,
    paths: &[StorePath],
    cache: &OpenCache,
    written: &Written,
    reach: &Reach,
    settings: &Settings,
) -> Result<Vec<StorePath>, Failure> {
    let files = written.secret_keys.iter().chain(&cache.secret_keys);
    let keys: Vec<SecretKey> = files.map(|file| key::read(file)).collect::<Result<_, _>>()?;
    let options = ExportOptions {
        compression: written.compression.or(cache.compression).unwrap_or(Compression::Zstd),
        level: written.compression_level.or(cache.level),
        keys: &keys,
        ..ExportOptions::default()
    };
    let exported = export(&**store, paths, &*cache.transport, &options, &*progress::observer(settings));
    let exported = exported.map_err(Failure::from).and_then(|exported| {
        put_realisations(&*cache.transport, store.realisations(paths, settings)?, &keys)?;
        Ok(exported)
    });
    // What was missing before is no longer, and whoever asks next should not be told that it is.
    reach.lookups.forget_cache(cache.transport.address());
    exported
}

fn check_signature(info: &PathInfo, reach: &Reach) -> Result<(), Failure> {
    let trusted = info.content_address.is_some() || reach.keys.as_ref().is_none_or(|keys| info.is_signed_by(keys));
    match trusted {
        true => Ok(()),
        false => Err(Failure::new(format!("'{}' is not signed by a trusted key", info.path.to_absolute()))
            .help("name its key with --extra-trusted-public-keys, or take it nevertheless with --no-check-sigs")),
    }
}

fn report(copied: &[StorePath], to: &str, settings: &Settings) -> Result<i32, Failure> {
    if settings.json {
        let paths: Vec<_> = copied.iter().map(StorePath::to_absolute).collect();
        println!("{}", json!({ "schema": 1, "copied": paths }));
    } else {
        // An address may have a password in it.
        let shown = to.rsplit_once('@').map_or(to, |(_, rest)| rest);
        eprintln!("copied {} objects to {shown}", copied.len());
    }
    Ok(0)
}

fn parse_compression(name: &str) -> Result<Compression, String> {
    let found = Compression::ALL.into_iter().find(|known| known.name() == name);
    found.ok_or_else(|| format!("there are {}", Compression::ALL.map(Compression::name).join(", ")))
}
