//! Which binary caches are used, and how: from the command line, else as Nix is told on this machine.

use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use fetch::{Aws, CacheSettings, Netrc, Network, NetworkSettings, Tokens, open_cache};
use nix_formats::nix_conf::NixConf;
use nix_formats::signature::PublicKey;
use store::cache::{BinaryCache, CacheOptions, Lifetimes, Lookups, Substituters};
use store::daemon::DEFAULT_SOCKET;

use crate::environment;
use crate::failure::Failure;
use crate::fetching;
use crate::nix_conf::{self, Given};
use crate::settings::Settings;

/// The cache that serves nixpkgs, and its key: what Nix uses where nobody says otherwise.
const DEFAULT_CACHE: &str = "https://cache.nixos.org";
const DEFAULT_KEY: &str = "cache.nixos.org-1:6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY=";

/// Where built things are taken from.
#[derive(clap::Args, Clone, Debug, Default)]
#[command(next_help_heading = "Binary caches")]
pub(crate) struct SubstituterArguments {
    /// Take what these binary caches have instead of building it; '' for none [default: nix.conf's, else
    /// the store of this machine's Nix and, for what comes from nixpkgs, https://cache.nixos.org]
    #[arg(long, value_name = "URL", value_delimiter = ' ')]
    substituters: Option<Vec<String>>,
    /// More binary caches
    #[arg(long, value_name = "URL", value_delimiter = ' ')]
    extra_substituters: Vec<String>,
    #[command(flatten)]
    trust: TrustArguments,
    #[command(flatten)]
    network: NetworkArguments,
}

/// Whose objects are taken.
#[derive(clap::Args, Clone, Debug, Default)]
#[command(next_help_heading = "Binary caches")]
pub(crate) struct TrustArguments {
    /// Whose signatures count [default: nix.conf's, else cache.nixos.org's]
    #[arg(long, value_name = "NAME:KEY", value_delimiter = ' ')]
    trusted_public_keys: Option<Vec<String>>,
    /// More keys whose signatures count
    #[arg(long, value_name = "NAME:KEY", value_delimiter = ' ')]
    extra_trusted_public_keys: Vec<String>,
    /// Take what nobody has signed
    #[arg(long, alias = "no-check-sigs")]
    no_require_sigs: bool,
}

/// Who the user is at servers.
#[derive(clap::Args, Clone, Debug, Default)]
#[command(next_help_heading = "Binary caches")]
pub(crate) struct NetworkArguments {
    /// User names and passwords by host [default: nix.conf's, else /etc/nix/netrc]
    #[arg(long, value_name = "FILE")]
    netrc_file: Option<PathBuf>,
}

/// Binary caches, ready to be asked.
pub(crate) struct Caches {
    pub(crate) substituters: Substituters,
    /// How sources are fetched over the same network.
    pub(crate) fetching: fetch::Settings,
}

/// How caches are reached and whom they are believed.
pub(crate) struct Reach {
    conf: NixConf,
    offline: bool,
    /// The keys that count; `None` where no signature is needed.
    pub(crate) keys: Option<Arc<[PublicKey]>>,
    pub(crate) lookups: Arc<Lookups>,
    pub(crate) caches: CacheSettings,
}

impl SubstituterArguments {
    /// Finds out which caches there are. Nothing is asked of them.
    pub(crate) fn resolve(&self, settings: &Settings, given: &Given) -> Result<Caches, Failure> {
        let reach = Reach::new(settings, &self.network, &self.trust, given)?;
        let named = self.substituters.clone().or_else(|| list(&reach.conf, "substituters", "binary-caches"));
        let extra = reach.conf.added("substituters").iter().chain(&self.extra_substituters);
        let is_default = named.is_none();
        let mut caches = Vec::new();
        // Without any, only those count that the command line names.
        let substitute = reach.conf.flag("substitute") != Some(false) || self.substituters.is_some();
        if substitute {
            // What the machine's own Nix has need not be downloaded.
            if is_default && settings.daemon_complaint().is_none() && UnixStream::connect(daemon_socket()).is_ok() {
                caches.extend(reach.cache("daemon", false)?);
            }
            for url in named.unwrap_or_else(|| vec![DEFAULT_CACHE.to_owned()]) {
                caches.extend(reach.cache(&url, is_default)?);
            }
            for url in extra {
                caches.extend(reach.cache(url, false)?);
            }
        }
        Ok(Caches {
            substituters: reach.substituters(caches),
            fetching: fetching::settings(
                settings,
                &reach.conf,
                Arc::clone(&reach.caches.network),
                reach.caches.tokens.clone(),
            )?,
        })
    }
}

impl SubstituterArguments {
    /// What the command line says, as settings for a daemon, which takes from caches itself.
    pub(crate) fn settings(&self) -> Vec<(String, String)> {
        let mut settings = Vec::new();
        let mut add = |name: &str, values: &[String]| settings.push((name.to_owned(), values.join(" ")));
        let lists = [("substituters", &self.substituters), ("trusted-public-keys", &self.trust.trusted_public_keys)];
        for (name, values) in lists {
            values.iter().for_each(|values| add(name, values));
        }
        let more = [
            ("extra-substituters", &self.extra_substituters),
            ("extra-trusted-public-keys", &self.trust.extra_trusted_public_keys),
        ];
        for (name, values) in more.into_iter().filter(|(_, values)| !values.is_empty()) {
            add(name, values);
        }
        if self.trust.no_require_sigs {
            add("require-sigs", &["false".to_owned()]);
        }
        if let Some(file) = &self.network.netrc_file {
            add("netrc-file", &[file.display().to_string()]);
        }
        settings
    }
}

impl TrustArguments {
    /// The keys that count; `None` where no signature is needed.
    fn keys(&self, conf: &NixConf) -> Result<Option<Arc<[PublicKey]>>, Failure> {
        if self.no_require_sigs || conf.flag("require-sigs") == Some(false) {
            return Ok(None);
        }
        let configured = || list(conf, "trusted-public-keys", "binary-cache-public-keys");
        let mut keys = self.trusted_public_keys.clone().or_else(configured).unwrap_or_else(|| {
            let mut keys = vec![DEFAULT_KEY.to_owned()];
            keys.extend_from_slice(conf.added("trusted-public-keys"));
            keys
        });
        keys.extend_from_slice(&self.extra_trusted_public_keys);
        let keys = keys.iter().filter(|key| !key.is_empty());
        let keys = keys.map(|key| Ok(PublicKey::parse(key)?)).collect::<Result<Vec<_>, Failure>>();
        let keys = keys.map_err(|failure| failure.help("a key looks like cache.example.org-1:<base 64>"))?;
        Ok(Some(keys.into()))
    }
}

impl NetworkArguments {
    fn netrc(&self, conf: &NixConf) -> Result<Netrc, Failure> {
        if let Some(file) = &self.netrc_file {
            let text = std::fs::read_to_string(file).map_err(|error| Failure::io("read", file, error))?;
            return Ok(Netrc::parse(&text));
        }
        let file = conf.text("netrc-file").map_or_else(|| nix_conf::directory().join("netrc"), PathBuf::from);
        Ok(std::fs::read_to_string(file).map(|text| Netrc::parse(&text)).unwrap_or_default())
    }
}

impl Reach {
    /// How caches are reached that a command names itself.
    pub(crate) fn new(
        settings: &Settings,
        network: &NetworkArguments,
        trust: &TrustArguments,
        given: &Given,
    ) -> Result<Self, Failure> {
        let conf = nix_conf::read(&settings.environment, given)?;
        let seconds = |name: &str| conf.number(name).filter(|seconds| *seconds > 0).map(Duration::from_secs);
        let usual = NetworkSettings::default();
        let certificates = ["NIX_SSL_CERT_FILE", "SSL_CERT_FILE"].into_iter().find_map(environment::text);
        let servers = NetworkSettings {
            offline: settings.offline,
            connect_timeout: seconds("connect-timeout").unwrap_or(usual.connect_timeout),
            stall_timeout: seconds("stalled-download-timeout").unwrap_or(usual.stall_timeout),
            attempts: conf.number("download-attempts").map_or(usual.attempts, |number| number.clamp(1, 20) as u32),
            netrc: network.netrc(&conf)?,
            certificates: certificates.or_else(|| conf.text("ssl-cert-file")).map(PathBuf::from),
        };
        let ttl = |name: &str, usual: i64| conf.number(name).and_then(|ttl| i64::try_from(ttl).ok()).unwrap_or(usual);
        let usual = Lifetimes::default();
        let lifetimes = Lifetimes {
            positive: ttl("narinfo-cache-positive-ttl", usual.positive),
            negative: ttl("narinfo-cache-negative-ttl", usual.negative),
        };
        Ok(Reach {
            offline: settings.offline,
            keys: trust.keys(&conf)?,
            lookups: Arc::new(Lookups::new(&settings.cache.join("caches/answers.sqlite"), lifetimes)),
            caches: CacheSettings {
                network: Network::new(servers),
                tokens: Tokens(conf.pairs("access-tokens")),
                aws: aws(settings),
                daemon_socket: Some(daemon_socket()),
            },
            conf,
        })
    }

    /// The cache at an address; `None` for one that cannot be reached because the network is not used.
    pub(crate) fn cache(&self, url: &str, is_default: bool) -> Result<Option<BinaryCache>, Failure> {
        if url.is_empty() {
            return Ok(None);
        }
        let cache = open_cache(url, &self.caches)?;
        if cache.remote && self.offline {
            return Ok(None);
        }
        let options = CacheOptions {
            keys: if cache.trusted { None } else { self.keys.clone() },
            priority: cache.priority,
            lookups: cache.remote.then(|| Arc::clone(&self.lookups)),
            is_default,
        };
        Ok(Some(BinaryCache::new(cache.transport, options)))
    }

    /// The caches as one.
    pub(crate) fn substituters(&self, caches: Vec<BinaryCache>) -> Substituters {
        let substituters = Substituters::new(caches);
        match self.conf.number("http-connections").filter(|number| *number > 0) {
            Some(number) => substituters.with_connections(number.min(512) as usize),
            None => substituters,
        }
    }
}

/// Where the machine's own Nix daemon listens, if it does.
pub(crate) fn daemon_socket() -> PathBuf {
    environment::directory("NIX_DAEMON_SOCKET_PATH").unwrap_or_else(|| PathBuf::from(DEFAULT_SOCKET))
}

/// A list by its name, or by the one that it had before.
fn list(conf: &NixConf, name: &str, old_name: &str) -> Option<Vec<String>> {
    conf.list(name).or_else(|| conf.list(old_name))
}

fn aws(settings: &Settings) -> Aws {
    let keys = || {
        let key = environment::text("AWS_ACCESS_KEY_ID")?;
        Some((key, environment::text("AWS_SECRET_ACCESS_KEY")?, environment::text("AWS_SESSION_TOKEN")))
    };
    let home = settings.environment.home.as_ref();
    Aws {
        keys: keys(),
        file: environment::directory("AWS_SHARED_CREDENTIALS_FILE").or_else(|| Some(home?.join(".aws/credentials"))),
        profile: environment::text("AWS_PROFILE"),
        region: environment::text("AWS_REGION").or_else(|| environment::text("AWS_DEFAULT_REGION")),
    }
}
