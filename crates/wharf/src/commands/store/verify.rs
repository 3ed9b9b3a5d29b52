//! `wharf store verify`.

use store::local::VerifyOptions;

use super::opened::Opened;
use super::paths::parse_all;
use crate::failure::Failure;
use crate::nix_conf::OptionArguments;
use crate::progress;
use crate::settings::Settings;
use crate::substituters::{NetworkArguments, Reach, TrustArguments};

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  wharf store verify --contents          read everything, and compare
  wharf store verify --signed ./result   has everything in it been built here, or been signed by a trusted key?")]
pub(super) struct Arguments {
    /// Read every object and compare its hash
    #[arg(long)]
    contents: bool,
    /// Forget what is missing or damaged, so that it is made again
    #[arg(long)]
    repair: bool,
    /// Check that objects were built here, follow from their content, or are signed by a trusted key: those named, with
    /// all that they refer to, else all
    #[arg(long, conflicts_with_all = ["contents", "repair"])]
    signed: bool,
    /// The objects whose signatures to check
    #[arg(requires = "signed")]
    paths: Vec<String>,
    #[command(flatten)]
    trust: TrustArguments,
    #[command(flatten)]
    options: OptionArguments,
}

pub(super) fn run(store: &Opened, arguments: &Arguments, settings: &Settings) -> Result<i32, Failure> {
    let problems: Vec<String> = match arguments.signed {
        true => unsigned(store, arguments, settings)?,
        false => {
            let options = VerifyOptions { contents: arguments.contents, repair: arguments.repair };
            match store {
                Opened::Own(store) => {
                    let problems = store.verify(options, &*progress::observer(settings))?;
                    problems.iter().map(ToString::to_string).collect()
                }
                Opened::Daemon(store) => store.verify(arguments.contents, arguments.repair)?,
            }
        }
    };
    if settings.json {
        println!("{}", serde_json::json!({ "schema": 1, "problems": problems }));
    } else {
        problems.iter().for_each(|problem| println!("{problem}"));
    }
    match problems.len() {
        0 => Ok(0),
        count if arguments.repair => {
            eprintln!("{count} problems were found; what was damaged will be made again");
            Ok(0)
        }
        count if arguments.signed => Err(Failure::new(format!("{count} objects are signed by no trusted key"))
            .help("name more keys with --extra-trusted-public-keys, or sign them with `wharf store sign`")),
        count => Err(Failure::new(format!("{} has {count} problems", named(store, settings))).help(
            "`wharf store repair` takes good copies from binary caches\n`wharf store verify --repair` forgets what is \
             damaged, so that it is made again",
        )),
    }
}

/// The store, for people.
fn named(store: &Opened, settings: &Settings) -> String {
    match store {
        Opened::Own(_) => format!("the store in {}", settings.data.display()),
        Opened::Daemon(store) => format!("the store of the daemon at {}", store.address()),
    }
}

fn unsigned(store: &Opened, arguments: &Arguments, settings: &Settings) -> Result<Vec<String>, Failure> {
    let reach = Reach::new(settings, &NetworkArguments::default(), &arguments.trust, &arguments.options.given()?)?;
    let keys = reach.keys.as_deref().unwrap_or_default();
    let paths = match &arguments.paths[..] {
        [] => store.all_paths()?,
        paths => store.closure(&parse_all(paths)?)?,
    };
    let mut problems = Vec::new();
    for path in paths {
        let info = store.require(&path)?;
        if !info.ultimate && info.content_address.is_none() && !info.is_signed_by(keys) {
            problems.push(format!("path '{path}' is signed by no trusted key"));
        }
    }
    Ok(problems)
}
