//! How to run a container, as plain data and as the texts that users type.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::str::FromStr;

/// How to run a container. Every path is the host's unless it says otherwise.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// Where unpacked layers are kept for the next run, by the digest of their content.
    pub cache: PathBuf,
    /// Where running containers have their writable layer, and named volumes their data.
    pub state: PathBuf,
    /// The name, which is the host name inside too; made up when absent.
    pub name: Option<String>,
    /// The command, in place of the image's `Cmd`.
    pub command: Vec<String>,
    /// The program, in place of the image's `Entrypoint`; the image's `Cmd` then does not count.
    pub entrypoint: Option<String>,
    /// `user`, `uid`, `user:group` or `uid:gid`, in place of the image's `User`.
    pub user: Option<String>,
    /// The working directory inside, in place of the image's.
    pub directory: Option<String>,
    /// Environment variables, over those of the image.
    pub environment: Vec<(String, String)>,
    /// What of the host is mounted inside.
    pub volumes: Vec<Volume>,
    /// Directories inside that are in memory.
    pub tmpfs: Vec<Tmpfs>,
    /// Ports of the host that lead inside.
    pub ports: Vec<Port>,
    /// The network.
    pub network: Network,
    /// Nothing can be written but volumes and directories in memory.
    pub read_only: bool,
    /// Standard input is passed on.
    pub interactive: bool,
    /// The container has a terminal.
    pub terminal: bool,
    /// The most memory in bytes.
    pub memory: Option<u64>,
    /// The most processes.
    pub processes: Option<u64>,
}

/// The network of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Network {
    /// Its own, reached only through the published ports; other hosts are reached from inside, but not what listens on the
    /// host's loopback addresses.
    #[default]
    Private,
    /// The host's.
    Host,
    /// Its own, with no interface up.
    None,
}

/// Something of the host that is mounted inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// What is mounted.
    pub source: VolumeSource,
    /// Where, inside.
    pub target: String,
    /// Whether it cannot be changed from inside.
    pub read_only: bool,
}

/// What a volume is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VolumeSource {
    /// A file or directory of the host.
    Path(PathBuf),
    /// A directory of that name that outlives containers.
    Name(String),
}

/// A directory in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tmpfs {
    /// Where, inside.
    pub target: String,
    /// The limit in bytes.
    pub size: Option<u64>,
}

/// What a port carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Protocol {
    /// Connections.
    #[default]
    Tcp,
    /// Datagrams.
    Udp,
}

/// A port of the host that leads to one of the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Port {
    /// The host's address to listen on.
    pub address: IpAddr,
    /// The host's port; 0 takes a free one.
    pub host: u16,
    /// The container's port.
    pub container: u16,
    /// What it carries.
    pub protocol: Protocol,
}

/// Why a text is no option.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not {expected}")]
pub struct OptionError {
    text: String,
    expected: &'static str,
}

impl RunOptions {
    /// The image's own settings, with these directories.
    pub fn new(cache: PathBuf, state: PathBuf) -> RunOptions {
        RunOptions {
            cache,
            state,
            name: None,
            command: Vec::new(),
            entrypoint: None,
            user: None,
            directory: None,
            environment: Vec::new(),
            volumes: Vec::new(),
            tmpfs: Vec::new(),
            ports: Vec::new(),
            network: Network::Private,
            read_only: false,
            interactive: false,
            terminal: false,
            memory: None,
            processes: None,
        }
    }
}

impl FromStr for Network {
    type Err = OptionError;

    fn from_str(text: &str) -> Result<Network, OptionError> {
        match text {
            "private" => Ok(Network::Private),
            "host" => Ok(Network::Host),
            "none" => Ok(Network::None),
            _ => Err(OptionError { text: text.to_owned(), expected: "a network: private, host or none" }),
        }
    }
}

impl FromStr for Protocol {
    type Err = ();

    fn from_str(text: &str) -> Result<Protocol, ()> {
        match text {
            "tcp" => Ok(Protocol::Tcp),
            "udp" => Ok(Protocol::Udp),
            _ => Err(()),
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        })
    }
}

impl FromStr for Port {
    type Err = OptionError;

    /// `CONTAINER`, `HOST:CONTAINER`, `ADDRESS:HOST:CONTAINER`, each with `/tcp` or `/udp` at the end if wanted. An IPv6
    /// address is in brackets.
    fn from_str(text: &str) -> Result<Port, OptionError> {
        let wrong = || OptionError {
            text: text.to_owned(),
            expected: "a port to publish: [[ADDRESS:]HOST:]CONTAINER[/tcp|/udp], with ports from 1 to 65535",
        };
        let (plain, protocol) = match text.rsplit_once('/') {
            None => (text, Protocol::Tcp),
            Some((plain, protocol)) => (plain, protocol.parse().map_err(|()| wrong())?),
        };
        let (rest, container) = plain.rsplit_once(':').unwrap_or(("", plain));
        let (address, host) = match rest.rsplit_once(':') {
            Some((address, host)) if !rest.ends_with(']') => (address, host),
            _ => ("", rest),
        };
        let address = match address.trim_start_matches('[').trim_end_matches(']') {
            "" => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            address => address.parse().map_err(|_| wrong())?,
        };
        let host = if host.is_empty() { 0 } else { host.parse().map_err(|_| wrong())? };
        match container.parse() {
            Ok(container) if container > 0 => Ok(Port { address, host, container, protocol }),
            _ => Err(wrong()),
        }
    }
}

impl FromStr for Volume {
    type Err = OptionError;

    /// `HOST:CONTAINER` or `NAME:CONTAINER`, with `:ro` or `:rw` at the end if wanted.
    fn from_str(text: &str) -> Result<Volume, OptionError> {
        let wrong = || OptionError {
            text: text.to_owned(),
            expected: "a volume: HOST-PATH:/CONTAINER-PATH[:ro] or NAME:/CONTAINER-PATH[:ro]",
        };
        let mut parts = text.split(':');
        let (source, target) = (parts.next().ok_or_else(wrong)?, parts.next().ok_or_else(wrong)?);
        let read_only = match (parts.next(), parts.next()) {
            (None | Some("rw"), None) => false,
            (Some("ro"), None) => true,
            _ => return Err(wrong()),
        };
        let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        let source = match source.starts_with(['/', '.', '~']) {
            true => VolumeSource::Path(source.into()),
            // A name cannot start with a dot, so it cannot lead anywhere else.
            false if !source.is_empty() && source.chars().all(named) => VolumeSource::Name(source.to_owned()),
            false => return Err(wrong()),
        };
        match target.starts_with('/') {
            true => Ok(Volume { source, target: target.to_owned(), read_only }),
            false => Err(wrong()),
        }
    }
}

impl FromStr for Tmpfs {
    type Err = OptionError;

    /// `CONTAINER` or `CONTAINER:size=SIZE`, where a size may end in k, m or g.
    fn from_str(text: &str) -> Result<Tmpfs, OptionError> {
        let wrong = || OptionError { text: text.to_owned(), expected: "a directory in memory: /PATH[:size=SIZE]" };
        let (target, size) = match text.split_once(':') {
            None => (text, None),
            Some((target, option)) => {
                let size = option.strip_prefix("size=").ok_or_else(wrong)?;
                (target, Some(parse_size(size).map_err(|_| wrong())?))
            }
        };
        match target.starts_with('/') {
            true => Ok(Tmpfs { target: target.to_owned(), size }),
            false => Err(wrong()),
        }
    }
}

/// A size in bytes: a number, with k, m or g (of 1024) at the end if wanted.
///
/// # Errors
/// It is no such number, or too large.
pub fn parse_size(text: &str) -> Result<u64, OptionError> {
    let wrong = || OptionError { text: text.to_owned(), expected: "a size: a number, with k, m or g if wanted" };
    let lower = text.to_ascii_lowercase();
    let lower = lower.strip_suffix('b').unwrap_or(&lower);
    let (number, unit) = match lower.as_bytes().last() {
        Some(b'k') => (&lower[..lower.len() - 1], 1 << 10),
        Some(b'm') => (&lower[..lower.len() - 1], 1 << 20),
        Some(b'g') => (&lower[..lower.len() - 1], 1 << 30),
        _ => (lower, 1),
    };
    number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit)).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports() {
        let port = |text: &str| text.parse::<Port>().map(|port| (port.address.to_string(), port.host, port.container));
        assert_eq!(port("80"), Ok(("0.0.0.0".into(), 0, 80)));
        assert_eq!(port("8080:80/tcp"), Ok(("0.0.0.0".into(), 8080, 80)));
        assert_eq!(port("127.0.0.1:8080:80"), Ok(("127.0.0.1".into(), 8080, 80)));
        assert_eq!(port("[::1]:8080:80"), Ok(("::1".into(), 8080, 80)));
        assert_eq!("53:5353/udp".parse::<Port>().map(|port| port.protocol), Ok(Protocol::Udp));
        for wrong in ["", "x", "0", "80/sctp", "80/", "70000", "1:2:3", "a:80"] {
            assert!(port(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn volumes() {
        let volume: Volume = "/data:/srv:ro".parse().unwrap();
        assert_eq!(volume.source, VolumeSource::Path("/data".into()));
        assert!(volume.read_only && volume.target == "/srv");
        assert_eq!("data:/srv".parse::<Volume>().unwrap().source, VolumeSource::Name("data".into()));
        for wrong in ["/data", "/data:srv", "/a:/b:xx", ":/b", "a/b:/c", "/a:/b:ro:ro"] {
            assert!(wrong.parse::<Volume>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes() {
        assert_eq!(parse_size("512"), Ok(512));
        assert_eq!(parse_size("64m"), Ok(64 << 20));
        assert_eq!(parse_size("2GB"), Ok(2 << 30));
        for wrong in ["", "m", "-1", "99999999999g", "1x"] {
            assert!(parse_size(wrong).is_err(), "{wrong}");
        }
    }
}
