//! `wharf store key`.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix_formats::signature::SecretKey;

use crate::failure::Failure;

#[derive(clap::Args)]
#[command(
    arg_required_else_help = true,
    after_help = "\
Example:
  wharf store key generate cache.example.org-1 ./secret-key    prints the public key
  wharf store push file:///srv/cache --secret-key ./secret-key ./result"
)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Subcommand,
}

#[derive(clap::Subcommand)]
enum Subcommand {
    /// Write a new secret key to a file, and print its public key
    Generate {
        /// The key's name, by convention that of the cache and a number
        name: String,
        /// The file, which must not be there yet; only you may read it
        file: PathBuf,
    },
    /// Print the public key of a secret key
    Public {
        /// The file with the secret key
        file: PathBuf,
    },
}

pub(super) fn run(arguments: &Arguments) -> Result<i32, Failure> {
    match &arguments.command {
        Subcommand::Generate { name, file } => generate(name, file),
        Subcommand::Public { file } => {
            println!("{}", read(file)?.public_key());
            Ok(0)
        }
    }
}

fn generate(name: &str, file: &Path) -> Result<i32, Failure> {
    if name.is_empty() || name.contains([':', ' ', '\n']) {
        return Err(Failure::usage("the name of a key must not be empty, and has no colon and no space in it"));
    }
    let mut seed = [0; 32];
    rustix::rand::getrandom(&mut seed, rustix::rand::GetRandomFlags::empty())
        .map_err(|error| Failure::new("cannot get random numbers").because(error.to_string()))?;
    let key = SecretKey::from_seed(name, &seed);
    let failed = |error| Failure::io("write", file, error);
    let mut out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file).map_err(failed)?;
    out.write_all(key.expose().as_bytes()).and_then(|()| out.sync_all()).map_err(failed)?;
    println!("{}", key.public_key());
    Ok(0)
}

/// Reads a secret key, as Wharf and `nix key generate-secret` write it.
pub(super) fn read(file: &Path) -> Result<SecretKey, Failure> {
    let text = std::fs::read_to_string(file).map_err(|error| Failure::io("read", file, error))?;
    SecretKey::parse(&text).map_err(|error| {
        Failure::new(format!("{} holds no secret key", file.display()))
            .because(error.to_string())
            .help("make one with `wharf store key generate NAME FILE`")
    })
}
