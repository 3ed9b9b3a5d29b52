//! `wharf ci plan`.

use deploy::ci::{self, Planned};
use distribution::{Client, Error, Reference};
use project::Derived;

use crate::failure::Failure;
use crate::settings::Settings;
use crate::target::{BuildArguments, TargetArguments};
use crate::{progress, registries};

/// Print the containers whose derivations a registry does not have yet
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// What is built: a set of containers, or one
    target: Option<String>,
    /// The registry, and the path in it, that images are pushed to
    #[arg(long, value_name = "HOST[/PATH]")]
    to: String,
    /// How the plan is written
    #[arg(long, value_enum, default_value_t = Format::Matrix)]
    format: Format,
    /// GitLab: where the jobs fetch the wharf binary
    #[arg(long, value_name = "URL", env = "WHARF_URL", required_if_eq("format", "gitlab"))]
    binary_url: Option<String>,
    /// GitLab: the SHA-256 of that binary
    #[arg(long, value_name = "HASH", env = "WHARF_SHA256", required_if_eq("format", "gitlab"))]
    binary_sha256: Option<String>,
    #[command(flatten)]
    what: TargetArguments,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// A JSON list for a matrix of GitHub or Forgejo
    Matrix,
    /// A child pipeline of GitLab
    Gitlab,
}

pub(super) fn run(arguments: &Arguments, settings: &Settings) -> Result<i32, Failure> {
    let target = arguments.what.target(arguments.target.as_deref())?;
    let progress = progress::observer(settings);
    let project = arguments.what.open(settings, &BuildArguments::default(), progress.clone(), false)?;
    let derived = project.derivations(&target)?;
    let client = registries::client(settings)?;
    let named = arguments.target.as_deref().unwrap_or(".");
    let planned = registries::wait(async {
        let mut planned = Vec::new();
        for one in &derived {
            let candidate = candidate(one, named);
            let image = registries::reference(&format!("{}/{}:{}", arguments.to, candidate.name, candidate.tag()))?;
            if !is_there(&client, &image, &*progress).await {
                planned.push(candidate);
            }
        }
        Ok(planned)
    })?;
    match arguments.format {
        Format::Matrix => println!("{}", serde_json::to_string(&planned)?),
        Format::Gitlab => print!("{}", ci::child_pipeline(&planned, &pipeline(arguments, named))?),
    }
    Ok(0)
}

/// A member of a set is built by its name below it; a target that is one container by its own.
fn candidate(one: &Derived, target: &str) -> Planned {
    let (name, target) = match one.attribute.as_str() {
        "" => (one.name.strip_prefix("image-").unwrap_or(&one.name).to_owned(), target.to_owned()),
        attribute if target.contains('#') => (attribute.to_owned(), format!("{target}.{attribute}")),
        attribute => (attribute.to_owned(), format!("{target}#{attribute}")),
    };
    Planned { name, target, derivation: one.derivation.hash_part().to_string() }
}

/// A registry that cannot be asked, as in a pull request of a stranger, has nothing: then everything is built.
async fn is_there(client: &Client, image: &Reference, progress: &dyn store::progress::Progress) -> bool {
    match client.resolve(image).await {
        Ok(_) => true,
        Err(Error::NotFound { .. }) => false,
        Err(error) => {
            progress.warn(&format!("{image} is taken as missing: {error}"));
            false
        }
    }
}

fn pipeline(arguments: &Arguments, target: &str) -> ci::Settings {
    ci::Settings {
        // The parent pipeline has decided by branch already.
        branch: String::new(),
        target: target.to_owned(),
        registry: arguments.to.clone(),
        binary_url: arguments.binary_url.clone().unwrap_or_default(),
        binary_sha256: arguments.binary_sha256.clone().unwrap_or_default(),
    }
}
