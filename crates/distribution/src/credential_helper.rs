//! Programs that keep credentials: the protocol of docker-credential-helpers.
//!
//! `docker-credential-NAME get|store|erase|list`, with the registry or a JSON document on standard input.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};

use serde::Deserialize;
use serde_json::json;

use crate::credentials::{Credential, CredentialError};

/// The user that a helper names for a refresh token.
const TOKEN_USER: &str = "<token>";
/// What helpers say, with exit code 1, of a registry that they do not know.
const NOT_FOUND: &str = "credentials not found";

/// A helper, by what stands in `credsStore` or `credHelpers`.
pub(crate) struct Helper {
    program: String,
}

impl Helper {
    /// The helper of this name.
    ///
    /// # Errors
    /// The name would lead out of the programs that are helpers.
    pub fn new(name: &str) -> Result<Helper, CredentialError> {
        let program = format!("docker-credential-{name}");
        match name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.')) {
            true => Ok(Helper { program }),
            false => Err(CredentialError::Helper {
                helper: program,
                host: "any registry".to_owned(),
                reason: "its name has characters that no program's name should have".to_owned(),
            }),
        }
    }

    /// What it keeps for a registry.
    pub fn get(&self, host: &str) -> Result<Option<Credential>, CredentialError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Answer {
            username: String,
            secret: String,
        }
        let Some(printed) = self.run("get", host, host)? else { return Ok(None) };
        let answer: Answer = serde_json::from_slice(&printed).map_err(|error| self.failed(host, error.to_string()))?;
        Ok(Some(match answer.username.as_str() {
            TOKEN_USER => Credential::RefreshToken(answer.secret),
            _ => Credential::Password { user: answer.username, password: answer.secret },
        }))
    }

    /// Lets it keep credentials.
    pub fn store(&self, host: &str, credential: &Credential) -> Result<(), CredentialError> {
        let (user, secret) = match credential {
            Credential::Password { user, password } => (user.as_str(), password),
            Credential::RefreshToken(token) => (TOKEN_USER, token),
        };
        let document = json!({ "ServerURL": host, "Username": user, "Secret": secret });
        self.run("store", host, &document.to_string()).map(drop)
    }

    /// Lets it forget a registry; false if it did not know it.
    pub fn erase(&self, host: &str) -> Result<bool, CredentialError> {
        // Some helpers do not complain of what they do not know.
        let known = self.get(host)?.is_some();
        Ok(known && self.run("erase", host, host)?.is_some())
    }

    /// The registries that it knows, as they were stored.
    pub fn list(&self) -> Result<Vec<String>, CredentialError> {
        let printed = self.run("list", "all registries", "")?.unwrap_or_default();
        let accounts: BTreeMap<String, String> =
            serde_json::from_slice(&printed).map_err(|error| self.failed("all registries", error.to_string()))?;
        Ok(accounts.into_keys().collect())
    }

    /// What it prints; `None` if it does not know the registry.
    fn run(&self, action: &str, host: &str, input: &str) -> Result<Option<Vec<u8>>, CredentialError> {
        let failed = |error: std::io::Error| self.failed(host, error.to_string());
        let mut command = Command::new(&self.program);
        command.arg(action).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(failed)?;
        if let Some(mut stdin) = child.stdin.take() {
            match stdin.write_all(input.as_bytes()) {
                // It has ended without reading, and says why.
                Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {}
                other => other.map_err(failed)?,
            }
        }
        let output = child.wait_with_output().map_err(failed)?;
        if output.status.success() {
            return Ok(Some(output.stdout));
        }
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        match said.contains(NOT_FOUND) {
            true => Ok(None),
            false => Err(self.failed(host, said.trim().to_owned())),
        }
    }

    fn failed(&self, host: &str, reason: String) -> CredentialError {
        CredentialError::Helper { helper: self.program.clone(), host: host.to_owned(), reason }
    }
}
