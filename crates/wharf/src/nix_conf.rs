//! The settings that Nix has on this machine: `nix.conf` and `NIX_CONFIG`.

use std::path::{Path, PathBuf};

use nix_formats::nix_conf::NixConf;

use crate::environment::{self, Environment};
use crate::failure::Failure;

/// The settings that mean something here beside those of an evaluation.
const KNOWN: &[&str] = &[
    "access-tokens",
    "binary-cache-public-keys",
    "binary-caches",
    "build-users-group",
    "builders",
    "builders-use-substitutes",
    "connect-timeout",
    "cores",
    "download-attempts",
    "flake-registry",
    "http-connections",
    "max-jobs",
    "max-silent-time",
    "narinfo-cache-negative-ttl",
    "narinfo-cache-positive-ttl",
    "netrc-file",
    "require-sigs",
    "sandbox-fallback",
    "ssl-cert-file",
    "stalled-download-timeout",
    "substitute",
    "substituters",
    "tarball-ttl",
    "trusted-public-keys",
];

/// Settings by name and value that the command line gives.
pub(crate) type Given = [(String, String)];

/// Whether a setting, or what it adds to, is known.
pub(crate) fn is_known(name: &str) -> bool {
    KNOWN.contains(&name.strip_prefix("extra-").unwrap_or(name))
}

/// `--option` for commands that evaluate nothing.
#[derive(clap::Args, Clone, Debug, Default)]
#[command(next_help_heading = "Binary caches")]
pub(crate) struct OptionArguments {
    /// Set one of Nix's settings, as trusted-public-keys: a name and a value
    #[arg(long = "option", num_args = 2, value_names = ["NAME", "VALUE"], action = clap::ArgAction::Append)]
    options: Vec<String>,
}

impl OptionArguments {
    /// The settings. One that is not known is an error.
    pub(crate) fn given(&self) -> Result<Vec<(String, String)>, Failure> {
        let pairs = self.options.chunks_exact(2).map(|pair| match is_known(&pair[0]) {
            true => Ok((pair[0].clone(), pair[1].clone())),
            false => Err(Failure::usage(format!("unknown setting '{}'", pair[0]))
                .help(format!("there are {}; each list also with 'extra-' before it", KNOWN.join(", ")))),
        });
        pairs.collect()
    }
}

/// The directory of the machine's own settings.
pub(crate) fn directory() -> PathBuf {
    environment::directory("NIX_CONF_DIR").unwrap_or_else(|| PathBuf::from("/etc/nix"))
}

/// Reads the machine's settings, then the user's, then `NIX_CONFIG`, then the command line's; the later ones win. A file that is not there, or that
/// this user may not read, has none.
pub(crate) fn read(environment: &Environment, given: &Given) -> Result<NixConf, Failure> {
    let mut conf = NixConf::default();
    let mut files = vec![directory().join("nix.conf")];
    files.extend(user_files(environment));
    for file in files {
        if let Ok(text) = std::fs::read_to_string(&file) {
            add(&mut conf, &file.display().to_string(), &text)?;
        }
    }
    if let Some(text) = environment::text("NIX_CONFIG") {
        add(&mut conf, "NIX_CONFIG", &text)?;
    }
    given.iter().for_each(|(name, value)| conf.set(name, &value.split_whitespace().collect::<Vec<_>>()));
    Ok(conf)
}

fn add(conf: &mut NixConf, name: &str, text: &str) -> Result<(), Failure> {
    Ok(conf.read(name, text, &mut |from, path| {
        let directory = Path::new(from).parent().unwrap_or(Path::new(""));
        let file = directory.join(path);
        Some((file.display().to_string(), std::fs::read_to_string(&file).ok()?))
    })?)
}

/// The user's files, the one that counts most last.
fn user_files(environment: &Environment) -> Vec<PathBuf> {
    if let Some(list) = environment::text("NIX_USER_CONF_FILES") {
        return list.split(':').filter(|file| !file.is_empty()).map(PathBuf::from).rev().collect();
    }
    let own = environment::directory("XDG_CONFIG_HOME").or_else(|| Some(environment.home.as_ref()?.join(".config")));
    own.map(|directory| directory.join("nix/nix.conf")).into_iter().collect()
}
