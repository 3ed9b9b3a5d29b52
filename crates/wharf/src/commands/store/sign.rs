//! `wharf store sign`.

use std::path::PathBuf;

use fetch::open_cache;
use nix_formats::signature::SecretKey;

use super::key;
use super::opened::Opened;
use super::paths::parse_all;
use crate::failure::Failure;
use crate::nix_conf::OptionArguments;
use crate::settings::Settings;
use crate::substituters::{NetworkArguments, Reach, TrustArguments};

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  wharf store sign --key ./secret-key -r ./result
  wharf store sign --key ./secret-key --cache file:///srv/cache /nix/store/…-web")]
pub(super) struct Arguments {
    /// Store paths
    #[arg(required = true)]
    paths: Vec<String>,
    /// The file with the secret key; several give several signatures
    #[arg(short, long = "key", value_name = "FILE", required = true)]
    keys: Vec<PathBuf>,
    /// Also what the objects refer to, directly or not; only for objects in the store
    #[arg(short, long, conflicts_with = "cache")]
    recursive: bool,
    /// Sign what is in this binary cache, instead of the store
    #[arg(long, value_name = "URL")]
    cache: Option<String>,
    #[command(flatten)]
    network: NetworkArguments,
    #[command(flatten)]
    options: OptionArguments,
}

pub(super) fn run(arguments: &Arguments, settings: &Settings) -> Result<i32, Failure> {
    let keys = arguments.keys.iter().map(|file| key::read(file)).collect::<Result<Vec<_>, _>>()?;
    let paths = parse_all(&arguments.paths)?;
    let added = match &arguments.cache {
        Some(url) => {
            let reach =
                Reach::new(settings, &arguments.network, &TrustArguments::default(), &arguments.options.given()?)?;
            let cache = open_cache(url, &reach.caches)?;
            let added = store::cache::sign(&*cache.transport, &paths, &keys)?;
            reach.lookups.forget_cache(cache.transport.address());
            added
        }
        None => {
            let store = Opened::open(settings)?;
            let paths = match arguments.recursive {
                true => store.closure(&paths)?.into_iter().collect(),
                false => paths,
            };
            let mut added = 0;
            for path in &paths {
                added += sign(&store, path, &keys)?;
            }
            added
        }
    };
    if settings.json {
        println!("{}", serde_json::json!({ "schema": 1, "added": added }));
    } else {
        eprintln!("added {added} signatures");
    }
    Ok(0)
}

fn sign(store: &Opened, path: &nix_formats::store_path::StorePath, keys: &[SecretKey]) -> Result<usize, Failure> {
    let info = store.require(path)?;
    let fingerprint = info.fingerprint();
    let mut signatures = info.signatures.clone();
    signatures.extend(keys.iter().map(|key| key.sign(fingerprint.as_bytes())));
    let added = signatures.len() - info.signatures.len();
    if added > 0 {
        match store {
            Opened::Own(store) => store.set_signatures(path, &signatures)?,
            Opened::Daemon(store) => store.add_signatures(path, &signatures.into_iter().collect::<Vec<_>>())?,
        }
    }
    Ok(added)
}
