//! Bearer tokens: claims in JSON with an HMAC-SHA-256 (RFC 2104) by the registry's own secret.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Access, IssuedToken};
use crate::error::Error;
use crate::name::RepositoryName;

/// How long a token is good, in seconds. Clients fetch a new one by themselves.
const LIFETIME: u64 = 300;

/// Signs and checks tokens.
pub struct Tokens {
    secret: [u8; 32],
}

/// Who holds a token, and for what.
#[derive(Debug, Serialize, Deserialize)]
pub struct Claims {
    /// The account; empty for nobody.
    pub user: String,
    expires: u64,
    grants: Vec<Grant>,
}

/// Some actions on one repository, or the catalog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The repository's name; empty for the catalog.
    name: String,
    actions: Vec<String>,
}

impl Grant {
    /// Reads a scope, `repository:<name>:<action>,<action>` or `registry:catalog:*`, keeping what may be granted.
    pub fn parse(scope: &str, anonymous: bool) -> Option<Grant> {
        if scope == "registry:catalog:*" {
            return (!anonymous).then(|| Grant { name: String::new(), actions: vec!["*".into()] });
        }
        let (kind, rest) = scope.split_once(':')?;
        let (name, actions) = rest.rsplit_once(':')?;
        if kind != "repository" && !kind.starts_with("repository(") {
            return None;
        }
        let name: RepositoryName = name.parse().ok()?;
        let known = ["pull", "push", "delete"];
        let wanted = |action: &str| actions.split(',').any(|given| given == action || given == "*");
        let actions: Vec<String> = known
            .iter()
            .filter(|action| wanted(action) && (!anonymous || **action == "pull"))
            .map(|action| (*action).to_owned())
            .collect();
        (!actions.is_empty()).then(|| Grant { name: name.to_string(), actions })
    }
}

impl Claims {
    pub fn new(user: String, grants: Vec<Grant>) -> Claims {
        Claims { user, expires: now() + LIFETIME, grants }
    }

    pub fn permits(&self, access: Access<'_>) -> bool {
        match (access, access.repository_and_action()) {
            (Access::Any, _) => true,
            (_, Some((name, action))) => {
                self.grants.iter().any(|grant| grant.name == name && grant.actions.iter().any(|a| a == action))
            }
            (_, None) => self.grants.iter().any(|grant| grant.name.is_empty()),
        }
    }
}

impl Tokens {
    pub fn new(secret: [u8; 32]) -> Tokens {
        Tokens { secret }
    }

    pub fn issue(&self, claims: Claims) -> IssuedToken {
        let json = serde_json::to_vec(&claims).unwrap_or_default();
        let payload = BASE64_URL_SAFE_NO_PAD.encode(json);
        let mac = BASE64_URL_SAFE_NO_PAD.encode(hmac(&self.secret, payload.as_bytes()));
        IssuedToken { token: format!("{payload}.{mac}"), expires_in: LIFETIME }
    }

    pub fn verify(&self, token: &str) -> Result<Claims, Error> {
        let refused = || Error::Unauthorized("the token is not one of this registry".into());
        let (payload, mac) = token.split_once('.').ok_or_else(refused)?;
        let mac = BASE64_URL_SAFE_NO_PAD.decode(mac).map_err(|_| refused())?;
        let right = hmac(&self.secret, payload.as_bytes());
        let differing = mac.iter().zip(right).fold(mac.len() ^ right.len(), |acc, (a, b)| acc | usize::from(a ^ b));
        if differing != 0 {
            return Err(refused());
        }
        let json = BASE64_URL_SAFE_NO_PAD.decode(payload).map_err(|_| refused())?;
        let claims: Claims = serde_json::from_slice(&json).map_err(|_| refused())?;
        if claims.expires < now() {
            return Err(Error::Unauthorized("the token has expired".into()));
        }
        Ok(claims)
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs())
}

fn hmac(key: &[u8; 32], message: &[u8]) -> [u8; 32] {
    let padded = |with: u8| {
        let mut block = [with; 64];
        block.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
        block
    };
    let inner = Sha256::new().chain_update(padded(0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(padded(0x5c)).chain_update(inner).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hmac_agrees_with_rfc_4231_case_1() {
        let mut key = [0u8; 32];
        key[..20].fill(0x0b);
        let expected = "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7";
        assert_eq!(hex::encode(hmac(&key, b"Hi There")), expected);
    }

    #[test]
    fn a_token_is_good_for_its_grants_and_nothing_else() {
        let tokens = Tokens::new([7; 32]);
        let grant = Grant::parse("repository:a/b:pull,push", false).unwrap();
        let issued = tokens.issue(Claims::new("ann".into(), vec![grant]));
        let claims = tokens.verify(&issued.token).unwrap();
        let (here, there) = ("a/b".parse().unwrap(), "a/c".parse().unwrap());
        assert!(claims.permits(Access::Push(&here)) && claims.permits(Access::Any));
        assert!(!claims.permits(Access::Delete(&here)) && !claims.permits(Access::Pull(&there)));
        assert!(!claims.permits(Access::Catalog));
        assert!(Tokens::new([8; 32]).verify(&issued.token).is_err());
        for broken in ["", ".", "a.b", &issued.token[..issued.token.len() - 2]] {
            assert!(tokens.verify(broken).is_err(), "{broken}");
        }
    }

    #[test]
    fn nobody_is_granted_pulls_only() {
        let grant = Grant::parse("repository:a:*", true).unwrap();
        assert_eq!(grant.actions, ["pull"]);
        assert!(Grant::parse("repository:a:push", true).is_none());
        assert!(Grant::parse("registry:catalog:*", true).is_none());
        assert!(Grant::parse("repository:A:pull", false).is_none());
    }
}
