//! `wharf store roots`.

use serde_json::json;
use store::LocalStore;

use crate::failure::Failure;
use crate::settings::Settings;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Also what running processes need
    #[arg(long)]
    all: bool,
}

pub(super) fn run(store: &LocalStore, arguments: &Arguments, settings: &Settings) -> Result<i32, Failure> {
    let mut roots: Vec<_> = store.permanent_roots()?.into_iter().collect();
    if arguments.all {
        roots.extend(store.temporary_roots()?);
        roots.extend(store.runtime_roots());
        roots.sort();
        roots.dedup();
    }
    if settings.json {
        let row = |(root, path): &(store::local::Root, nix_formats::store_path::StorePath)| json!({ "root": root.to_string(), "path": path.to_absolute() });
        println!("{}", json!({ "schema": 1, "roots": roots.iter().map(row).collect::<Vec<_>>() }));
    } else {
        roots.iter().for_each(|(root, path)| println!("{root} -> {}", path.to_absolute()));
    }
    Ok(0)
}
