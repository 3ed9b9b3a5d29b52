//! Names of images at registries, as every container tool writes them: `[docker://][host[:port]/]repository[:tag][@digest]`.
//!
//! The rules for what is a host and what `docker.io` and `library/` mean are those of the `distribution/reference` package.

use std::fmt;
use std::str::FromStr;

use image::Digest;

/// The registry that a name without a host means.
const DEFAULT_HOST: &str = "docker.io";
/// The namespace of names without one there.
const DEFAULT_NAMESPACE: &str = "library";

/// An image at a registry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    host: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// A text that is no reference, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an image reference: {reason}")]
pub struct InvalidReference {
    text: String,
    reason: String,
}

impl Reference {
    /// The registry's host with its port, such as `docker.io` or `localhost:5000`.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The repository's whole name at the registry, such as `library/alpine`.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag that was given.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest that was given.
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// What to ask the registry for: the digest, else the tag, else `latest`.
    pub fn target(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.clone(),
            (None, None) => "latest".to_owned(),
        }
    }

    /// The same repository, by digest and nothing else.
    #[must_use]
    pub fn with_digest(&self, digest: Digest) -> Reference {
        Reference { tag: None, digest: Some(digest), ..self.clone() }
    }

    /// The same repository, by tag and nothing else.
    ///
    /// # Errors
    /// If `tag` is not one.
    pub fn with_tag(&self, tag: &str) -> Result<Reference, InvalidReference> {
        check_tag(tag).map_err(|reason| InvalidReference { text: tag.to_owned(), reason })?;
        Ok(Reference { tag: Some(tag.to_owned()), digest: None, ..self.clone() })
    }

    /// Whether two references are in the same registry.
    pub fn same_registry(&self, other: &Reference) -> bool {
        self.host == other.host
    }
}

impl FromStr for Reference {
    type Err = InvalidReference;

    fn from_str(text: &str) -> Result<Reference, InvalidReference> {
        parse(text.trim_start_matches("docker://"))
            .map_err(|reason| InvalidReference { text: text.chars().take(300).collect(), reason })
    }
}

fn parse(text: &str) -> Result<Reference, String> {
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest.parse::<Digest>().map_err(|error| error.to_string())?)),
        None => (text, None),
    };
    let name_end = rest.rfind('/').map_or(0, |slash| slash + 1);
    let (name, tag) = match rest[name_end..].split_once(':') {
        Some((last, tag)) => (&rest[..name_end + last.len()], Some(tag)),
        None => (rest, None),
    };
    if let Some(tag) = tag {
        check_tag(tag)?;
    }
    let is_host = |first: &str| first.contains(['.', ':']) || first == "localhost";
    let (host, path) = match name.split_once('/') {
        Some((first, path)) if is_host(first) => (first, path),
        _ => (DEFAULT_HOST, name),
    };
    let host = if matches!(host, "index.docker.io" | "registry-1.docker.io") { DEFAULT_HOST } else { host };
    check_host(host)?;
    let repository = if host == DEFAULT_HOST && !path.contains('/') {
        format!("{DEFAULT_NAMESPACE}/{path}")
    } else {
        path.to_owned()
    };
    if path.is_empty() || !repository.split('/').all(is_component) || repository.len() > 255 {
        return Err(
            "a repository is lower-case letters and digits in components between `/`, with `.`, `_` or `-` inside"
                .into(),
        );
    }
    Ok(Reference { host: host.to_owned(), repository, tag: tag.map(str::to_owned), digest })
}

fn check_host(host: &str) -> Result<(), String> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':' | b'[' | b']');
    let first = host.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric() || b == b'[');
    if first && host.bytes().all(allowed) && url::Url::parse(&format!("http://{host}/")).is_ok() {
        Ok(())
    } else {
        Err(format!("`{host}` is not a host"))
    }
}

fn check_tag(tag: &str) -> Result<(), String> {
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    let first = tag.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_');
    if first && tag.len() <= 128 && tag.bytes().all(inner) {
        Ok(())
    } else {
        Err("a tag is at most 128 letters, digits, `_`, `.` and `-`, and does not start with `.` or `-`".into())
    }
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_component(text: &str) -> bool {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let ends = [text.bytes().next(), text.bytes().last()];
    ends.iter().all(|b| b.is_some_and(alphanumeric))
        && text
            .split(|c: char| c.is_ascii() && alphanumeric(c as u8))
            .all(|separator| matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|b| b == b'-'))
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        match &self.digest {
            Some(digest) => write!(f, "@{digest}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_mean_what_docker_says_they_mean() {
        let digest = Digest::of(b"");
        for (text, printed, target) in [
            ("alpine", "docker.io/library/alpine".to_owned(), "latest".to_owned()),
            ("docker://gitea/gitea:1.20", "docker.io/gitea/gitea:1.20".into(), "1.20".into()),
            ("index.docker.io/alpine:3", "docker.io/library/alpine:3".into(), "3".into()),
            ("localhost/a", "localhost/a".into(), "latest".into()),
            ("localhost:5000/a/b:c", "localhost:5000/a/b:c".into(), "c".into()),
            ("127.0.0.1:5000/a", "127.0.0.1:5000/a".into(), "latest".into()),
            ("quay.io/org/x_y__z-1", "quay.io/org/x_y__z-1".into(), "latest".into()),
            (&format!("x.y/a:t@{digest}"), format!("x.y/a:t@{digest}"), digest.to_string()),
            ("[::1]:5000/a", "[::1]:5000/a".into(), "latest".into()),
        ] {
            let parsed: Reference = text.parse().unwrap();
            assert_eq!((parsed.to_string(), parsed.target()), (printed, target), "{text}");
        }
    }

    #[test]
    fn what_is_no_reference_is_refused() {
        for text in [
            "",
            ":",
            "a:",
            "A",
            "a//b",
            "../a",
            "localhost:5000/",
            "a@sha256:12",
            "a@md5:00",
            "a:b:c",
            "x.y/A",
            "a b",
            "x.y/a?b",
            "https://x.y/a",
            "x.y:port/a",
            "a:.b",
        ] {
            assert!(text.parse::<Reference>().is_err(), "{text}");
        }
    }
}
