//! The configuration file (TOML): `[listen]`, `[storage]`, `[auth]` and one `[webhooks.NAME]` for each receiver.
//!
//! An unknown key is an error that names the nearest known one: a misspelt `delete` must not silently leave deletion on.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

/// Everything a registry is told. `Config::default()` serves `./registry` on 127.0.0.1:5000 without accounts.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Where to listen.
    pub listen: Listen,
    /// Where and how to store.
    pub storage: Storage,
    /// Who may do what.
    pub auth: Auth,
    /// Receivers of events, by name.
    pub webhooks: BTreeMap<String, Webhook>,
}

/// `[listen]`
#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
pub struct Listen {
    /// The address and port; port 0 lets the system choose.
    pub address: SocketAddr,
    /// The address that clients use (`https://registry.example.org`) where it differs from the request's `Host`, as
    /// behind a proxy that ends TLS. Needed for the token endpoint's address only.
    pub public_url: Option<String>,
}

impl Default for Listen {
    fn default() -> Listen {
        Listen { address: SocketAddr::from(([127, 0, 0, 1], 5000)), public_url: None }
    }
}

/// `[storage]`
#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
pub struct Storage {
    /// The directory that holds everything; made if it does not exist.
    pub root: PathBuf,
    /// Whether manifests, tags and blobs may be deleted. Off by default, as a registry that others deploy from should be.
    pub delete: bool,
    /// Refuse every change: pulls only.
    pub read_only: bool,
    /// Accept manifests that refer to blobs or manifests which are not here (sparse indexes).
    pub sparse: bool,
    /// How long an unfinished upload is kept after its last byte: `"24h"`, `"30m"`, `"90s"`, `"7d"`.
    #[serde(deserialize_with = "duration")]
    pub upload_expiry: Duration,
}

impl Default for Storage {
    fn default() -> Storage {
        Storage {
            root: PathBuf::from("registry"),
            delete: false,
            read_only: false,
            sparse: false,
            upload_expiry: Duration::from_secs(24 * 60 * 60),
        }
    }
}

/// `[auth]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Auth {
    /// A file of `user:bcrypt-hash` lines, as `htpasswd -B` writes it; read again when it changes. Without it everybody
    /// may do everything.
    pub htpasswd: Option<PathBuf>,
    /// Whether those without an account may pull.
    pub anonymous_pull: bool,
}

/// `[webhooks.NAME]`
#[derive(Debug, Clone, Deserialize)]
pub struct Webhook {
    /// Where events are sent by `POST`, in the envelope that CNCF Distribution defined.
    pub url: String,
    /// Headers to add, such as `Authorization`.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Which actions to send: `push`, `pull`, `mount`, `delete`.
    #[serde(default = "push_only")]
    pub events: Vec<Action>,
    /// How long one delivery may take.
    #[serde(default = "ten_seconds", deserialize_with = "duration")]
    pub timeout: Duration,
}

/// What happened to a manifest or blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// A manifest was stored.
    Push,
    /// A manifest was read.
    Pull,
    /// A blob was linked from another repository.
    Mount,
    /// A manifest or tag was deleted.
    Delete,
}

impl Action {
    /// The action's name in an event.
    pub fn as_str(self) -> &'static str {
        match self {
            Action::Push => "push",
            Action::Pull => "pull",
            Action::Mount => "mount",
            Action::Delete => "delete",
        }
    }
}

/// Why a configuration was not taken. Each message names the file.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("cannot read the registry's configuration {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not TOML, or a value has the wrong type.
    #[error("{}: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What and where, as the TOML parser says it.
        message: String,
    },
    /// A key that means nothing.
    #[error("{}: unknown key `{key}`{}", path.display(), suggestion.as_ref().map(|s| format!("; did you mean `{s}`?")).unwrap_or_default())]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// The key with its section.
        key: String,
        /// The nearest key that exists.
        suggestion: Option<String>,
    },
}

impl Config {
    /// Reads and checks a configuration file. Relative paths in it are relative to the file's directory.
    pub fn load(path: &Path) -> Result<Config, ConfigError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        let mut config = Config::parse(&text, path)?;
        let base = path.parent().unwrap_or(Path::new(""));
        config.storage.root = base.join(&config.storage.root);
        config.auth.htpasswd = config.auth.htpasswd.map(|file| base.join(file));
        Ok(config)
    }

    /// Parses `text`; `origin` is only named in errors.
    pub fn parse(text: &str, origin: &Path) -> Result<Config, ConfigError> {
        let syntax =
            |error: toml::de::Error| ConfigError::Syntax { path: origin.to_owned(), message: error.to_string() };
        let table: toml::Table = toml::from_str(text).map_err(syntax)?;
        check_keys(&table, origin)?;
        let config: Config = toml::from_str(text).map_err(syntax)?;
        config.check(origin)?;
        Ok(config)
    }

    /// What types alone cannot say.
    fn check(&self, origin: &Path) -> Result<(), ConfigError> {
        let wrong = |message: String| ConfigError::Syntax { path: origin.to_owned(), message };
        for (name, hook) in &self.webhooks {
            if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') || name.is_empty() {
                return Err(wrong(format!("the webhook's name `{name}` may only have letters, digits, `-` and `_`")));
            }
            let url = reqwest::Url::parse(&hook.url);
            if !url.is_ok_and(|url| matches!(url.scheme(), "http" | "https")) {
                return Err(wrong(format!("webhooks.{name}.url: `{}` is not an http or https address", hook.url)));
            }
        }
        if self.auth.anonymous_pull && self.auth.htpasswd.is_none() {
            return Err(wrong(
                "auth.anonymous_pull has no meaning without auth.htpasswd: everybody may already do everything".into(),
            ));
        }
        Ok(())
    }
}

/// The sections and their keys. `webhooks` holds tables of the keys shown.
const KEYS: &[(&str, &[&str])] = &[
    ("listen", &["address", "public_url"]),
    ("storage", &["root", "delete", "read_only", "sparse", "upload_expiry"]),
    ("auth", &["htpasswd", "anonymous_pull"]),
    ("webhooks", &["url", "headers", "events", "timeout"]),
];

fn check_keys(table: &toml::Table, origin: &Path) -> Result<(), ConfigError> {
    let sections: Vec<&str> = KEYS.iter().map(|(section, _)| *section).collect();
    for (section, value) in table {
        let Some((_, keys)) = KEYS.iter().find(|(name, _)| name == section) else {
            return Err(unknown(section, "", &sections, origin));
        };
        let Some(inner) = value.as_table() else { continue };
        if section == "webhooks" {
            for (name, hook) in inner {
                let hook = hook.as_table().into_iter().flatten();
                check_section(&format!("webhooks.{name}."), hook.map(|(key, _)| key), keys, origin)?;
            }
        } else {
            check_section(&format!("{section}."), inner.keys(), keys, origin)?;
        }
    }
    Ok(())
}

fn check_section<'a>(
    prefix: &str,
    found: impl Iterator<Item = &'a String>,
    known: &[&str],
    origin: &Path,
) -> Result<(), ConfigError> {
    for key in found {
        if !known.contains(&key.as_str()) {
            return Err(unknown(key, prefix, known, origin));
        }
    }
    Ok(())
}

fn unknown(key: &str, prefix: &str, known: &[&str], origin: &Path) -> ConfigError {
    let nearest = known
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(key, candidate), candidate))
        .min()
        .filter(|(distance, _)| *distance <= 3);
    ConfigError::UnknownKey {
        path: origin.to_owned(),
        key: format!("{prefix}{key}"),
        suggestion: nearest.map(|(_, candidate)| format!("{prefix}{candidate}")),
    }
}

fn push_only() -> Vec<Action> {
    vec![Action::Push]
}

fn ten_seconds() -> Duration {
    Duration::from_secs(10)
}

fn duration<'de, D: serde::Deserializer<'de>>(input: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(input)?;
    parse_duration(&text).ok_or_else(|| {
        serde::de::Error::custom(format!("`{text}` is not a duration such as \"90s\", \"30m\", \"24h\" or \"7d\""))
    })
}

fn parse_duration(text: &str) -> Option<Duration> {
    let split = text.find(|c: char| !c.is_ascii_digit())?;
    let number: u64 = text[..split].parse().ok()?;
    let unit = match &text[split..] {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        _ => return None,
    };
    Some(Duration::from_secs(number.checked_mul(unit)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(text, Path::new("registry.toml")).map_err(|error| error.to_string())
    }

    #[test]
    fn a_full_configuration() {
        let config = parse(
            r#"
            [listen]
            address = "0.0.0.0:5001"
            [storage]
            root = "/srv/registry"
            delete = true
            upload_expiry = "30m"
            [auth]
            htpasswd = "users"
            anonymous_pull = true
            [webhooks.ci]
            url = "https://ci.example.org/hook"
            headers = { Authorization = "Bearer x" }
            events = ["push", "delete"]
            "#,
        )
        .unwrap();
        assert_eq!(config.listen.address.port(), 5001);
        assert_eq!(config.storage.upload_expiry, Duration::from_secs(1800));
        assert_eq!(config.webhooks["ci"].events, [Action::Push, Action::Delete]);
    }

    #[test]
    fn a_misspelt_key_is_an_error_with_a_suggestion() {
        let error = parse("[listen]\nadress = \"127.0.0.1:1\"").unwrap_err();
        assert_eq!(error, "registry.toml: unknown key `listen.adress`; did you mean `listen.address`?");
        let error = parse("[storag]\n").unwrap_err();
        assert_eq!(error, "registry.toml: unknown key `storag`; did you mean `storage`?");
        let error = parse("[webhooks.ci]\nurl = \"http://x\"\nretry = 3").unwrap_err();
        assert_eq!(error, "registry.toml: unknown key `webhooks.ci.retry`");
    }

    #[test]
    fn wrong_values_are_errors() {
        assert!(parse("[storage]\nupload_expiry = \"soon\"").unwrap_err().contains("not a duration"));
        assert!(parse("[listen]\naddress = \"here\"").unwrap_err().contains("address"));
        assert!(parse("[webhooks.x]\nurl = \"ftp://x\"").unwrap_err().contains("not an http"));
        assert!(parse("[webhooks.\"../x\"]\nurl = \"http://x\"").unwrap_err().contains("may only have"));
        assert!(parse("[auth]\nanonymous_pull = true").unwrap_err().contains("htpasswd"));
    }
}
