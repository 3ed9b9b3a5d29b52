//! `wharf ci init`.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use deploy::ci::{self, Forge};

use crate::failure::Failure;
use crate::settings::{Settings, Verbosity};

/// Write the pipeline that builds and pushes containers
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  wharf ci init github --registry ghcr.io/example \\
    --binary-url https://example.org/wharf-0.1.0 --binary-sha256 9f86d081884c7d65…

Jobs fetch the static binary from that address and run it only if it has that hash; `sha256sum` of a `wharf` gives it.")]
pub(crate) struct Arguments {
    /// The forge
    #[arg(value_parser = forges())]
    forge: String,
    /// The registry, and the path in it, that images are pushed to
    #[arg(long, value_name = "HOST[/PATH]")]
    registry: String,
    /// What is built
    #[arg(long, default_value = ".#containers")]
    target: String,
    /// The branch whose containers are pushed; others are only built
    #[arg(long, default_value = "main")]
    branch: String,
    /// Where jobs fetch the wharf binary
    #[arg(long, value_name = "URL")]
    binary_url: String,
    /// The SHA-256 of that binary, 64 hexadecimal digits
    #[arg(long, value_name = "HASH", value_parser = sha256)]
    binary_sha256: String,
    /// Print the pipeline, and write no file
    #[arg(long)]
    dry_run: bool,
    /// Replace a file that is there
    #[arg(long)]
    force: bool,
}

fn forges() -> clap::builder::PossibleValuesParser {
    Forge::ALL.map(Forge::as_str).into()
}

fn sha256(text: &str) -> Result<String, String> {
    match text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        true => Ok(text.to_ascii_lowercase()),
        false => Err("64 hexadecimal digits are needed, as sha256sum prints them".to_owned()),
    }
}

pub(super) fn run(arguments: &Arguments, settings: &Settings) -> Result<i32, Failure> {
    let forge: Forge = arguments.forge.parse()?;
    let about = ci::Settings {
        branch: arguments.branch.clone(),
        target: arguments.target.clone(),
        registry: arguments.registry.clone(),
        binary_url: arguments.binary_url.clone(),
        binary_sha256: arguments.binary_sha256.clone(),
    };
    let file = ci::init(forge, &about)?;
    if arguments.dry_run {
        print!("{}", file.contents);
        return Ok(0);
    }
    write(&file.path, &file.contents, arguments.force)?;
    if settings.verbosity >= Verbosity::Quiet {
        println!("{}", file.path.display());
    }
    Ok(0)
}

fn write(path: &PathBuf, contents: &str, force: bool) -> Result<(), Failure> {
    let failed = |error| Failure::io("write", path, error);
    if path.exists() && !force {
        return Err(Failure::new(format!("{} is there already", path.display()))
            .help("--dry-run prints the pipeline; --force replaces the file"));
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(failed)?;
    let mut file = tempfile::NamedTempFile::new_in(parent).map_err(failed)?;
    file.write_all(contents.as_bytes()).map_err(failed)?;
    let readable = <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o644);
    file.as_file().set_permissions(readable).map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}
