//! URLs as flake references use them: a scheme, a path whose slashes tell segments, and a query of single values.
//!
//! The generic syntax is RFC 3986; as in Nix, blanks and quotes may stand unescaped in a query.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

/// A parsed URL; path, query and fragment are decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Url {
    pub scheme: String,
    /// What is between `//` and the path, as it stands.
    pub authority: Option<String>,
    pub segments: Vec<String>,
    pub query: BTreeMap<String, String>,
    pub fragment: String,
}

impl Url {
    /// `None` if the text has no scheme; an error if what follows one is malformed.
    pub fn parse(text: &str) -> Option<Result<Self, &'static str>> {
        let (scheme, rest) = text.split_once(':')?;
        let mut bytes = scheme.bytes();
        let starts_well = bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic());
        if !starts_well || !bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')) {
            return None;
        }
        Some(Self::parse_rest(scheme, rest))
    }

    fn parse_rest(scheme: &str, rest: &str) -> Result<Self, &'static str> {
        let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = match rest.strip_prefix("//") {
            None => (None, rest),
            Some(rest) => {
                let end = rest.find('/').unwrap_or(rest.len());
                (Some(rest[..end].to_owned()), &rest[end..])
            }
        };
        if authority.as_deref().is_some_and(|host| host.contains([' ', '<', '>', '"'])) {
            return Err("its host is malformed");
        }
        let segments = path.split('/').map(|segment| {
            if segment.contains([' ', '"', '<', '>', '^', '`', '{', '|', '}']) {
                return Err("its path contains a character that must be escaped with '%'");
            }
            decode(segment)
        });
        Ok(Self {
            scheme: scheme.to_owned(),
            authority,
            segments: segments.collect::<Result<_, _>>()?,
            query: decode_query(query)?,
            fragment: decode(fragment)?,
        })
    }

    /// The path with its segments as they are.
    pub fn path(&self) -> String {
        self.segments.join("/")
    }

    /// The segments that are not empty.
    pub fn full_segments(&self) -> Vec<&str> {
        self.segments.iter().map(String::as_str).filter(|segment| !segment.is_empty()).collect()
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.scheme)?;
        if let Some(authority) = &self.authority {
            write!(f, "//{authority}")?;
        }
        for (index, segment) in self.segments.iter().enumerate() {
            if index > 0 {
                f.write_char('/')?;
            }
            encode(f, segment, b":@")?;
        }
        for (index, (name, value)) in self.query.iter().enumerate() {
            f.write_char(if index == 0 { '?' } else { '&' })?;
            encode(f, name, b":@/?")?;
            f.write_char('=')?;
            encode(f, value, b":@/?")?;
        }
        if !self.fragment.is_empty() {
            f.write_char('#')?;
            encode(f, &self.fragment, b"")?;
        }
        Ok(())
    }
}

/// A query's parameters; one without a value is passed over, of several of a name the first counts.
pub(super) fn decode_query(query: &str) -> Result<BTreeMap<String, String>, &'static str> {
    let mut decoded = BTreeMap::new();
    for (name, value) in query.split('&').filter_map(|parameter| parameter.split_once('=')) {
        decoded.entry(decode(name)?).or_insert(decode(value)?);
    }
    Ok(decoded)
}

pub(super) fn decode(text: &str) -> Result<String, &'static str> {
    if !text.contains('%') {
        return Ok(text.to_owned());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        if byte != b'%' {
            bytes.push(byte);
            rest = after;
            continue;
        }
        let mut decoded = [0];
        let digits = after.get(..2).ok_or("a '%' in it is not followed by two digits")?;
        hex::decode_to_slice(digits, &mut decoded).map_err(|_| "a '%' in it is not followed by two digits")?;
        bytes.push(decoded[0]);
        rest = &after[2..];
    }
    String::from_utf8(bytes).map_err(|_| "its escaped bytes are not UTF-8")
}

/// A path as it stands in a URL.
pub(super) fn encoded_path(path: &str) -> String {
    let mut encoded = String::with_capacity(path.len());
    // Writing to a text cannot fail.
    let _ = encode(&mut encoded, path, b"/:@");
    encoded
}

fn encode(out: &mut impl fmt::Write, text: &str, keep: &[u8]) -> fmt::Result {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || keep.contains(&byte) {
            out.write_char(byte as char)?;
        } else {
            write!(out, "%{byte:02X}")?;
        }
    }
    Ok(())
}
