//! Accounts in an htpasswd file. Only bcrypt hashes are taken: the other formats of that file can be guessed.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use super::Credentials;
use crate::error::Error;
use crate::storage::fill_random;

/// How long a password that was right is not checked with bcrypt again, which takes tens of milliseconds.
const REMEMBERED: Duration = Duration::from_secs(300);
/// How many right passwords are remembered.
const REMEMBERED_COUNT: usize = 10_000;
/// Compared against when the user does not exist, so that the answer takes as long.
const NOBODY: &str = "$2b$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy";

/// The accounts of one file, read again when the file changes.
pub struct Accounts {
    path: PathBuf,
    salt: [u8; 16],
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    version: Option<(SystemTime, u64)>,
    hashes: HashMap<String, String>,
    verified: HashMap<[u8; 32], Instant>,
}

impl Accounts {
    pub fn open(path: PathBuf) -> io::Result<Accounts> {
        let mut salt = [0; 16];
        fill_random(&mut salt);
        let accounts = Accounts { path, salt, state: Mutex::default() };
        accounts.refresh()?;
        Ok(accounts)
    }

    /// Reads the file if it is not the one that was read. A file that has become bad keeps the accounts as they were.
    fn refresh(&self) -> io::Result<()> {
        let metadata = std::fs::metadata(&self.path).map_err(|error| self.explain(&error.to_string()))?;
        let version = Some((metadata.modified()?, metadata.len()));
        let mut state = self.state.lock();
        if state.version == version {
            return Ok(());
        }
        let text = std::fs::read_to_string(&self.path).map_err(|error| self.explain(&error.to_string()))?;
        state.hashes = parse(&text).map_err(|message| self.explain(&message))?;
        state.verified.clear();
        state.version = version;
        Ok(())
    }

    fn explain(&self, message: &str) -> io::Error {
        io::Error::other(format!("the accounts in {}: {message}", self.path.display()))
    }

    fn refresh_or_warn(&self) {
        if let Err(error) = self.refresh() {
            tracing::warn!("{error}; the accounts stay as they were");
        }
    }

    /// Whether there is such a user.
    pub fn knows(&self, user: &str) -> Result<bool, Error> {
        self.refresh_or_warn();
        Ok(self.state.lock().hashes.contains_key(user))
    }

    /// Checks a password.
    pub fn verify(&self, given: &Credentials) -> Result<(), Error> {
        self.refresh_or_warn();
        let mut hash = Sha256::new();
        hash.update(self.salt);
        hash.update((given.user.len() as u64).to_le_bytes());
        hash.update(&given.user);
        hash.update(&given.password);
        let key: [u8; 32] = hash.finalize().into();
        let stored = {
            let state = self.state.lock();
            if state.verified.get(&key).is_some_and(|since| since.elapsed() < REMEMBERED) {
                return Ok(());
            }
            state.hashes.get(&given.user).cloned()
        };
        let matches = bcrypt::verify(&given.password, stored.as_deref().unwrap_or(NOBODY)).unwrap_or(false);
        if !matches || stored.is_none() {
            return Err(Error::Unauthorized("the user name or password is wrong".into()));
        }
        let mut state = self.state.lock();
        if state.verified.len() >= REMEMBERED_COUNT {
            state.verified.retain(|_, since| since.elapsed() < REMEMBERED);
        }
        if state.verified.len() < REMEMBERED_COUNT && state.hashes.get(&given.user) == stored.as_ref() {
            state.verified.insert(key, Instant::now());
        }
        Ok(())
    }
}

fn parse(text: &str) -> Result<HashMap<String, String>, String> {
    let mut accounts = HashMap::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let number = number + 1;
        let Some((user, hash)) = line.split_once(':') else {
            return Err(format!("line {number} is not `user:hash`"));
        };
        if !["$2a$", "$2b$", "$2y$"].iter().any(|prefix| hash.starts_with(prefix)) {
            return Err(format!(
                "line {number}: the password of `{user}` is not a bcrypt hash; make it with `htpasswd -B`"
            ));
        }
        accounts.insert(user.to_owned(), hash.to_owned());
    }
    Ok(accounts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(user: &str, password: &str) -> Credentials {
        Credentials { user: user.into(), password: password.into() }
    }

    #[test]
    fn accounts_are_read_again_when_the_file_changes() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let hash = bcrypt::hash("secret", 4).unwrap();
        std::fs::write(file.path(), format!("# people\nann:{hash}\n")).unwrap();
        let accounts = Accounts::open(file.path().to_owned()).unwrap();
        assert!(accounts.verify(&given("ann", "secret")).is_ok());
        assert!(accounts.verify(&given("ann", "secret")).is_ok());
        assert!(accounts.verify(&given("ann", "wrong")).is_err());
        assert!(accounts.verify(&given("bob", "secret")).is_err());
        std::fs::write(file.path(), format!("bobby:{hash}\n")).unwrap();
        assert!(accounts.verify(&given("ann", "secret")).is_err());
        assert!(accounts.knows("bobby").unwrap());
    }

    #[test]
    fn a_weak_hash_is_refused() {
        assert!(parse("ann:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=").unwrap_err().contains("line 1"));
        assert!(parse("nothing").is_err());
    }
}
