//! Where commands find images and put them: transports as skopeo names them, or a plain reference.

use distribution::{Client, Copied, CopyOptions, Place, Platform, Select};
use image::{Compression, LayerCache};
use indicatif::HumanBytes;
use serde_json::json;

use crate::failure::Failure;
use crate::registries;
use crate::settings::{Settings, Verbosity};

/// The transports, for the help of commands that take them.
pub(crate) const TRANSPORTS: &str = "\
Places:
  docker://NAME[:TAG][@DIGEST]       a registry; `docker://` may be left out
  oci:DIRECTORY[:TAG]                an OCI layout
  oci-archive:FILE[:TAG]             an OCI layout in a tar
  docker-archive:FILE[:NAME:TAG]     what `docker save` writes
  docker-daemon:NAME[:TAG]           Docker's own storage, through its daemon (DOCKER_HOST)
  containers-storage:NAME[:TAG]      podman's storage, through podman
  containerd:[[NAMESPACE]]NAME[:TAG] containerd's storage, through ctr";

/// A place by its transport; `None` if the text names none.
pub(crate) fn by_transport(text: &str) -> Result<Option<Place>, Failure> {
    let known = || Place::TRANSPORTS.map(|(transport, form)| format!("{transport}{form}")).join("\n");
    let wrong = |error: distribution::InvalidPlace| Failure::usage(error.to_string()).help(known());
    Place::parse(text).transpose().map_err(wrong)
}

/// A place by its transport, or a reference.
pub(crate) fn place(text: &str) -> Result<Place, Failure> {
    match by_transport(text)? {
        Some(place) => Ok(place),
        None if text.starts_with(['.', '/']) => Err(Failure::usage(format!("'{text}' is a file and no reference"))
            .help(format!("say what is there: docker-archive:{text}, oci-archive:{text} or oci:{text}"))),
        None => registries::reference(text).map(Place::Registry).map_err(|error| match near_transport(text) {
            Some(near) => error.help(format!("did you mean {near}?")),
            None => error,
        }),
    }
}

/// The transport that a text, which is no reference either, has nearly.
pub(crate) fn near_transport(text: &str) -> Option<String> {
    let (name, rest) = text.split_once(':')?;
    let distance = |transport: &str| strsim::damerau_levenshtein(name, transport.trim_end_matches(['/', ':']));
    let transports = Place::TRANSPORTS.map(|(transport, _)| (distance(transport), transport));
    let (distance, nearest) = transports.into_iter().min()?;
    // `git:` is no slip of `oci:`.
    (distance <= 2 && 3 * distance <= name.len()).then(|| format!("{nearest}{}", rest.trim_start_matches('/')))
}

/// A client for these places. One that talks to no registry works without a network.
pub(crate) fn client(places: &[&Place], settings: &Settings) -> Result<Client, Failure> {
    let needs_network = places.iter().any(|place| matches!(place, Place::Registry(_)));
    match settings.offline && !needs_network {
        true => Ok(Client::new(registries::client_settings(&settings.environment)?)),
        false => registries::client(settings),
    }
}

/// `OS/ARCHITECTURE[/VARIANT]`; without a text, this machine's.
pub(crate) fn platform(text: Option<&str>) -> Result<Platform, Failure> {
    let here = || format!("linux/{}", image::media::architecture(std::env::consts::ARCH));
    let text = text.map_or_else(here, str::to_owned);
    let mut parts = text.split('/').map(str::to_owned);
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(os), Some(architecture), variant, None) => Ok(Platform { architecture, os, variant }),
        _ => Err(Failure::usage(format!("'{text}' is no platform")).help("write it as linux/amd64 or linux/arm/v7")),
    }
}

/// How to copy where nothing else is said.
pub(crate) fn options(select: Select, cache: LayerCache, settings: &Settings) -> CopyOptions {
    CopyOptions {
        select,
        preserve_digests: false,
        compression: Compression::Gzip,
        cache,
        force: false,
        mount_from: Vec::new(),
        scratch: settings.unpacked(),
    }
}

fn outcome(copied: &Copied) -> String {
    if copied.up_to_date {
        return "up to date".to_owned();
    }
    let mounted = match copied.blobs_mounted {
        0 => String::new(),
        count => format!(", took over {count}"),
    };
    format!("sent {} in {} blobs{mounted}", HumanBytes(copied.bytes_sent), copied.blobs_sent)
}

/// What is said of one copy: as JSON, or in a line on standard output.
pub(crate) fn row(to: &Place, copied: &Copied, settings: &Settings) -> serde_json::Value {
    let digest = copied.digest;
    let name = match to {
        Place::Registry(reference) => reference.to_string(),
        other => other.to_string(),
    };
    if !settings.json && settings.verbosity >= Verbosity::Quiet {
        let named = match to {
            Place::Registry(reference) if reference.digest().is_none() => format!("{name}@{digest}"),
            Place::Registry(_) => name.clone(),
            _ => format!("{name}  {digest}"),
        };
        println!("{named}  {}", outcome(copied));
    }
    json!({
        "reference": name,
        "digest": digest.to_string(),
        "digestChanged": copied.changed,
        "upToDate": copied.up_to_date,
        "bytesSent": copied.bytes_sent,
        "blobsSent": copied.blobs_sent,
        "blobsMounted": copied.blobs_mounted,
    })
}

/// Says why a digest is another one, and what registries say of how often they may be asked.
pub(crate) fn remarks(copied: &Copied, client: &Client, settings: &Settings) {
    if let Some(reason) = copied.changed.as_ref().filter(|_| settings.verbosity >= Verbosity::Normal) {
        eprintln!("note: the digest is not the source's: {reason}");
    }
    rate_limits(client, settings);
}

/// What registries said of how often they may be asked, where the user wants to know more.
pub(crate) fn rate_limits(client: &Client, settings: &Settings) {
    if settings.verbosity >= Verbosity::Verbose {
        for (host, limit) in client.rate_limits() {
            eprintln!("{host}: {limit}");
        }
    }
}
