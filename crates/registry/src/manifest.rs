//! Manifests as the registry needs to know them: what they refer to, and whether they are what they claim to be.
//!
//! Strict where clients could be led to read the same bytes in two ways (CVE-2021-41190): the media type must agree with
//! `Content-Type`, and a document is either an image manifest or an index.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::error::Error;

/// The largest manifest taken, in bytes: what the specification says clients may rely on.
pub const SIZE_LIMIT: usize = 4 * 1024 * 1024;

const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// The media type of an OCI image index.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// A reference by content.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What the content is.
    pub media_type: String,
    /// The content.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// What kind of artifact, for a manifest in a list of referrers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// Free annotations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
    /// Where else the content is. Never followed; such content need not be here.
    #[serde(default, skip_serializing)]
    urls: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    schema_version: u32,
    media_type: Option<String>,
    artifact_type: Option<String>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
    subject: Option<Descriptor>,
    annotations: Option<BTreeMap<String, String>>,
}

/// A manifest that has been read and found consistent.
#[derive(Debug)]
pub struct Manifest {
    /// Its media type.
    pub media_type: String,
    /// Blobs that must be in the repository.
    pub blobs: Vec<Descriptor>,
    /// Manifests that must be in the repository.
    pub manifests: Vec<Descriptor>,
    /// The manifest that this one speaks about.
    pub subject: Option<Digest>,
    /// As a list of referrers shows it.
    pub artifact_type: Option<String>,
    /// As a list of referrers shows them.
    pub annotations: Option<BTreeMap<String, String>>,
}

impl Manifest {
    /// Reads `bytes`, which came with `content_type` (parameters are ignored).
    pub fn parse(bytes: &[u8], content_type: Option<&str>) -> Result<Manifest, Error> {
        let invalid = |message: String| Error::ManifestInvalid(message);
        let document: Document = serde_json::from_slice(bytes).map_err(|error| refusal(bytes, &error))?;
        if document.schema_version != 2 {
            return Err(invalid(format!(
                "schemaVersion {} is not served; only version 2 manifests are (Docker's image manifest schema 1 is obsolete)",
                document.schema_version
            )));
        }
        let announced = content_type.map(|text| text.split(';').next().unwrap_or_default().trim());
        let media_type = match (announced, document.media_type.as_deref()) {
            (Some(header), Some(inner)) if header != inner => {
                return Err(invalid(format!("Content-Type says {header}, the manifest's mediaType says {inner}")));
            }
            (Some(one), _) | (None, Some(one)) => one.to_owned(),
            (None, None) => return Err(invalid("neither Content-Type nor mediaType says what this is".into())),
        };
        match media_type.as_str() {
            OCI_MANIFEST | DOCKER_MANIFEST => document.into_image(media_type),
            OCI_INDEX | DOCKER_LIST => document.into_index(media_type),
            other => Err(invalid(format!("manifests of the type {other:?} are not served"))),
        }
    }

    /// This manifest as a list of referrers shows it.
    pub fn descriptor(&self, digest: Digest, size: u64) -> Descriptor {
        Descriptor {
            media_type: self.media_type.clone(),
            digest,
            size,
            artifact_type: self.artifact_type.clone(),
            annotations: self.annotations.clone(),
            urls: Vec::new(),
        }
    }
}

/// Says "schema 1" where that is why the fields do not fit.
fn refusal(bytes: &[u8], error: &serde_json::Error) -> Error {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Version {
        schema_version: u32,
    }
    match serde_json::from_slice::<Version>(bytes) {
        Ok(Version { schema_version: 1 }) => {
            Error::ManifestInvalid("Docker's image manifest schema 1 is obsolete and not served".into())
        }
        _ => Error::ManifestInvalid(format!("the manifest is not valid: {error}")),
    }
}

impl Document {
    fn into_image(self, media_type: String) -> Result<Manifest, Error> {
        let (Some(config), Some(layers), None) = (self.config, self.layers, self.manifests) else {
            return Err(Error::ManifestInvalid(
                "an image manifest has `config` and `layers`, and no `manifests`".into(),
            ));
        };
        let artifact_type = self.artifact_type.filter(|text| !text.is_empty());
        let artifact_type = artifact_type.or_else(|| Some(config.media_type.clone()));
        let here = layers.into_iter().filter(|layer| layer.urls.is_empty());
        Ok(Manifest {
            media_type,
            blobs: std::iter::once(config).chain(here).collect(),
            manifests: Vec::new(),
            subject: self.subject.map(|subject| subject.digest),
            artifact_type,
            annotations: self.annotations,
        })
    }

    fn into_index(self, media_type: String) -> Result<Manifest, Error> {
        let (None, None, Some(manifests)) = (self.config, self.layers, self.manifests) else {
            return Err(Error::ManifestInvalid("an index has `manifests`, and neither `config` nor `layers`".into()));
        };
        Ok(Manifest {
            media_type,
            blobs: Vec::new(),
            manifests,
            subject: self.subject.map(|subject| subject.digest),
            artifact_type: self.artifact_type.filter(|text| !text.is_empty()),
            annotations: self.annotations,
        })
    }
}

/// The descriptors in an index that stands under a referrers tag; nothing if it is no index.
pub fn index_entries(bytes: &[u8]) -> Vec<Descriptor> {
    serde_json::from_slice::<Document>(bytes).ok().and_then(|document| document.manifests).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = r#"{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2}"#;

    fn refused(text: &str, content_type: Option<&str>) -> String {
        Manifest::parse(text.as_bytes(), content_type).unwrap_err().to_string()
    }

    #[test]
    fn an_image_and_its_referrer_type() {
        let text = format!(r#"{{"schemaVersion":2,"config":{EMPTY},"layers":[{EMPTY}],"subject":{EMPTY}}}"#);
        let manifest = Manifest::parse(text.as_bytes(), Some(OCI_MANIFEST)).unwrap();
        assert_eq!(manifest.blobs.len(), 2);
        assert_eq!(manifest.artifact_type.as_deref(), Some("application/vnd.oci.empty.v1+json"));
        assert!(manifest.subject.is_some());
    }

    #[test]
    fn confusion_is_refused() {
        let both = format!(r#"{{"schemaVersion":2,"config":{EMPTY},"layers":[],"manifests":[]}}"#);
        assert!(refused(&both, Some(OCI_MANIFEST)).contains("no `manifests`"));
        assert!(refused(&both, Some(OCI_INDEX)).contains("neither `config`"));
        let typed = format!(r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":[]}}"#);
        assert!(refused(&typed, Some(OCI_MANIFEST)).contains("Content-Type says"));
        assert!(refused(r#"{"schemaVersion":2,"schemaVersion":2}"#, Some(OCI_INDEX)).contains("duplicate field"));
        assert!(refused(r#"{"schemaVersion":1,"name":"x"}"#, Some(OCI_INDEX)).contains("version 2"));
        let negative = r#"{"schemaVersion":2,"manifests":[{"mediaType":"x","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":-1}]}"#;
        assert!(refused(negative, Some(OCI_INDEX)).contains("not valid"));
        let subject = r#"{"schemaVersion":2,"manifests":[],"subject":{"digest":"nothing"}}"#;
        assert!(refused(subject, Some(OCI_INDEX)).contains("not valid"));
        let deep = "[".repeat(200_000);
        assert!(refused(&format!(r#"{{"schemaVersion":2,"x":{deep}"#), Some(OCI_INDEX)).contains("not valid"));
        assert!(refused(&typed, Some("text/plain")).contains("text/plain"));
        assert!(refused(r#"{"schemaVersion":2,"manifests":[]}"#, None).contains("neither"));
    }
}
