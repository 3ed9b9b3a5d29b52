//! What a client is told: registries, credentials, retries. Nothing is read from the environment here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use crate::credentials::Credential;
use crate::registries_conf::RegistriesConf;

/// Everything that a [`crate::Client`] is told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Mirrors and insecure registries.
    pub registries: Registries,
    /// Credentials given outright, by the registry's host.
    pub credentials: BTreeMap<String, Credential>,
    /// Files to look for credentials in, in this order: `config.json` of Docker, `auth.json` of the containers tools.
    pub auth_files: Vec<PathBuf>,
    /// Certificate authorities (PEM) to trust beside Mozilla's, as `SSL_CERT_FILE` names them.
    pub certificate_file: Option<PathBuf>,
    /// Directories with one for each `HOST[:PORT]`, in which `*.crt` are authorities, and `*.cert` with `*.key` say who
    /// we are: Docker's and the containers tools' `certs.d`.
    pub certificate_directories: Vec<PathBuf>,
    /// Where Docker's daemon listens.
    pub docker: DockerHost,
    /// How many blobs are moved at once.
    pub parallel: usize,
    /// When to try again.
    pub retries: Retries,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            registries: Registries::default(),
            credentials: BTreeMap::new(),
            auth_files: Vec::new(),
            certificate_file: None,
            certificate_directories: Vec::new(),
            docker: DockerHost::default(),
            parallel: 6,
            retries: Retries::default(),
        }
    }
}

/// Where to find registries other than by their names.
#[derive(Debug, Clone, Default)]
pub struct Registries {
    /// Host → addresses to pull from before the host itself: `http://127.0.0.1:5000`, `https://mirror.example.org/hub`. A path
    /// is put before the repository's name.
    pub mirrors: BTreeMap<String, Vec<String>>,
    /// Hosts whose certificate is not checked, and that may be spoken to without TLS. Loopback hosts need no entry.
    pub insecure: BTreeSet<String>,
    /// What the containers tools' configuration says.
    pub conf: RegistriesConf,
}

/// How Docker's daemon is reached.
#[derive(Debug, Clone)]
pub struct DockerHost {
    /// `unix://PATH` or `tcp://HOST:PORT`, as `DOCKER_HOST` has it.
    pub address: String,
    /// The directory with `ca.pem`, `cert.pem` and `key.pem`, where it is spoken to by TLS.
    pub certificates: Option<PathBuf>,
    /// Whether its certificate is checked.
    pub verify: bool,
}

impl Default for DockerHost {
    fn default() -> DockerHost {
        DockerHost { address: "unix:///var/run/docker.sock".to_owned(), certificates: None, verify: true }
    }
}

/// How often a request that failed is tried again, and how long to wait.
#[derive(Debug, Clone, Copy)]
pub struct Retries {
    /// Attempts in all; 1 means none is repeated.
    pub attempts: u32,
    /// The pause after the first failure; each next one is twice as long.
    pub first_pause: Duration,
    /// The longest pause, also where the registry asks for a longer one.
    pub longest_pause: Duration,
}

impl Default for Retries {
    fn default() -> Retries {
        Retries { attempts: 5, first_pause: Duration::from_millis(500), longest_pause: Duration::from_secs(60) }
    }
}
