//! `builtin:oci-pull`: the derivation of `dockerTools.pullImage`. A digest pins every byte, so the output needs no other
//! hash; where one is given it is checked.

use std::path::Path;

use build::{Attributes, Builtin, BuiltinContext, BuiltinError};
use image::Digest;
use image::media::Platform;
use nix_formats::hash::{Hash, HashAlgo};

use crate::client::Client;
use crate::docker_archive;
use crate::reference::Reference;
use crate::settings::Settings;

/// The builder. Its output is an OCI layout with the one image of the platform.
pub struct OciPull {
    settings: Settings,
}

/// What a derivation asks for.
#[derive(Debug)]
struct Request {
    reference: Reference,
    platform: Platform,
    name: String,
    tag: String,
    verify_tls: bool,
    hash: Option<Hash>,
}

impl OciPull {
    /// A builder that pulls with these settings.
    pub fn new(settings: Settings) -> OciPull {
        OciPull { settings }
    }
}

impl Builtin for OciPull {
    fn name(&self) -> &str {
        "builtin:oci-pull"
    }

    fn build(&self, context: &BuiltinContext<'_>) -> Result<(), BuiltinError> {
        let request = Request::read(context.attributes)?;
        let output = context.output("out")?;
        let mut settings = self.settings.clone();
        if !request.verify_tls {
            settings.registries.insecure.insert(request.reference.host().to_owned());
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let client = Client::new(settings);
        let name = Some((request.name.as_str(), request.tag.as_str()));
        let pulled = runtime.block_on(client.pull(
            &request.reference,
            &request.platform,
            &output.real_path,
            name,
            context.progress,
        ))?;
        context.log(&format!("pulled {} ({}, {} bytes)", request.reference, pulled.manifest, pulled.bytes));
        match &request.hash {
            Some(expected) => request.check_archive(&output.real_path, expected),
            None => Ok(()),
        }
    }
}

impl Request {
    fn read(attributes: &Attributes) -> Result<Request, BuiltinError> {
        let image_name = attributes.required("imageName")?;
        let digest = attributes.required("imageDigest")?;
        let digest: Digest = digest.parse().map_err(|error| format!("imageDigest: {error}"))?;
        let reference: Reference = image_name.parse().map_err(|error| format!("imageName: {error}"))?;
        let platform = Platform {
            os: attributes.string("os")?.unwrap_or_else(|| "linux".to_owned()),
            architecture: match attributes.string("arch")? {
                Some(architecture) => architecture,
                None => image::media::architecture(std::env::consts::ARCH).to_owned(),
            },
            variant: attributes.string("variant")?.filter(|variant| !variant.is_empty()),
        };
        let hash = attributes.string("hash")?.filter(|hash| !hash.is_empty());
        let hash = hash.map(|text| parse_hash(&text)).transpose()?;
        Ok(Request {
            reference: reference.with_digest(digest),
            platform,
            name: attributes.string("finalImageName")?.unwrap_or(image_name),
            tag: attributes.string("finalImageTag")?.unwrap_or_else(|| "latest".to_owned()),
            verify_tls: attributes.boolean("tlsVerify")?.unwrap_or(true),
            hash,
        })
    }
}

impl Request {
    /// Holds the image to the hash that nixpkgs' `pullImage` takes: of the archive that skopeo would have written.
    fn check_archive(&self, layout: &Path, expected: &Hash) -> Result<(), BuiltinError> {
        let found = docker_archive::hash(layout, &self.name, &self.tag)?;
        if found == *expected {
            return Ok(());
        }
        std::fs::remove_dir_all(layout)?;
        let (name, expected, found) = (&self.reference, expected.to_sri(), found.to_sri());
        Err(format!(
            "the archive of {name} has another hash than pullImage gives: expected {expected}, got {found}; \
             the digest alone pins every byte, so the hash may be left out"
        )
        .into())
    }
}

fn parse_hash(text: &str) -> Result<Hash, BuiltinError> {
    let hash = Hash::parse(text, Some(HashAlgo::Sha256)).map_err(|error| format!("hash: {error}"))?;
    if hash.algo() != HashAlgo::Sha256 {
        return Err(format!("hash: `{text}` is not a SHA-256 hash, which pullImage takes").into());
    }
    Ok(hash)
}
