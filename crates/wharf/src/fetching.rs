//! How sources are fetched, as Nix is told on this machine and as this program is told.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fetch::{GitProgram, Lifetime, Network, Registries, Registry, Tokens};
use nix_formats::nix_conf::NixConf;

use crate::environment;
use crate::failure::Failure;
use crate::nix_conf;
use crate::settings::Settings;

/// The registry that Nix asks where nobody says otherwise.
const GLOBAL_REGISTRY: &str = "https://channels.nixos.org/flake-registry.json";

/// How sources are fetched.
pub(crate) fn settings(
    settings: &Settings,
    conf: &NixConf,
    network: Arc<Network>,
    access_tokens: Tokens,
) -> Result<fetch::Settings, Failure> {
    Ok(fetch::Settings {
        cache: settings.cache.join("fetch"),
        offline: settings.offline,
        lifetime: conf.number("tarball-ttl").map(Lifetime).unwrap_or_default(),
        git: GitProgram { interactive: std::io::stdin().is_terminal() && settings.live, ..GitProgram::default() },
        forges: forges()?,
        access_tokens,
        network,
        registries: registries(settings, conf)?,
    })
}

/// The interfaces of forges by host: `WHARF_FORGES`.
fn forges() -> Result<BTreeMap<String, String>, Failure> {
    let text = environment::text("WHARF_FORGES").unwrap_or_default();
    let pairs = text.split_whitespace().map(|pair| {
        let pair = pair.split_once('=').filter(|(host, url)| !host.is_empty() && url.contains("://"));
        let (host, url) = pair.ok_or_else(|| {
            Failure::usage("WHARF_FORGES is not as it should be")
                .help("it has words such as git.example.org=https://git.example.org/api/v1")
        })?;
        Ok((host.to_owned(), url.to_owned()))
    });
    pairs.collect()
}

/// The user's registry, the machine's, and the one that all share.
fn registries(settings: &Settings, conf: &NixConf) -> Result<Registries, Failure> {
    let home = settings.environment.home.as_ref();
    let user = environment::directory("XDG_CONFIG_HOME").or_else(|| Some(home?.join(".config")));
    let files = user.map(|directory| directory.join("nix/registry.json"));
    let files: Vec<PathBuf> = files.into_iter().chain([nix_conf::directory().join("registry.json")]).collect();
    let own = files.iter().map(|file| registry(file)).collect::<Result<Vec<_>, _>>()?;
    let global = conf.text("flake-registry").unwrap_or_else(|| GLOBAL_REGISTRY.to_owned());
    Ok(Registries { own: own.into_iter().flatten().collect(), global: Some(global).filter(|place| !place.is_empty()) })
}

/// A registry; `None` where there is no such file.
fn registry(file: &Path) -> Result<Option<Registry>, Failure> {
    let Ok(text) = std::fs::read_to_string(file) else { return Ok(None) };
    let wrong = |message| {
        Failure::new(format!("the registry '{}' is malformed", file.display()))
            .because(message)
            .help("`nix registry list` shows what Nix makes of it")
    };
    Registry::parse(&text).map(Some).map_err(wrong)
}
