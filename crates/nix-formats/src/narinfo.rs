//! `.narinfo` files: what a binary cache says of an object.

use std::collections::BTreeSet;
use std::fmt;

use thiserror::Error;

use crate::content_address::ContentAddress;
use crate::hash::Hash;
use crate::signature::{PublicKey, fingerprint};
use crate::store_path::StorePath;

/// How the NAR of a binary cache is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// bzip2, which is also meant where a narinfo does not say.
    Bzip2,
    /// gzip.
    Gzip,
    /// xz.
    Xz,
    /// Zstandard.
    Zstd,
    /// Brotli.
    Brotli,
}

impl Compression {
    /// Every compression.
    pub const ALL: [Self; 6] = [Self::None, Self::Bzip2, Self::Gzip, Self::Xz, Self::Zstd, Self::Brotli];

    /// The name in a narinfo: `none`, `bzip2`, `gzip`, `xz`, `zstd`, `br`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Bzip2 => "bzip2",
            Self::Gzip => "gzip",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
            Self::Brotli => "br",
        }
    }
}

/// Why a text is no narinfo.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the narinfo is malformed{}: {reason}", if *.line == 0 { String::new() } else { format!(" at line {line}") })]
pub struct NarInfoError {
    /// The line, counted from 1; 0 where it is the whole.
    pub line: usize,
    /// What is wrong.
    pub reason: String,
}

/// What a narinfo says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NarInfo {
    /// The object's path.
    pub path: StorePath,
    /// Where the compressed NAR is, relative to the cache.
    pub url: String,
    /// How it is compressed.
    pub compression: Compression,
    /// Hash of the compressed file.
    pub file_hash: Option<Hash>,
    /// Size of the compressed file, in bytes.
    pub file_size: Option<u64>,
    /// SHA-256 of the NAR.
    pub nar_hash: Hash,
    /// Size of the NAR, in bytes; not zero.
    pub nar_size: u64,
    /// What the object refers to.
    pub references: BTreeSet<StorePath>,
    /// The derivation that made it.
    pub deriver: Option<StorePath>,
    /// Signatures as `name:base64`.
    pub signatures: BTreeSet<String>,
    /// The claim that the path follows from the content.
    pub content_address: Option<ContentAddress>,
}

impl NarInfo {
    /// Parses a narinfo. Fields that are not known are passed over, as newer caches may have more.
    pub fn parse(text: &str) -> Result<Self, NarInfoError> {
        let mut fields = Fields::default();
        for (index, line) in text.lines().enumerate() {
            let read = match line.split_once(": ").or_else(|| line.strip_suffix(':').map(|name| (name, ""))) {
                Some((name, value)) => fields.read(name, value),
                None => Err("expected a name, a colon and a value".to_owned()),
            };
            read.map_err(|reason| NarInfoError { line: index + 1, reason })?;
        }
        fields.finish().map_err(|field| NarInfoError { line: 0, reason: format!("the field {field} is missing") })
    }

    /// What its signatures sign.
    pub fn fingerprint(&self) -> String {
        fingerprint(&self.path, &self.nar_hash, self.nar_size, &self.references)
    }

    /// Has one of these keys signed it?
    pub fn is_signed_by(&self, keys: &[PublicKey]) -> bool {
        let fingerprint = self.fingerprint();
        self.signatures.iter().any(|signature| keys.iter().any(|key| key.verify(fingerprint.as_bytes(), signature)))
    }
}

/// Prints the narinfo, in the order in which Nix prints it.
impl fmt::Display for NarInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "StorePath: {}", self.path)?;
        writeln!(f, "URL: {}", self.url)?;
        writeln!(f, "Compression: {}", self.compression.name())?;
        if let Some(hash) = &self.file_hash {
            writeln!(f, "FileHash: {}", hash.to_prefixed_nix32())?;
        }
        if let Some(size) = self.file_size {
            writeln!(f, "FileSize: {size}")?;
        }
        writeln!(f, "NarHash: {}", self.nar_hash.to_prefixed_nix32())?;
        writeln!(f, "NarSize: {}", self.nar_size)?;
        let references: Vec<&str> = self.references.iter().map(StorePath::base_name).collect();
        writeln!(f, "References: {}", references.join(" "))?;
        if let Some(deriver) = &self.deriver {
            writeln!(f, "Deriver: {}", deriver.base_name())?;
        }
        for signature in &self.signatures {
            writeln!(f, "Sig: {signature}")?;
        }
        if let Some(address) = &self.content_address {
            writeln!(f, "CA: {address}")?;
        }
        Ok(())
    }
}

#[derive(Default)]
struct Fields {
    path: Option<StorePath>,
    url: Option<String>,
    compression: Option<Compression>,
    file_hash: Option<Hash>,
    file_size: Option<u64>,
    nar_hash: Option<Hash>,
    nar_size: Option<u64>,
    references: Option<BTreeSet<StorePath>>,
    deriver: Option<StorePath>,
    signatures: BTreeSet<String>,
    content_address: Option<ContentAddress>,
}

impl Fields {
    fn read(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "StorePath" => once(&mut self.path, name, parse(StorePath::from_absolute(value))?),
            "URL" if value.is_empty() => Err("the URL is empty".to_owned()),
            // A line may end in a carriage return or not, so that what ends in one more would not be read as it is printed.
            "URL" | "Sig" if value.contains(char::is_control) => Err("there is a control character in it".to_owned()),
            "URL" => once(&mut self.url, name, value.to_owned()),
            "Compression" => once(&mut self.compression, name, parse_compression(value)?),
            "FileHash" => once(&mut self.file_hash, name, parse(Hash::parse(value, None))?),
            "FileSize" => once(&mut self.file_size, name, parse(value.parse())?),
            "NarHash" => once(&mut self.nar_hash, name, parse(Hash::parse(value, None))?),
            "NarSize" => once(&mut self.nar_size, name, parse(value.parse())?),
            "References" => {
                let references = value.split_ascii_whitespace().map(StorePath::from_base_name);
                once(&mut self.references, name, parse(references.collect())?)
            }
            "Deriver" if value == "unknown-deriver" || value.is_empty() => Ok(()),
            "Deriver" => once(&mut self.deriver, name, parse(StorePath::from_base_name(value))?),
            "Sig" => {
                self.signatures.insert(value.to_owned());
                Ok(())
            }
            "CA" if value.is_empty() => Ok(()),
            "CA" => once(&mut self.content_address, name, parse(ContentAddress::parse(value))?),
            _ => Ok(()),
        }
    }

    fn finish(self) -> Result<NarInfo, &'static str> {
        Ok(NarInfo {
            path: self.path.ok_or("StorePath")?,
            url: self.url.ok_or("URL")?,
            compression: self.compression.unwrap_or(Compression::Bzip2),
            file_hash: self.file_hash,
            file_size: self.file_size,
            nar_hash: self.nar_hash.ok_or("NarHash")?,
            nar_size: self.nar_size.filter(|size| *size != 0).ok_or("NarSize")?,
            references: self.references.unwrap_or_default(),
            deriver: self.deriver,
            signatures: self.signatures,
            content_address: self.content_address,
        })
    }
}

fn parse<T, E: fmt::Display>(parsed: Result<T, E>) -> Result<T, String> {
    parsed.map_err(|error| error.to_string())
}

fn once<T>(field: &mut Option<T>, name: &str, value: T) -> Result<(), String> {
    if field.replace(value).is_some() { Err(format!("the field {name} is there twice")) } else { Ok(()) }
}

fn parse_compression(name: &str) -> Result<Compression, String> {
    if name.is_empty() {
        return Ok(Compression::Bzip2);
    }
    let known = Compression::ALL.into_iter().find(|compression| compression.name() == name);
    known.ok_or_else(|| format!("the compression '{name}' is not supported"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = "\
StorePath: /nix/store/syd87l2rxw8cbsxmxl853h0r6pdwhwjr-curl-7.82.0-bin
URL: nar/05ra3y72i3qjri7xskf9qj8kb29r6naqy1sqpbs3azi3xcigmj56.nar.xz
Compression: xz
FileHash: sha256:05ra3y72i3qjri7xskf9qj8kb29r6naqy1sqpbs3azi3xcigmj56
FileSize: 68852
NarHash: sha256:1b4sb93wp679q4zx9k1ignby1yna3z7c4c2ri3wphylbc2dwsys0
NarSize: 196040
References: 0jqd0rlxzra1rs38rdxl43yh6rxchgc6-curl-7.82.0 6w8g7njm4mck5dmjxws0z1xnrxvl81xa-glibc-2.34-115
Deriver: 5lfdp8bqc1xkqvqjvhqc9yqc4lrd5d9w-curl-7.82.0.drv
Sig: cache.example.org-1:AAAA
";

    #[test]
    fn it_prints_as_it_was() {
        assert_eq!(NarInfo::parse(SAMPLE).unwrap().to_string(), SAMPLE);
    }

    #[test]
    fn a_signature_is_of_what_the_narinfo_says() {
        let secret = crate::signature::SecretKey::from_seed("cache.example.org-1", &[1; 32]);
        let mut info = NarInfo::parse(SAMPLE).unwrap();
        info.signatures.insert(secret.sign(info.fingerprint().as_bytes()));
        let keys = [secret.public_key()];
        assert!(info.is_signed_by(&keys));
        info.nar_size += 1;
        assert!(!info.is_signed_by(&keys));
    }

    #[test]
    fn malformed_ones_are_refused() {
        for (from, to, reason) in [
            ("NarSize: 196040", "NarSize: 0", "NarSize is missing"),
            ("NarSize: 196040", "NarSize: -1", "line 7"),
            ("URL: ", "URI: ", "URL is missing"),
            ("URL: ", "URL: x\r\r", "line 2"),
            ("Compression: xz", "Compression: rar", "not supported"),
            ("Compression: xz", "no colon", "line 3"),
            ("Deriver: ", "NarSize: 1\nDeriver: ", "twice"),
            ("References: 0jqd", "References: /nix/store/0jqd", "line 8"),
        ] {
            let error = NarInfo::parse(&SAMPLE.replacen(from, to, 1)).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
