//! The bytes that `skopeo copy … docker-archive:FILE:NAME:TAG` writes, for the hash that nixpkgs' `pullImage` takes.
//!
//! The format is the one of containers/image (`docker/internal/tarfile`): the layers without compression, the
//! configuration, an entry of the format before Docker 1.10 for each layer, `manifest.json` and `repositories`. Headers
//! are those of Go's `archive/tar`, JSON is as Go's `encoding/json` prints maps and structs.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::Path;

use build::BuiltinError;
use image::{Digest, Image, Layer, Selection};
use nix_formats::hash::{Hash, HashAlgo, HashWriter};
use serde_json::json;

use crate::reference::Reference;

const BLOCK: usize = 512;
/// The largest file whose size fits a header without an extension.
const LARGEST: u64 = 0o77_777_777_777;
/// The attributes of the configuration that the top layer's old-style entry has.
const INHERITED: [&str; 7] =
    ["architecture", "config", "container", "container_config", "created", "docker_version", "os"];

/// The flat SHA-256 of the archive of the image in `layout`, under `name:tag`.
///
/// # Errors
/// The layout cannot be read, or the name is not one.
/// The hash of the archive that skopeo would write of an OCI layout's one image, as Nix writes hashes (SRI): what
/// nixpkgs' `pullImage` takes.
///
/// # Errors
/// The layout cannot be read.
pub fn archive_hash(layout: &Path, name: &str, tag: &str) -> Result<String, BuiltinError> {
    Ok(hash(layout, name, tag)?.to_sri())
}

pub(crate) fn hash(layout: &Path, name: &str, tag: &str) -> Result<Hash, BuiltinError> {
    let image = Image::open_path(layout, layout, Selection::default())?;
    let reference: Reference = name.parse::<Reference>()?.with_tag(tag)?;
    let mut out = HashWriter::new(HashAlgo::Sha256, io::sink());
    write(&image, &reference, &mut out)?;
    Ok(out.finish().0)
}

fn write(image: &Image, reference: &Reference, out: &mut impl Write) -> Result<(), BuiltinError> {
    let mut written = BTreeSet::new();
    for layer in &image.layers {
        if written.insert(*layer.diff_id()) {
            write_layer(layer, out)?;
        }
    }
    let config_name = format!("{}.json", image.id().hex());
    write_file(&config_name, image.config_bytes(), out)?;
    let last = write_old_entries(image, out)?;
    let name = format!("{}/{}", reference.host(), reference.repository());
    let tag = reference.target();
    let layers: Vec<String> = image.layers.iter().map(file_name).collect();
    let manifest = json!([{ "Config": config_name, "RepoTags": [format!("{name}:{tag}")], "Layers": layers }]);
    write_file("manifest.json", manifest.to_string().as_bytes(), out)?;
    write_file("repositories", json!({ name: { tag: last } }).to_string().as_bytes(), out)?;
    out.write_all(&[0; 2 * BLOCK])?;
    Ok(())
}

fn file_name(layer: &Layer) -> String {
    format!("{}.tar", layer.diff_id().hex())
}

/// A layer's size without compression is known only after it was read once.
fn write_layer(layer: &Layer, out: &mut impl Write) -> Result<(), BuiltinError> {
    let (_, size, _) = layer.write_tar(image::Hashing::new(io::sink()))?.finish();
    out.write_all(&header(&file_name(layer), size, None)?)?;
    layer.write_tar(&mut *out)?;
    pad(size, out)?;
    Ok(())
}

fn write_file(name: &str, bytes: &[u8], out: &mut impl Write) -> io::Result<()> {
    let size = bytes.len() as u64;
    out.write_all(&header(name, size, None)?)?;
    out.write_all(bytes)?;
    pad(size, out)
}

fn pad(size: u64, out: &mut impl Write) -> io::Result<()> {
    let over = (size % BLOCK as u64) as usize;
    if over == 0 { Ok(()) } else { out.write_all(&[0; BLOCK][over..]) }
}

/// A directory for each layer; returns the last one's name. Its parts are in the order in which Go sorts map keys.
fn write_old_entries(image: &Image, out: &mut impl Write) -> Result<String, BuiltinError> {
    let mut chain: Option<String> = None;
    let mut parent = String::new();
    let mut written = BTreeSet::new();
    for (number, layer) in image.layers.iter().enumerate() {
        let diff_id = layer.diff_id().to_string();
        let chain_id = match &chain {
            None => diff_id,
            Some(above) => Digest::of(format!("{above} {diff_id}").as_bytes()).to_string(),
        };
        let mut entry = BTreeMap::new();
        if !parent.is_empty() {
            entry.insert("parent", format!("\"{parent}\""));
        }
        if number + 1 == image.layers.len() {
            let config = members(&compact(image.config_bytes()));
            entry.extend(INHERITED.map(|key| (key, config.get(key).cloned().unwrap_or_else(|| "null".to_owned()))));
        }
        entry.insert("layer_id", format!("\"{chain_id}\""));
        let id = Digest::of(object(&entry).as_bytes()).hex();
        entry.remove("layer_id");
        entry.insert("id", format!("\"{id}\""));
        if written.insert(id.clone()) {
            out.write_all(&header(&format!("{id}/layer.tar"), 0, Some(&format!("../{}", file_name(layer))))?)?;
            write_file(&format!("{id}/VERSION"), b"1.0", out)?;
            write_file(&format!("{id}/json"), object(&entry).as_bytes(), out)?;
        }
        chain = Some(chain_id);
        parent = id;
    }
    Ok(parent)
}

fn object(members: &BTreeMap<&str, String>) -> String {
    let members: Vec<String> = members.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
    format!("{{{}}}", members.join(","))
}

/// JSON without white space between its parts, and with the escapes that Go adds for HTML and JavaScript.
fn compact(text: &[u8]) -> String {
    let mut compacted = String::with_capacity(text.len());
    let (mut quoted, mut escaped) = (false, false);
    for character in String::from_utf8_lossy(text).chars() {
        match character {
            ' ' | '\t' | '\n' | '\r' if !quoted => {}
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => compacted.push_str(&format!("\\u{:04x}", character as u32)),
            other => compacted.push(other),
        }
        match character {
            '"' if !escaped => quoted = !quoted,
            _ => {}
        }
        escaped = quoted && character == '\\' && !escaped;
    }
    compacted
}

/// The members of a compact JSON object, each value as it is written.
fn members(object: &str) -> BTreeMap<String, String> {
    let inner = object.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or_default();
    let mut found = BTreeMap::new();
    let (mut start, mut depth, mut quoted, mut escaped) = (0, 0u32, false, false);
    let mut add = |member: &str| {
        // The names that are asked for have no escapes.
        if let Some((key, value)) = member.strip_prefix('"').and_then(|rest| rest.split_once("\":")) {
            found.insert(key.to_owned(), value.to_owned());
        }
    };
    for (at, byte) in inner.bytes().enumerate() {
        match byte {
            b'"' if !escaped => quoted = !quoted,
            b'{' | b'[' if !quoted => depth += 1,
            b'}' | b']' if !quoted => depth = depth.saturating_sub(1),
            b',' if !quoted && depth == 0 => {
                add(&inner[start..at]);
                start = at + 1;
            }
            _ => {}
        }
        escaped = quoted && byte == b'\\' && !escaped;
    }
    add(&inner[start..]);
    found
}

/// A USTAR header as Go writes it: no time, no owner; files have mode 0444, links none.
fn header(name: &str, size: u64, link: Option<&str>) -> io::Result<[u8; BLOCK]> {
    if size > LARGEST || name.len() > 100 || link.is_some_and(|link| link.len() > 100) {
        return Err(io::Error::other(format!("{name} is too large for the archive whose hash pullImage takes")));
    }
    let mut block = [0; BLOCK];
    let mut put = |at: usize, text: &str| block[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, name);
    put(100, if link.is_some() { "0000000" } else { "0000444" });
    put(108, "0000000");
    put(116, "0000000");
    put(124, &format!("{size:011o}"));
    put(136, "00000000000");
    put(148, "        ");
    put(156, if link.is_some() { "2" } else { "0" });
    put(157, link.unwrap_or_default());
    put(257, "ustar\u{0}00");
    put(329, "0000000");
    put(337, "0000000");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    Ok(block)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_as_go_compacts_it() {
        let text = br#"{ "a" : "x \" <y> , }" , "b": [ 1, {"c": 2} ],"d":null}"#;
        let compacted = compact(text);
        assert_eq!(compacted, r#"{"a":"x \" \u003cy\u003e , }","b":[1,{"c":2}],"d":null}"#);
        let members = members(&compacted);
        assert_eq!(members["a"], r#""x \" \u003cy\u003e , }""#);
        assert_eq!(members["b"], r#"[1,{"c":2}]"#);
        assert_eq!(members["d"], "null");
    }
}
