//! Changing the files that `docker login` and `podman login` write: everything else in them stays as it is.

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value, json};

use crate::credential_helper::Helper;
use crate::credentials::{Credential, CredentialError, docker_key, normalized};

/// A file of credentials, read whole.
pub struct AuthFile {
    path: PathBuf,
    content: Map<String, Value>,
}

impl AuthFile {
    /// Reads the file; one that is not there is empty.
    ///
    /// # Errors
    /// It cannot be read, or is not a JSON object.
    pub fn read(path: &Path) -> Result<AuthFile, CredentialError> {
        // A link stays one: what it leads to is changed.
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let wrong = |reason: String| CredentialError::File { path: path.clone(), reason };
        let content = match fs::read(&path) {
            Ok(bytes) if bytes.iter().all(u8::is_ascii_whitespace) => Map::new(),
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))?,
            Err(error) if error.kind() == ErrorKind::NotFound => Map::new(),
            Err(error) => return Err(wrong(error.to_string())),
        };
        Ok(AuthFile { path, content })
    }

    /// Keeps credentials for `host`, or for what is below `host/path`: with the helper that the file names, else in the file.
    /// Gives the place where they are kept.
    ///
    /// # Errors
    /// The helper fails, or the file cannot be written.
    pub fn log_in(&mut self, host: &str, credential: &Credential) -> Result<String, CredentialError> {
        let key = docker_key(host);
        let helper = self.helper(host);
        let entry = match (&helper, credential) {
            (Some(name), _) => {
                Helper::new(name)?.store(key, credential)?;
                json!({})
            }
            (None, Credential::Password { user, password }) => {
                json!({ "auth": BASE64_STANDARD.encode(format!("{user}:{password}")) })
            }
            (None, Credential::RefreshToken(token)) => json!({ "identitytoken": token }),
        };
        self.forget(host)?;
        self.auths()?.insert(key.to_owned(), entry);
        self.write()?;
        Ok(helper.map_or_else(|| self.path.display().to_string(), |name| format!("docker-credential-{name}")))
    }

    /// Forgets `host`; false if nothing was known of it.
    ///
    /// # Errors
    /// As [`AuthFile::log_in`].
    pub fn log_out(&mut self, host: &str) -> Result<bool, CredentialError> {
        let kept = match self.helper(host) {
            Some(name) => Helper::new(&name)?.erase(docker_key(host))?,
            None => false,
        };
        let written = self.forget(host)?;
        if written {
            self.write()?;
        }
        Ok(kept || written)
    }

    /// Forgets every registry, those that its helpers keep too; their names.
    ///
    /// # Errors
    /// As [`AuthFile::log_in`].
    pub fn log_out_everywhere(&mut self) -> Result<Vec<String>, CredentialError> {
        let mut forgotten: Vec<String> = self.auths()?.keys().cloned().collect();
        self.auths()?.clear();
        let own = self.content.get("credHelpers").and_then(Value::as_object).into_iter().flatten();
        let own: Vec<_> = own.filter_map(|(host, name)| Some((host.clone(), name.as_str()?.to_owned()))).collect();
        for (host, name) in own {
            if Helper::new(&name)?.erase(&host)? {
                forgotten.push(host);
            }
        }
        if let Some(store) = self.content.get("credsStore").and_then(Value::as_str) {
            let helper = Helper::new(store)?;
            for host in helper.list()? {
                if helper.erase(&host)? {
                    forgotten.push(host);
                }
            }
        }
        if !forgotten.is_empty() {
            self.write()?;
        }
        forgotten.sort();
        forgotten.dedup();
        Ok(forgotten)
    }

    /// The helper that keeps a registry: its own, else the one for all.
    fn helper(&self, host: &str) -> Option<String> {
        let own = self.content.get("credHelpers").and_then(Value::as_object);
        let own = own.and_then(|own| own.iter().find(|(name, _)| normalized(name) == host)).map(|(_, helper)| helper);
        own.or_else(|| self.content.get("credsStore"))?.as_str().map(str::to_owned)
    }

    fn forget(&mut self, host: &str) -> Result<bool, CredentialError> {
        let auths = self.auths()?;
        let before = auths.len();
        auths.retain(|name, _| normalized(name) != host);
        Ok(auths.len() < before)
    }

    fn auths(&mut self) -> Result<&mut Map<String, Value>, CredentialError> {
        let (path, reason) = (self.path.clone(), "its `auths` is no object".to_owned());
        let auths = self.content.entry("auths").or_insert_with(|| json!({})).as_object_mut();
        auths.ok_or(CredentialError::File { path, reason })
    }

    /// Nobody but its owner may read it, and nobody sees half of it.
    fn write(&self) -> Result<(), CredentialError> {
        let write = || -> io::Result<()> {
            let parent = self.path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            fs::create_dir_all(parent)?;
            // A temporary file is readable by its owner only, and stays so.
            let mut file = tempfile::NamedTempFile::new_in(parent)?;
            serde_json::to_writer_pretty(&mut file, &self.content)?;
            file.write_all(b"\n")?;
            file.as_file().sync_all()?;
            file.persist(&self.path)?;
            Ok(())
        };
        write().map_err(|error| CredentialError::File { path: self.path.clone(), reason: error.to_string() })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn password(user: &str, password: &str) -> Credential {
        Credential::Password { user: user.into(), password: password.into() }
    }

    #[test]
    fn what_else_is_in_a_file_stays_and_only_the_owner_reads_it() {
        let place = tempfile::tempdir().unwrap();
        let (real, link) = (place.path().join("real.json"), place.path().join("config.json"));
        fs::write(&real, r#"{"psFormat":"x","auths":{"https://a.b/v1/":{"auth":"eA=="}},"HttpHeaders":{"X":"y"}}"#)
            .unwrap();
        fs::set_permissions(&real, fs::Permissions::from_mode(0o644)).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let mut file = AuthFile::read(&link).unwrap();
        file.log_in("docker.io", &password("u", "p:q")).unwrap();
        file.log_in("a.b", &Credential::RefreshToken("t".into())).unwrap();
        file.log_in("quay.io/team", &password("robot", "x")).unwrap();
        let content: Value = serde_json::from_slice(&fs::read(&real).unwrap()).unwrap();
        let auths = json!({
            "https://index.docker.io/v1/": { "auth": BASE64_STANDARD.encode("u:p:q") },
            "a.b": { "identitytoken": "t" },
            "quay.io/team": { "auth": BASE64_STANDARD.encode("robot:x") },
        });
        assert_eq!(content, json!({ "psFormat": "x", "auths": auths, "HttpHeaders": { "X": "y" } }));
        assert_eq!(fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(link.is_symlink());
        assert!(file.log_out("docker.io").unwrap() && !file.log_out("docker.io").unwrap());
        assert_eq!(file.log_out_everywhere().unwrap(), ["a.b", "quay.io/team"]);
        let content: Value = serde_json::from_slice(&fs::read(&real).unwrap()).unwrap();
        assert_eq!(content, json!({ "psFormat": "x", "auths": {}, "HttpHeaders": { "X": "y" } }));
    }

    #[test]
    fn a_broken_file_is_not_overwritten() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("config.json");
        for text in ["no json", "[]", r#"{"auths":[]}"#] {
            fs::write(&path, text).unwrap();
            let outcome = AuthFile::read(&path).and_then(|mut file| file.log_in("a.b", &password("u", "p")));
            assert!(outcome.is_err(), "{text}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        // What an interrupted program left.
        fs::write(&path, "").unwrap();
        AuthFile::read(&path).unwrap().log_in("a.b", &password("u", "p")).unwrap();
    }
}
