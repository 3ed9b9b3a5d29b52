//! Binary caches by their addresses, as Nix writes them: `https://…`, `file://…` or `s3://…`; and `daemon`,
//! the store of the machine's own Nix.

mod address;
mod remote;
mod s3;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix_formats::STORE_DIR;
use nix_formats::narinfo::Compression;
use store::cache::{Directory, Transport};
use store::daemon::{DEFAULT_SOCKET, DaemonSource};
use url::Url;

use crate::network::{Network, Secret};
use crate::{FetchError, download};
use address::Address;
use remote::{Locate, Remote};

pub use s3::Aws;

/// What is needed to reach caches.
#[derive(Clone, Debug, Default)]
pub struct CacheSettings {
    /// How servers are spoken to, and who the user is there.
    pub network: Arc<Network>,
    /// Bearer tokens, by `host` or `host:port`.
    pub tokens: Tokens,
    /// Who the user is at `s3:` addresses.
    pub aws: Aws,
    /// Where the machine's own Nix daemon listens, if not where it usually does.
    pub daemon_socket: Option<PathBuf>,
}

/// Bearer tokens by host; they are not shown.
#[derive(Clone, Default)]
pub struct Tokens(pub BTreeMap<String, String>);

impl Tokens {
    /// The token for a repository: of those for its host, or for the beginning of its path there, the most special.
    pub(crate) fn for_repository(&self, host: &str, owner: &str, repo: &str) -> Option<&str> {
        let place = format!("{host}/{owner}/{repo}");
        let fits = |name: &str| place.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        let fitting = self.0.iter().filter(|(name, _)| fits(name));
        fitting.max_by_key(|(name, _)| name.len()).map(|(_, token)| token.as_str())
    }
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// A cache, with what its address says of how to use it.
pub struct OpenCache {
    /// Gets and puts its files.
    pub transport: Box<dyn Transport>,
    /// Whether it is behind a network, so that answers are worth keeping.
    pub remote: bool,
    /// `?priority=`
    pub priority: Option<u32>,
    /// `?trusted=`: its objects need no signature.
    pub trusted: bool,
    /// `?compression=` of what is written.
    pub compression: Option<Compression>,
    /// `?compression-level=`
    pub level: Option<u32>,
    /// `?secret-key=` and `?secret-keys=`: files with the keys to sign what is written.
    pub secret_keys: Vec<PathBuf>,
}

/// The cache at an address. Nothing is asked of it yet.
///
/// # Errors
/// The address is malformed, of a kind that is not known, or has a parameter that is not known.
pub fn open_cache(address: &str, settings: &CacheSettings) -> Result<OpenCache, FetchError> {
    let parsed = Address::parse(address)?;
    let (transport, remote): (Box<dyn Transport>, bool) = match parsed.scheme() {
        "" if parsed.base == "daemon" => {
            let socket = settings.daemon_socket.as_deref().unwrap_or(Path::new(DEFAULT_SOCKET));
            (Box::new(DaemonSource::new(socket, Path::new(STORE_DIR))), false)
        }
        "" => {
            let problem =
                format!("a binary cache in a directory is written file://{}", absolute(&parsed.base)?.display());
            return Err(parsed.wrong(&problem));
        }
        "file" => {
            let path = download::file_path(&parsed.base).ok_or_else(|| parsed.wrong("it names no path"))?;
            (Box::new(Directory::new(&path)), false)
        }
        "http" | "https" => {
            let base = Url::parse(&parsed.base).map_err(|error| parsed.wrong(&error.to_string()))?;
            let secrets = secrets(&base, &settings.tokens.0);
            let locate = Box::new(Locate::Below { base, secrets });
            (Box::new(Remote::new(Arc::clone(&settings.network), locate)), true)
        }
        "s3" => {
            let locate = Box::new(Locate::Bucket(s3::open(&parsed, &settings.aws)?));
            (Box::new(Remote::new(Arc::clone(&settings.network), locate)), true)
        }
        other => {
            let reason =
                format!("a binary cache has a file:, http:, https: or s3: address, or is 'daemon', not '{other}:'");
            return Err(parsed.wrong(&reason));
        }
    };
    Ok(OpenCache {
        transport,
        remote,
        priority: parsed.number("priority")?,
        // Whoever keeps the machine's store could change this program just as well.
        trusted: parsed.base == "daemon" || parsed.flag("trusted")?,
        compression: parsed.compression()?,
        level: parsed.number("compression-level")?,
        secret_keys: parsed.secret_keys(),
    })
}

/// The bearer token for a host, if there is one.
fn secrets(url: &Url, tokens: &BTreeMap<String, String>) -> Vec<Secret> {
    let host = url.host_str().unwrap_or_default();
    let with_port = url.port().map(|port| format!("{host}:{port}"));
    let token = with_port.and_then(|name| tokens.get(&name)).or_else(|| tokens.get(host));
    token.map(|token| Secret::bearer(token)).into_iter().collect()
}

fn absolute(path: &str) -> Result<PathBuf, FetchError> {
    std::path::absolute(path).map_err(FetchError::io("resolve", Path::new(path)))
}
