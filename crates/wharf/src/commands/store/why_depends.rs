//! `wharf store why-depends`.

use std::collections::{BTreeMap, VecDeque};

use nix_formats::store_path::StorePath;
use serde_json::json;
use store::Store;

use super::paths::parse;
use crate::failure::Failure;
use crate::settings::Settings;

#[derive(clap::Args)]
#[command(after_help = "\
Example:
  wharf store why-depends ./result /nix/store/…-glibc-2.39    the shortest way from one to the other")]
pub(super) struct Arguments {
    /// The object that needs the other
    object: String,
    /// The object that is needed
    dependency: String,
}

pub(super) fn run(store: &dyn Store, arguments: &Arguments, settings: &Settings) -> Result<i32, Failure> {
    let (from, to) = (parse(&arguments.object)?, parse(&arguments.dependency)?);
    let way = shortest_way(store, &from, &to)?;
    if settings.json {
        let way: Option<Vec<_>> = way.map(|way| way.iter().map(StorePath::to_absolute).collect());
        println!("{}", json!({ "schema": 1, "path": way }));
        return Ok(0);
    }
    match way {
        None => eprintln!("'{}' does not need '{}'", from.to_absolute(), to.to_absolute()),
        Some(way) => {
            for (depth, path) in way.iter().enumerate() {
                let indent =
                    if depth == 0 { String::new() } else { format!("{}└───", "    ".repeat(depth - 1)) };
                println!("{indent}{}", path.to_absolute());
            }
        }
    }
    Ok(0)
}

/// The objects from one to another, each of which refers to the next.
fn shortest_way(store: &dyn Store, from: &StorePath, to: &StorePath) -> Result<Option<Vec<StorePath>>, Failure> {
    store.require(from)?;
    let mut referrers: BTreeMap<StorePath, Option<StorePath>> = BTreeMap::from([(from.clone(), None)]);
    let mut queue = VecDeque::from([from.clone()]);
    while let Some(path) = queue.pop_front() {
        if path == *to {
            let mut way = vec![path];
            while let Some(Some(referrer)) = way.last().and_then(|last| referrers.get(last)) {
                way.push(referrer.clone());
            }
            way.reverse();
            return Ok(Some(way));
        }
        for reference in store.require(&path)?.references {
            referrers.entry(reference.clone()).or_insert_with(|| {
                queue.push_back(reference);
                Some(path.clone())
            });
        }
    }
    Ok(None)
}
