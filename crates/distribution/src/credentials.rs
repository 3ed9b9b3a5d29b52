//! Finding credentials in the files that `docker login` and `podman login` write, and with credential helpers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;

use crate::credential_helper::Helper;

/// How to be admitted.
#[derive(Clone, PartialEq, Eq)]
pub enum Credential {
    /// A user name and a password.
    Password {
        /// The user.
        user: String,
        /// The password.
        password: String,
    },
    /// A refresh token, to be exchanged at the token endpoint.
    RefreshToken(String),
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Credential::Password { user, .. } => write!(f, "Password({user}, …)"),
            Credential::RefreshToken(_) => f.write_str("RefreshToken(…)"),
        }
    }
}

/// Credentials that are there but cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// The file is not what Docker writes.
    #[error("the credentials in {} cannot be read: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The helper failed.
    #[error("the credential helper {helper} failed for {host}: {reason}")]
    Helper {
        /// The program.
        helper: String,
        /// The registry.
        host: String,
        /// Why.
        reason: String,
    },
}

#[derive(Deserialize)]
struct AuthFile {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
    #[serde(default, rename = "credHelpers")]
    helpers: BTreeMap<String, String>,
    #[serde(default, rename = "credsStore")]
    store: Option<String>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    auth: String,
    // Pull secrets of Kubernetes have these beside, or instead of, `auth`.
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
    #[serde(default, rename = "identitytoken")]
    identity_token: String,
}

/// What is in `files` for a repository of a registry: the first file that has something decides, and in it the most
/// specific entry.
pub(crate) fn find(files: &[PathBuf], host: &str, repository: &str) -> Result<Option<Credential>, CredentialError> {
    for path in files {
        let wrong = |reason: String| CredentialError::File { path: path.clone(), reason };
        let text = match std::fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(wrong(error.to_string())),
        };
        let file: AuthFile = serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))?;
        if let Some(found) = in_file(&file, path, host, repository)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

fn in_file(file: &AuthFile, path: &Path, host: &str, repository: &str) -> Result<Option<Credential>, CredentialError> {
    for key in keys(host, repository) {
        if let Some(helper) = file.helpers.iter().find(|(name, _)| normalized(name) == key).map(|(_, helper)| helper) {
            return Helper::new(helper)?.get(&key);
        }
        let entry = file.auths.iter().find(|(name, _)| normalized(name) == key).map(|(_, entry)| entry);
        if let Some(credential) = entry.map(|entry| entry.credential(path)).transpose()?.flatten() {
            return Ok(Some(credential));
        }
    }
    match &file.store {
        Some(helper) => Helper::new(helper)?.get(docker_key(host)),
        None => Ok(None),
    }
}

/// The name under which Docker keeps a registry: its own Hub has an old one.
pub(crate) fn docker_key(host: &str) -> &str {
    if host == "docker.io" { "https://index.docker.io/v1/" } else { host }
}

/// The most specific key first: `host/a/b`, `host/a`, `host`.
fn keys(host: &str, repository: &str) -> Vec<String> {
    let whole = format!("{host}/{repository}");
    let mut keys = vec![whole.clone()];
    let mut rest = whole.as_str();
    while let Some((shorter, _)) = rest.rsplit_once('/') {
        keys.push(shorter.to_owned());
        rest = shorter;
    }
    keys
}

/// A key as old and new tools write it, reduced to `host[/path]`.
pub(crate) fn normalized(key: &str) -> String {
    let bare = key.trim_start_matches("https://").trim_start_matches("http://").trim_end_matches('/');
    let bare = bare.trim_end_matches("/v1").trim_end_matches("/v2");
    if bare == "index.docker.io" || bare == "registry-1.docker.io" { "docker.io".to_owned() } else { bare.to_owned() }
}

impl Entry {
    fn credential(&self, path: &Path) -> Result<Option<Credential>, CredentialError> {
        if !self.identity_token.is_empty() {
            return Ok(Some(Credential::RefreshToken(self.identity_token.clone())));
        }
        if self.auth.is_empty() {
            let account = || Credential::Password { user: self.username.clone(), password: self.password.clone() };
            return Ok((!self.username.is_empty()).then(account));
        }
        let decoded = BASE64_STANDARD.decode(self.auth.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let Some((user, password)) = decoded.as_deref().and_then(|text| text.split_once(':')) else {
            let reason = "an `auth` is not base64 of `user:password`".to_owned();
            return Err(CredentialError::File { path: path.to_owned(), reason });
        };
        let password = password.trim_end_matches('\0').to_owned();
        Ok(Some(Credential::Password { user: user.to_owned(), password }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(user: &str, password: &str) -> Option<Credential> {
        Some(Credential::Password { user: user.into(), password: password.into() })
    }

    #[test]
    fn the_most_specific_entry_of_the_first_file_wins() {
        let directory = tempfile::tempdir().unwrap();
        let (first, second) = (directory.path().join("auth.json"), directory.path().join("config.json"));
        let missing = directory.path().join("missing.json");
        let encode = |text: &str| BASE64_STANDARD.encode(text);
        std::fs::write(
            &first,
            format!(
                r#"{{"auths":{{"quay.io/team":{{"auth":"{}"}},"quay.io":{{"auth":"{}"}}}}}}"#,
                encode("team:1"),
                encode("all:2")
            ),
        )
        .unwrap();
        std::fs::write(
            &second,
            format!(
                r#"{{"auths":{{"https://index.docker.io/v1/":{{"auth":"{}"}},"gcr.io":{{"identitytoken":"t"}},"x":{{}},
                "k8s.io":{{"username":"u","password":"p"}}}}}}"#,
                encode("hub:a:b")
            ),
        )
        .unwrap();
        let files = [missing, first, second];
        assert_eq!(find(&files, "quay.io", "team/app").unwrap(), password("team", "1"));
        assert_eq!(find(&files, "quay.io", "teams/app").unwrap(), password("all", "2"));
        assert_eq!(find(&files, "docker.io", "library/alpine").unwrap(), password("hub", "a:b"));
        assert_eq!(find(&files, "gcr.io", "a").unwrap(), Some(Credential::RefreshToken("t".into())));
        assert_eq!(find(&files, "k8s.io", "a").unwrap(), password("u", "p"));
        assert_eq!(find(&files, "ghcr.io", "a").unwrap(), None);
    }

    #[test]
    fn a_broken_file_is_an_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), r#"{"auths":{"a.b":{"auth":"%%%"}}}"#).unwrap();
        assert!(find(&[file.path().to_owned()], "a.b", "c").is_err());
        std::fs::write(file.path(), "no json").unwrap();
        assert!(find(&[file.path().to_owned()], "a.b", "c").is_err());
    }
}
