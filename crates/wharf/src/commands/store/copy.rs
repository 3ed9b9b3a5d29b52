//! `wharf store push` and `copy`.

use std::path::{Path, PathBuf};

use fetch::{OpenCache, open_cache};
use nix_formats::narinfo::Compression;
use nix_formats::signature::SecretKey;
use nix_formats::store_path::StorePath;
use serde_json::json;
use store::cache::{ExportOptions, export};
use store::daemon::{DaemonOptions, DaemonStore, SshHost, SshOptions};
use store::{LocalStore, PathInfo, Store};

use super::key;
use super::paths::parse_all;
use crate::environment;
use crate::failure::Failure;
use crate::progress;
use crate::settings::Settings;
use crate::substituters::{NetworkArguments, Reach, TrustArguments, daemon_socket};

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
}

#[derive(clap::Args)]
#[command(after_help = "\
A binary cache is an address such as file:///DIR, https://… or s3://BUCKET. A store is the directory that it is below, `daemon`
for that of this machine's Nix, or ssh-ng://HOST for another machine's.

Examples:
  wharf store copy --from https://cache.nixos.org /nix/store/…-hello-2.12.1
  wharf store copy --to file:///media/usb ./result
  wharf store copy --from file:///media/usb --no-check-sigs /nix/store/…-web
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
    #[command(flatten)]
    written: Written,
    #[command(flatten)]
    trust: TrustArguments,
    #[command(flatten)]
    network: NetworkArguments,
}

/// One end of a copy.
enum End {
    Store(Box<dyn Store>),
    Cache(String, OpenCache),
}

pub(super) fn push(store: &LocalStore, arguments: &Push, settings: &Settings) -> Result<i32, Failure> {
    let reach = Reach::new(settings, &arguments.network, &TrustArguments::default())?;
    let cache = open_cache(&arguments.cache, &reach.caches)?;
    let paths = parse_all(&arguments.paths)?;
    let written = fill(store, &paths, &cache, &arguments.written, &reach, settings)?;
    report(&written, &arguments.cache, settings)
}

pub(super) fn copy(arguments: &Copy, settings: &Settings) -> Result<i32, Failure> {
    let reach = Reach::new(settings, &arguments.network, &arguments.trust)?;
    let paths = parse_all(&arguments.paths)?;
    let from = End::open(arguments.from.as_deref(), true, &reach, settings)?;
    let to = End::open(arguments.to.as_deref(), false, &reach, settings)?;
    let progress = progress::observer(settings);
    let shown = arguments.to.clone().unwrap_or_else(|| settings.data.display().to_string());
    let copied = match (&from, &to) {
        (End::Store(from), End::Cache(_, to)) => fill(&**from, &paths, to, &arguments.written, &reach, settings)?,
        (End::Cache(address, _), End::Store(to)) => take(address, &paths, &**to, &reach, settings)?,
        (End::Store(from), End::Store(to)) => {
            let accept = |info: &PathInfo| check_signature(info, &reach);
            store::copy(&**from, &paths, &**to, accept, &*progress)?
        }
        (End::Cache(address, _), End::Cache(_, to)) => {
            // Through a store of its own, so that what arrives is checked as whole objects before it is passed on.
            let between =
                tempfile::tempdir().map_err(|error| Failure::io("make", &std::env::temp_dir(), error))?.keep();
            let copied = LocalStore::open(&between).map_err(Failure::from).and_then(|store| {
                take(address, &paths, &store, &reach, settings)?;
                fill(&store, &paths, to, &arguments.written, &reach, settings)
            });
            store::fs_nar::remove(&between)?;
            copied?
        }
    };
    report(&copied, &shown, settings)
}

impl End {
    fn open(place: Option<&str>, must_be_there: bool, reach: &Reach, settings: &Settings) -> Result<Self, Failure> {
        let directory = match place {
            None => settings.data.clone(),
            Some(text) => match daemon(text, reach, settings)? {
                Some(store) => return Ok(Self::Store(Box::new(store))),
                None if text.contains(':') => {
                    return Ok(Self::Cache(text.to_owned(), open_cache(text, &reach.caches)?));
                }
                None => PathBuf::from(text),
            },
        };
        if directory.join("nix-cache-info").exists() {
            let absolute = directory.canonicalize().unwrap_or(directory);
            return Err(Failure::usage(format!("'{}' holds a binary cache, not a store", absolute.display()))
                .help(format!("write it as file://{}", absolute.display())));
        }
        if must_be_there && place.is_some() && !is_store(&directory) {
            return Err(Failure::new(format!("there is no store in '{}'", directory.display()))
                .help("a binary cache in a directory is written file:///DIR"));
        }
        Ok(Self::Store(Box::new(LocalStore::open(&directory)?)))
    }
}

/// The store behind a daemon, if that is what a text names.
fn daemon(text: &str, reach: &Reach, settings: &Settings) -> Result<Option<DaemonStore>, Failure> {
    let options = DaemonOptions { take_unsigned: reach.keys.is_none(), ..DaemonOptions::default() };
    let progress = progress::observer(settings);
    if text == "daemon" {
        let store = Path::new(nix_formats::STORE_DIR);
        return Ok(Some(DaemonStore::open(&daemon_socket(), store, options, progress)?));
    }
    let Some(rest) = text.strip_prefix("ssh-ng://") else { return Ok(None) };
    if settings.offline {
        return Err(Failure::new(format!("'{text}' cannot be reached, for the network is not used (--offline)")));
    }
    let (host, query) = rest.split_once('?').unwrap_or((rest, ""));
    let wrong = |problem: String| Failure::usage(format!("cannot use '{text}' as a store: {problem}"));
    let host = SshHost::parse(host.trim_end_matches('/')).ok_or_else(|| wrong("it names no host".to_owned()))?;
    let extra = environment::text("NIX_SSHOPTS").unwrap_or_default();
    let mut ssh =
        SshOptions { options: extra.split_whitespace().map(str::to_owned).collect(), ..SshOptions::default() };
    for (name, value) in
        query.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').unwrap_or((pair, "")))
    {
        match name {
            "ssh-key" => ssh.key = Some(PathBuf::from(value)),
            "remote-program" => ssh.program = Some(value.to_owned()),
            "remote-store" => ssh.remote_store = Some(value.to_owned()),
            _ => {
                return Err(wrong(format!(
                    "it has no parameter '{name}'; there are ssh-key, remote-program, remote-store"
                )));
            }
        }
    }
    Ok(Some(DaemonStore::open_ssh(host, ssh, options, progress)?))
}

fn is_store(directory: &Path) -> bool {
    directory.join("nix/var/nix/db/db.sqlite").exists()
}

fn take(
    address: &str,
    paths: &[StorePath],
    store: &dyn Store,
    reach: &Reach,
    settings: &Settings,
) -> Result<Vec<StorePath>, Failure> {
    let Some(cache) = reach.cache(address, false)? else {
        return Err(Failure::new(format!("'{address}' cannot be reached, for the network is not used (--offline)")));
    };
    let caches = reach.substituters(vec![cache]);
    Ok(caches.take(paths.iter().cloned(), store, &*progress::observer(settings))?)
}

fn fill(
    store: &dyn Store,
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
    let exported = export(store, paths, &*cache.transport, &options, &*progress::observer(settings));
    // What was missing before is no longer, and whoever asks next should not be told that it is.
    reach.lookups.forget_cache(cache.transport.address());
    Ok(exported?)
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
