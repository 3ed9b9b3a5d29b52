//! `wharf store roots`.

use nix_formats::store_path::StorePath;
use serde_json::json;

use super::opened::Opened;
use crate::failure::Failure;
use crate::settings::Settings;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Also what running processes need
    #[arg(long)]
    all: bool,
}

pub(super) fn run(store: &Opened, arguments: &Arguments, settings: &Settings) -> Result<i32, Failure> {
    let mut roots: Vec<(String, StorePath)> = match store {
        Opened::Own(store) => {
            let mut roots: Vec<_> = store.permanent_roots()?.into_iter().collect();
            if arguments.all {
                roots.extend(store.temporary_roots()?);
                roots.extend(store.runtime_roots());
            }
            roots.into_iter().map(|(root, path)| (root.to_string(), path)).collect()
        }
        Opened::Daemon(store) => {
            // What is no link is in braces, or in /proc.
            let is_link = |root: &str| root.starts_with('/') && !root.starts_with("/proc/");
            let roots = store.roots()?.into_iter().filter(|root| arguments.all || is_link(&root.root));
            let named = |root: &str| if is_link(root) { format!("link {root}") } else { root.to_owned() };
            roots.map(|root| (named(&root.root), root.path)).collect()
        }
    };
    roots.sort();
    roots.dedup();
    if settings.json {
        let row = |(root, path): &(String, StorePath)| json!({ "root": root, "path": path.to_absolute() });
        println!("{}", json!({ "schema": 1, "roots": roots.iter().map(row).collect::<Vec<_>>() }));
    } else {
        roots.iter().for_each(|(root, path)| println!("{root} -> {}", path.to_absolute()));
    }
    Ok(0)
}
