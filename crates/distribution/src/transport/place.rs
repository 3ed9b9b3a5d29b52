//! Names of places, as skopeo writes them.

use std::fmt;
use std::path::PathBuf;

use crate::reference::{InvalidReference, Reference};

/// Where an image is, or shall be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// `docker://REFERENCE`: a registry.
    Registry(Reference),
    /// `oci:DIRECTORY[:TAG]`: an OCI layout.
    Layout {
        /// The directory.
        path: PathBuf,
        /// The tag, or whole reference, in the layout's index.
        name: Option<String>,
    },
    /// `oci-archive:FILE[:TAG]`: an OCI layout in a tar.
    OciArchive {
        /// The file.
        path: PathBuf,
        /// The tag, or whole reference, in the layout's index.
        name: Option<String>,
    },
    /// `docker-archive:FILE[:NAME:TAG]`: what `docker save` writes.
    DockerArchive {
        /// The file.
        path: PathBuf,
        /// The name and tag.
        name: Option<String>,
    },
    /// `docker-daemon:NAME:TAG`: Docker's own storage, through its daemon.
    DockerDaemon {
        /// The name and tag, or an ID.
        name: String,
    },
    /// `containers-storage:NAME`: podman's storage, through podman.
    ContainersStorage {
        /// The name.
        name: String,
    },
    /// `containerd:[[NAMESPACE]]NAME`: containerd's storage, through ctr. The namespace is in brackets.
    Containerd {
        /// The namespace; without one, what `ctr` uses.
        namespace: Option<String>,
        /// The name.
        name: String,
    },
}

/// A text that starts as the name of a place and is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not the name of an image: {reason}")]
pub struct InvalidPlace {
    text: String,
    reason: String,
}

impl Place {
    /// The names of the transports, each with the form of what follows it.
    pub const TRANSPORTS: [(&'static str, &'static str); 7] = [
        ("docker://", "[HOST[:PORT]/]NAME[:TAG][@DIGEST]"),
        ("oci:", "DIRECTORY[:TAG]"),
        ("oci-archive:", "FILE[:TAG]"),
        ("docker-archive:", "FILE[:NAME:TAG]"),
        ("docker-daemon:", "NAME[:TAG]"),
        ("containers-storage:", "NAME[:TAG]"),
        ("containerd:", "[[NAMESPACE]]NAME[:TAG]"),
    ];

    /// Reads the name of a place; `None` where the text names no transport.
    ///
    /// # Errors
    /// What follows the transport's name is not what it takes.
    pub fn parse(text: &str) -> Option<Result<Place, InvalidPlace>> {
        let (transport, form) = Self::TRANSPORTS.into_iter().find(|(transport, _)| text.starts_with(transport))?;
        let rest = &text[transport.len()..];
        let invalid = |reason: String| InvalidPlace { text: text.chars().take(300).collect(), reason };
        let parsed = match transport {
            _ if rest.is_empty() => Err(format!("after `{transport}` comes {form}")),
            "docker://" => rest.parse().map(Place::Registry).map_err(|error: InvalidReference| error.to_string()),
            "oci:" => file(rest).map(|(path, name)| Place::Layout { path, name }),
            "oci-archive:" => file(rest).map(|(path, name)| Place::OciArchive { path, name }),
            "docker-archive:" => file(rest).map(|(path, name)| Place::DockerArchive { path, name }),
            "docker-daemon:" => name(rest).map(|name| Place::DockerDaemon { name }),
            "containers-storage:" if rest.starts_with('[') => {
                Err("a storage in brackets is not taken; CONTAINERS_STORAGE_CONF names another one to podman"
                    .to_owned())
            }
            "containers-storage:" => name(rest).map(|name| Place::ContainersStorage { name }),
            _ => containerd(rest),
        };
        Some(parsed.map_err(invalid))
    }

    /// What is said of it: its transport, and the name there.
    pub fn transport(&self) -> &'static str {
        match self {
            Place::Registry(_) => "docker://",
            Place::Layout { .. } => "oci:",
            Place::OciArchive { .. } => "oci-archive:",
            Place::DockerArchive { .. } => "docker-archive:",
            Place::DockerDaemon { .. } => "docker-daemon:",
            Place::ContainersStorage { .. } => "containers-storage:",
            Place::Containerd { .. } => "containerd:",
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let transport = self.transport();
        match self {
            Place::Registry(reference) => write!(f, "{transport}{reference}"),
            Place::Layout { path, name } | Place::OciArchive { path, name } | Place::DockerArchive { path, name } => {
                write!(f, "{transport}{}", path.display())?;
                name.iter().try_for_each(|name| write!(f, ":{name}"))
            }
            Place::DockerDaemon { name } | Place::ContainersStorage { name } => write!(f, "{transport}{name}"),
            Place::Containerd { namespace: Some(namespace), name } => write!(f, "{transport}[{namespace}]{name}"),
            Place::Containerd { namespace: None, name } => write!(f, "{transport}{name}"),
        }
    }
}

/// `PATH[:NAME]`: as skopeo does, the first colon ends the path.
fn file(text: &str) -> Result<(PathBuf, Option<String>), String> {
    let (path, name) = match text.split_once(':') {
        Some((path, name)) => (path, Some(name)),
        None => (text, None),
    };
    if path.is_empty() || name.is_some_and(|name| name.is_empty() || name.contains(char::is_whitespace)) {
        return Err("it is PATH, or PATH, a colon and a name".to_owned());
    }
    Ok((path.into(), name.map(str::to_owned)))
}

/// A name that can go into a request or be an argument of a program: it is no option, and has nothing odd in it.
fn name(text: &str) -> Result<String, String> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'/' | b':' | b'@' | b'+');
    if text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.bytes().all(allowed) {
        Ok(text.to_owned())
    } else {
        Err("a name begins with a letter or digit, and has letters, digits and `.`, `_`, `-`, `/`, `:`, `@` in it"
            .into())
    }
}

fn containerd(text: &str) -> Result<Place, String> {
    let (namespace, rest) = match text.strip_prefix('[').map(|rest| rest.split_once(']')) {
        Some(Some((namespace, rest))) => (Some(name(namespace)?), rest),
        Some(None) => return Err("the bracket of its namespace is not closed".to_owned()),
        None => (None, text),
    };
    Ok(Place::Containerd { namespace, name: name(rest)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_and_written_as_skopeo_names_them() {
        for text in [
            "docker://docker.io/library/alpine:3.20",
            "oci:a/b",
            "oci:a/b:1.0",
            "oci-archive:x.tar:localhost:5000/a:1",
            "docker-archive:/x.tar:a:1",
            "docker-daemon:a:1",
            "docker-daemon:sha256:0011",
            "containers-storage:localhost/a:1",
            "containerd:docker.io/library/a:1",
            "containerd:[k8s.io]registry.k8s.io/pause:3.9",
        ] {
            assert_eq!(Place::parse(text).unwrap().unwrap().to_string(), text);
        }
        let Some(Ok(Place::Containerd { namespace, name })) = Place::parse("containerd:[k8s.io]a:1") else { panic!() };
        assert_eq!((namespace.as_deref(), name.as_str()), (Some("k8s.io"), "a:1"));
    }

    #[test]
    fn what_could_be_an_option_or_a_path_is_no_name() {
        for text in [
            "docker-daemon:",
            "docker-daemon:--all",
            "docker-daemon:a b",
            "docker-daemon:a?b",
            "containers-storage:-a",
            "containers-storage:[overlay@/x]a",
            "containerd:[x",
            "containerd:[]a",
            "oci:",
            "oci::1",
            "docker://A B",
        ] {
            assert!(Place::parse(text).unwrap().is_err(), "{text}");
        }
        assert!(Place::parse("alpine:3").is_none());
        assert!(Place::parse("./oci").is_none());
    }
}
