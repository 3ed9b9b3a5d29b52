//! Manifests as they come from registries: image or index, OCI or Docker.

use image::Digest;
use image::media::{self, Descriptor, Index, Manifest, Platform};

use crate::error::Error;

/// The largest manifest that is read: what registries take.
pub(crate) const MANIFEST_LIMIT: usize = 4 * 1024 * 1024;

/// The media types that are asked for, most wanted first.
pub(crate) const ACCEPTED: &str = concat!(
    "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, ",
    "application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json"
);

/// A manifest with its exact bytes.
#[derive(Debug, Clone)]
pub(crate) struct Document {
    pub bytes: Vec<u8>,
    pub media_type: String,
    pub digest: Digest,
    pub content: Content,
}

#[derive(Debug, Clone)]
pub(crate) enum Content {
    Image(Box<Manifest>),
    Index(Index),
}

impl Document {
    /// Reads what a registry gave as `name` with `content_type`.
    pub fn parse(bytes: Vec<u8>, content_type: Option<&str>, name: &str) -> Result<Document, Error> {
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Kind {
            schema_version: u32,
            media_type: Option<String>,
        }
        let unusable = |reason: String| Error::Unusable { what: format!("the manifest {name}"), reason };
        let not_json = |error: serde_json::Error| unusable(error.to_string());
        let kind: Kind = serde_json::from_slice(&bytes).map_err(not_json)?;
        if kind.schema_version != 2 {
            let reason = format!("it has schema version {}, and only version 2 is in use today", kind.schema_version);
            return Err(unusable(reason));
        }
        let announced = content_type.map(|text| text.split(';').next().unwrap_or_default().trim().to_owned());
        let media_type = kind.media_type.or(announced).unwrap_or_default();
        let content = match media_type.as_str() {
            media::INDEX | media::DOCKER_INDEX => Content::Index(serde_json::from_slice(&bytes).map_err(not_json)?),
            media::MANIFEST | media::DOCKER_MANIFEST => {
                Content::Image(Box::new(serde_json::from_slice(&bytes).map_err(not_json)?))
            }
            other => return Err(unusable(format!("its media type is `{other}`"))),
        };
        Ok(Document { digest: Digest::of(&bytes), bytes, media_type, content })
    }

    /// A descriptor of this manifest.
    pub fn descriptor(&self) -> Descriptor {
        Descriptor::new(&self.media_type, self.digest, self.bytes.len() as u64)
    }
}

/// The entry of an index for a platform. Without a variant any variant fits, the first listed first.
pub(crate) fn choose<'a>(index: &'a Index, wanted: &Platform, reference: &str) -> Result<&'a Descriptor, Error> {
    let fits = |entry: &&Descriptor| {
        entry.platform.as_ref().is_some_and(|platform| {
            platform.os == wanted.os
                && platform.architecture == wanted.architecture
                && (wanted.variant.is_none() || wanted.variant == platform.variant)
        })
    };
    index.manifests.iter().find(fits).ok_or_else(|| Error::Platform {
        reference: reference.to_owned(),
        wanted: shown(wanted),
        available: available(index),
    })
}

fn available(index: &Index) -> String {
    let platforms = index.manifests.iter().filter_map(|entry| entry.platform.as_ref());
    let mut names: Vec<String> = platforms.filter(|platform| platform.os != "unknown").map(shown).collect();
    names.dedup();
    if names.is_empty() { "none that it names".to_owned() } else { names.join(", ") }
}

/// A platform as container tools write it, `linux/arm/v7`.
pub fn shown(platform: &Platform) -> String {
    let variant = platform.variant.as_ref().map(|variant| format!("/{variant}")).unwrap_or_default();
    format!("{}/{}{variant}", platform.os, platform.architecture)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(platforms: &[(&str, &str, Option<&str>)]) -> Index {
        let entry = |(os, architecture, variant): &(&str, &str, Option<&str>)| {
            let mut entry =
                Descriptor::new(media::MANIFEST, Digest::of(format!("{architecture}{variant:?}").as_bytes()), 1);
            let variant = variant.map(str::to_owned);
            entry.platform = Some(Platform { os: (*os).to_owned(), architecture: (*architecture).to_owned(), variant });
            entry
        };
        let manifests = platforms.iter().map(entry).collect();
        Index { schema_version: 2, media_type: None, manifests, annotations: Default::default() }
    }

    #[test]
    fn a_platform_is_chosen_from_an_index() {
        let index = index(&[
            ("linux", "amd64", None),
            ("linux", "arm", Some("v6")),
            ("linux", "arm", Some("v7")),
            ("unknown", "unknown", None),
        ]);
        let wanted = |architecture: &str, variant: Option<&str>| Platform {
            os: "linux".to_owned(),
            architecture: architecture.to_owned(),
            variant: variant.map(str::to_owned),
        };
        let at = |platform: &Platform| choose(&index, platform, "a:1").map(|entry| entry.digest);
        assert_eq!(at(&wanted("amd64", None)).unwrap(), index.manifests[0].digest);
        assert_eq!(at(&wanted("arm", Some("v7"))).unwrap(), index.manifests[2].digest);
        assert_eq!(at(&wanted("arm", None)).unwrap(), index.manifests[1].digest);
        let error = at(&wanted("riscv64", None)).unwrap_err().to_string();
        let expected = "a:1 has no image for linux/riscv64; it has linux/amd64, linux/arm/v6, linux/arm/v7";
        assert_eq!(error, expected);
    }

    #[test]
    fn what_is_no_manifest_is_refused() {
        let parse = |text: &str| Document::parse(text.as_bytes().to_vec(), None, "a:1").unwrap_err().to_string();
        assert!(parse("<html>").contains("the manifest a:1 cannot be used"));
        assert!(parse(r#"{"schemaVersion":1}"#).contains("schema version 1"));
        assert!(parse(r#"{"schemaVersion":2,"mediaType":"x/y"}"#).contains("`x/y`"));
    }
}
