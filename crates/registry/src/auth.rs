//! Who asks, and what they may do: accounts in an htpasswd file (bcrypt), and bearer tokens that this registry gives out.
//!
//! Container clients decide once, by the answer to `GET /v2/`, how to authenticate. Only a bearer challenge lets the same
//! registry serve pulls without an account and pushes with one, so that is what is offered; Basic is taken everywhere too.
//! A token is `base64(claims).base64(HMAC-SHA-256)` with one fixed algorithm and our own key; it cannot be told to use another.

mod htpasswd;
mod token;

use std::io;
use std::path::PathBuf;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::config;
use crate::error::Error;
use crate::name::RepositoryName;
use htpasswd::Accounts;
use token::{Claims, Grant, Tokens};

/// What a request wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access<'a> {
    /// Only learn whether this is a registry (`/v2/`).
    Any,
    /// List all repositories.
    Catalog,
    /// Read from a repository.
    Pull(&'a RepositoryName),
    /// Write to a repository.
    Push(&'a RepositoryName),
    /// Delete from a repository.
    Delete(&'a RepositoryName),
}

impl Access<'_> {
    fn repository_and_action(self) -> Option<(String, &'static str)> {
        match self {
            Access::Any | Access::Catalog => None,
            Access::Pull(name) => Some((name.to_string(), "pull")),
            Access::Push(name) => Some((name.to_string(), "push")),
            Access::Delete(name) => Some((name.to_string(), "delete")),
        }
    }

    /// The scope that a client must ask a token for.
    pub fn scope(self) -> Option<String> {
        match self {
            Access::Any => None,
            Access::Catalog => Some("registry:catalog:*".into()),
            Access::Pull(name) => Some(format!("repository:{name}:pull")),
            Access::Push(name) => Some(format!("repository:{name}:pull,push")),
            Access::Delete(name) => Some(format!("repository:{name}:delete")),
        }
    }
}

/// Decides who may do what.
pub struct Authenticator {
    accounts: Option<Accounts>,
    anonymous_pull: bool,
    tokens: Tokens,
}

/// A token as the token endpoint gives it out.
pub struct IssuedToken {
    /// The token.
    pub token: String,
    /// How long it is good, in seconds.
    pub expires_in: u64,
}

/// A user name and password from a request.
pub struct Credentials {
    /// The user.
    pub user: String,
    /// The password.
    pub password: String,
}

impl Authenticator {
    /// Reads the accounts. `secret` signs the tokens.
    ///
    /// # Errors
    /// If the htpasswd file cannot be read or has a line that is no bcrypt account.
    pub fn new(config: &config::Auth, secret: [u8; 32]) -> io::Result<Authenticator> {
        let accounts = config.htpasswd.clone().map(|path: PathBuf| Accounts::open(path)).transpose()?;
        Ok(Authenticator { accounts, anonymous_pull: config.anonymous_pull, tokens: Tokens::new(secret) })
    }

    /// Whether there are accounts at all.
    pub fn is_required(&self) -> bool {
        self.accounts.is_some()
    }

    /// Lets the request through and says who makes it (nobody: `""`), or says why not. Blocks: bcrypt is slow by design.
    pub fn authorize(&self, header: Option<&str>, access: Access<'_>) -> Result<String, Error> {
        let Some(accounts) = &self.accounts else { return Ok(String::new()) };
        let Some(header) = header else {
            return match access {
                Access::Pull(_) if self.anonymous_pull => Ok(String::new()),
                _ => Err(Error::Unauthorized("authentication is required".into())),
            };
        };
        let (scheme, value) = header.split_once(' ').unwrap_or((header, ""));
        if scheme.eq_ignore_ascii_case("basic") {
            let given =
                basic(value).ok_or_else(|| Error::Unauthorized("the Authorization header is not valid".into()))?;
            accounts.verify(&given)?;
            return Ok(given.user);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Error::Unauthorized("only Bearer and Basic authorization are known here".into()));
        }
        let claims = self.tokens.verify(value.trim())?;
        if !claims.user.is_empty() && !accounts.knows(&claims.user)? {
            return Err(Error::Unauthorized("the token's account is gone".into()));
        }
        if claims.permits(access) {
            Ok(claims.user)
        } else {
            Err(Error::Unauthorized("the token does not permit this (insufficient_scope)".into()))
        }
    }

    /// Gives out a token for what of `scopes` the account (or nobody) may do. Blocks.
    pub fn issue(&self, credentials: Option<&Credentials>, scopes: &[String]) -> Result<IssuedToken, Error> {
        if let (Some(accounts), Some(credentials)) = (&self.accounts, credentials) {
            accounts.verify(credentials)?;
        }
        let anonymous = credentials.is_none() && self.accounts.is_some();
        if anonymous && !self.anonymous_pull {
            return Err(Error::Unauthorized("authentication is required".into()));
        }
        let requested = scopes.iter().flat_map(|scopes| scopes.split(' '));
        let grants = requested.filter_map(|scope| Grant::parse(scope, anonymous)).collect();
        let user = credentials.map(|given| given.user.clone()).unwrap_or_default();
        Ok(self.tokens.issue(Claims::new(user, grants)))
    }
}

/// The credentials of a Basic authorization.
pub fn basic(encoded: &str) -> Option<Credentials> {
    let decoded = String::from_utf8(BASE64_STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some(Credentials { user: user.to_owned(), password: password.to_owned() })
}
