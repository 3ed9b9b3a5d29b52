//! The settings that Nix has on this machine: `nix.conf` and `NIX_CONFIG`.

use std::path::{Path, PathBuf};

use nix_formats::nix_conf::NixConf;

use crate::environment::{self, Environment};
use crate::failure::Failure;

/// The directory of the machine's own settings.
pub(crate) fn directory() -> PathBuf {
    environment::directory("NIX_CONF_DIR").unwrap_or_else(|| PathBuf::from("/etc/nix"))
}

/// Reads the machine's settings, then the user's, then `NIX_CONFIG`; the later ones win. A file that is not there, or that
/// this user may not read, has none.
pub(crate) fn read(environment: &Environment) -> Result<NixConf, Failure> {
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
