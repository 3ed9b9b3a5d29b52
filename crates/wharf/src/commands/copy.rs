//! `wharf copy`.

use serde_json::json;

use crate::failure::Failure;
use crate::settings::Settings;
use crate::{progress, registries};

/// Copy an image, all its platforms, from one registry to another
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  wharf copy docker.io/library/alpine:3.20 localhost:5000/alpine:3.20")]
pub(crate) struct Arguments {
    /// The image
    from: String,
    /// Its new name
    to: String,
}

pub(crate) fn run(arguments: &Arguments, settings: &Settings) -> Result<i32, Failure> {
    let (from, to) = (registries::reference(&arguments.from)?, registries::reference(&arguments.to)?);
    let client = registries::client(settings)?;
    let progress = progress::observer(settings);
    let copied = registries::wait(async { Ok(client.copy(&from, &to, &*progress).await?) })?;
    if settings.json {
        let digest = copied.digest.to_string();
        println!(
            "{}",
            json!({ "schema": 1, "reference": to.to_string(), "digest": digest, "upToDate": copied.up_to_date })
        );
    } else {
        println!("{to}@{}  {}", copied.digest, if copied.up_to_date { "up to date" } else { "copied" });
    }
    Ok(0)
}
