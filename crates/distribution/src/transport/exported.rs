//! What an archive that was read once held: its documents, and the manifest of the image that they make.

use std::collections::BTreeMap;

use image::Digest;
use image::media::{self, Descriptor, Index, Manifest, Platform, canonical_json};
use serde::Deserialize;

use crate::copying::MAX_DEPTH;
use crate::documents::{Content, Document, choose};
use crate::error::Error;

/// The documents of an archive, by their names there.
#[derive(Default)]
pub(crate) struct Documents {
    pub files: BTreeMap<String, Vec<u8>>,
    pub links: BTreeMap<String, String>,
}

/// The image that an archive held, when all its layers have been passed on.
pub(crate) struct Assembled {
    /// Its manifest.
    pub document: Document,
    /// Its configuration.
    pub config: Vec<u8>,
}

/// An entry of `manifest.json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    config: String,
    layers: Vec<String>,
}

impl Documents {
    /// Makes the manifest of the platform's image. `stored` says what became of each layer, by its name in the archive.
    pub fn assemble(
        &self,
        platform: &Platform,
        stored: &BTreeMap<String, Descriptor>,
        name: &str,
    ) -> Result<Assembled, Error> {
        if self.files.contains_key("oci-layout") && self.files.contains_key("index.json") {
            return self.of_layout(platform, stored, name);
        }
        let entries: Vec<Entry> = self.parse("manifest.json", name)?;
        let [entry] = &entries[..] else {
            return Err(unusable(name, format!("it has {} images where one was asked for", entries.len())));
        };
        let config = self.config(&entry.config, name)?.to_vec();
        let layers = entry.layers.iter().map(|layer| self.stored(layer, stored, name)).collect::<Result<_, _>>()?;
        Ok(Assembled { document: manifest(&config, media::CONFIG, layers, BTreeMap::new(), name)?, config })
    }

    fn of_layout(
        &self,
        platform: &Platform,
        stored: &BTreeMap<String, Descriptor>,
        name: &str,
    ) -> Result<Assembled, Error> {
        let index: Index = self.parse("index.json", name)?;
        let mut entry = match &index.manifests[..] {
            [one] => one.clone(),
            _ => choose(&index, platform, name)?.clone(),
        };
        for _ in 0..MAX_DEPTH {
            let bytes = self.blob(&entry.digest, name)?.to_vec();
            let document = Document::parse(bytes, Some(&entry.media_type), name)?;
            let image = match &document.content {
                Content::Index(index) => {
                    entry = choose(index, platform, name)?.clone();
                    continue;
                }
                Content::Image(image) => image,
            };
            let config = self.blob(&image.config.digest, name)?.to_vec();
            let found = |layer: &Descriptor| self.stored(&member_name(&layer.digest), stored, name);
            let layers: Vec<Descriptor> = image.layers.iter().map(found).collect::<Result<_, _>>()?;
            let unchanged = layers.iter().zip(&image.layers).all(|(new, old)| new.digest == old.digest);
            let document = match unchanged {
                true => document,
                false => manifest(&config, &image.config.media_type, layers, image.annotations.clone(), name)?,
            };
            return Ok(Assembled { document, config });
        }
        Err(unusable(name, format!("its indexes are nested more than {MAX_DEPTH} deep")))
    }

    fn parse<T: serde::de::DeserializeOwned>(&self, file: &str, name: &str) -> Result<T, Error> {
        serde_json::from_slice(self.file(file, name)?).map_err(|error| unusable(name, format!("{file}: {error}")))
    }

    fn file(&self, file: &str, name: &str) -> Result<&[u8], Error> {
        self.files.get(file).map(Vec::as_slice).ok_or_else(|| unusable(name, format!("it has no `{file}`")))
    }

    fn blob(&self, digest: &Digest, name: &str) -> Result<&[u8], Error> {
        let bytes = self.file(&member_name(digest), name)?;
        let found = Digest::of(bytes);
        if found == *digest {
            return Ok(bytes);
        }
        let (expected, found) = (digest.to_string(), found.to_string());
        Err(Error::Corrupt { what: "a document".to_owned(), registry: name.to_owned(), expected, found })
    }

    /// A configuration, which has the digest that its name says, if that says one.
    fn config(&self, file: &str, name: &str) -> Result<&[u8], Error> {
        let bytes = self.file(file, name)?;
        match digest_of_name(file) {
            Some(expected) if expected != Digest::of(bytes) => {
                let (expected, found) = (expected.to_string(), Digest::of(bytes).to_string());
                Err(Error::Corrupt { what: "a configuration".to_owned(), registry: name.to_owned(), expected, found })
            }
            _ => Ok(bytes),
        }
    }

    fn stored(&self, member: &str, stored: &BTreeMap<String, Descriptor>, name: &str) -> Result<Descriptor, Error> {
        let linked = self.links.get(member).and_then(|target| normal(target));
        let found = stored.get(member).or_else(|| stored.get(linked.as_deref()?));
        found.cloned().ok_or_else(|| unusable(name, format!("it has no layer `{member}`")))
    }
}

fn manifest(
    config: &[u8],
    kind: &str,
    layers: Vec<Descriptor>,
    annotations: BTreeMap<String, String>,
    name: &str,
) -> Result<Document, Error> {
    // Where the old manifest was Docker's, the new one is not: its layers' media types are OCI's.
    let kind = if kind.starts_with("application/vnd.docker.") { media::CONFIG } else { kind };
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(media::MANIFEST.to_owned()),
        config: Descriptor::of(kind, config),
        layers,
        annotations,
    };
    Document::parse(canonical_json(&manifest), None, name)
}

fn member_name(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

fn unusable(name: &str, reason: String) -> Error {
    Error::Unusable { what: name.to_owned(), reason }
}

/// A member's name without `./`; `None` for what cannot be a file of an image.
pub(crate) fn normal(name: &str) -> Option<String> {
    let parts: Vec<_> = name.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    (!parts.is_empty() && !parts.contains(&"..")).then(|| parts.join("/"))
}

/// `blobs/sha256/HEX`, `HEX.json` and podman's `HEX.tar` say what they hold; Docker's layers before version 25 do not.
pub(crate) fn digest_of_name(name: &str) -> Option<Digest> {
    let hex = match name.strip_prefix("blobs/sha256/") {
        Some(hex) => hex,
        None => {
            let stem = name.strip_suffix(".tar").or_else(|| name.strip_suffix(".json"))?;
            Some(stem).filter(|stem| !stem.contains('/'))?
        }
    };
    format!("sha256:{hex}").parse().ok()
}
