//! `wharf tags`.

use serde_json::json;

use crate::failure::Failure;
use crate::registries;
use crate::settings::Settings;

/// List the tags of a repository
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The repository, such as localhost:5000/web
    repository: String,
}

pub(crate) fn run(arguments: &Arguments, settings: &Settings) -> Result<i32, Failure> {
    let repository = registries::reference(&arguments.repository)?;
    let client = registries::client(settings)?;
    let tags = registries::wait(async { Ok(client.tags(&repository).await?) })?;
    if settings.json {
        println!("{}", json!({ "schema": 1, "tags": tags }));
    } else {
        tags.iter().for_each(|tag| println!("{tag}"));
    }
    Ok(0)
}
