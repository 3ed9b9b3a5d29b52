//! Text → flake reference.

use super::url::{Url, decode, decode_query};
use super::{Attr, Attrs, FlakeRef, FlakeRefError, Reference, Scheme};
use crate::hash::Hash;

type Parsed<T> = Result<T, String>;

impl FlakeRef {
    /// Parses a reference, which must have no `#…` behind it; a plain path becomes one of type `path`, even a relative
    /// one.
    pub fn parse(text: &str) -> Result<Self, FlakeRefError> {
        let fail = |reason: String| FlakeRefError { text: text.to_owned(), reason };
        match Reference::parse(text)? {
            (_, fragment) if !fragment.is_empty() => {
                Err(fail(format!("nothing may follow it after a '#', but '{fragment}' does")))
            }
            (Reference::Flake(reference), _) => Ok(reference),
            (Reference::Path { path, query }, _) => {
                let mut attrs = path_attrs(&path);
                take_query(&mut attrs, query.into_iter(), PATH_QUERY).map_err(fail)?;
                Self::from_attrs(attrs)
            }
        }
    }
}

impl Reference {
    /// Parses what stands on a command line: a reference, and what follows it after a `#`, decoded (empty if nothing).
    pub fn parse(text: &str) -> Result<(Self, String), FlakeRefError> {
        let fail = |reason: String| FlakeRefError { text: text.to_owned(), reason };
        if let Some((attrs, fragment)) = parse_id(text) {
            let fragment = decode(fragment).map_err(|reason| fail(reason.to_owned()))?;
            return Ok((Self::Flake(FlakeRef::from_attrs(attrs)?), fragment));
        }
        if let Some(Ok(url)) = Url::parse(text) {
            let fragment = url.fragment.clone();
            let attrs = url_attrs(url).map_err(fail)?;
            return Ok((Self::Flake(FlakeRef::from_attrs(attrs).map_err(|error| fail(error.reason))?), fragment));
        }
        let (rest, fragment) = text.split_once('#').unwrap_or((text, ""));
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let decoded = decode(fragment).and_then(|fragment| Ok((fragment, decode_query(query)?)));
        let (fragment, query) = decoded.map_err(|reason| fail(reason.to_owned()))?;
        Ok((Self::Path { path: path.to_owned(), query }, fragment))
    }
}

/// `nixpkgs`, `nixpkgs/nixos-24.05`, `nixpkgs/nixos-24.05/<rev>`.
fn parse_id(text: &str) -> Option<(Attrs, &str)> {
    let (rest, fragment) = text.split_once('#').unwrap_or((text, ""));
    let mut parts = rest.splitn(2, '/');
    let id = parts.next()?;
    let mut attrs = Attrs::from([("type".to_owned(), "indirect".into()), ("id".to_owned(), id.into())]);
    if !is_id(id) {
        return None;
    }
    if let Some(rest) = parts.next() {
        put_ref_and_rev(&mut attrs, rest)?;
    }
    Some((attrs, fragment))
}

/// `<ref>`, `<rev>` or `<ref>/<rev>`.
fn put_ref_and_rev(attrs: &mut Attrs, text: &str) -> Option<()> {
    let (reference, rev) = match text.rsplit_once('/') {
        _ if is_rev(text) => (None, Some(text)),
        Some((reference, rev)) if is_rev(rev) => (Some(reference), Some(rev)),
        _ => (Some(text), None),
    };
    if reference.is_some_and(|reference| !is_ref_name(reference)) {
        return None;
    }
    attrs.extend(reference.map(|reference| ("ref".to_owned(), reference.into())));
    attrs.extend(rev.map(|rev| ("rev".to_owned(), rev.into())));
    Some(())
}

/// The parameters of a query that are attributes, and how their values are read.
type QueryAttrs = &'static [(&'static str, Value)];

#[derive(Clone, Copy)]
enum Value {
    Text,
    Number,
    Flag,
}

const PATH_QUERY: QueryAttrs = &[
    ("rev", Value::Text),
    ("narHash", Value::Text),
    ("revCount", Value::Number),
    ("lastModified", Value::Number),
    ("dir", Value::Text),
];

const GIT_QUERY: QueryAttrs = &[
    ("rev", Value::Text),
    ("ref", Value::Text),
    ("dir", Value::Text),
    ("keytype", Value::Text),
    ("publicKey", Value::Text),
    ("publicKeys", Value::Text),
    ("shallow", Value::Flag),
    ("submodules", Value::Flag),
    ("lfs", Value::Flag),
    ("exportIgnore", Value::Flag),
    ("allRefs", Value::Flag),
    ("verifyCommit", Value::Flag),
];

const MERCURIAL_QUERY: QueryAttrs = &[("rev", Value::Text), ("ref", Value::Text), ("dir", Value::Text)];

const FORGE_QUERY: QueryAttrs = &[
    ("rev", Value::Text),
    ("ref", Value::Text),
    ("host", Value::Text),
    ("narHash", Value::Text),
    ("dir", Value::Text),
];

const FILE_QUERY: QueryAttrs = &[
    ("narHash", Value::Text),
    ("rev", Value::Text),
    ("revCount", Value::Number),
    ("lastModified", Value::Number),
    ("dir", Value::Text),
];

fn url_attrs(mut url: Url) -> Parsed<Attrs> {
    let (application, transport) = match url.scheme.split_once('+') {
        Some((application, transport)) => (Some(application.to_owned()), transport.to_owned()),
        None => (None, url.scheme.clone()),
    };
    url.fragment.clear();
    match (application.as_deref(), transport.as_str()) {
        (None, "path") => path_url(url),
        (None, "flake") => flake_url(&url),
        (None, "github" | "gitlab" | "sourcehut") => forge_url(url),
        (None, "git") | (Some("git"), _) => repository_url(url, "git", &transport, GIT_QUERY),
        (Some("hg"), _) => repository_url(url, "hg", &transport, MERCURIAL_QUERY),
        (Some("tarball"), "http" | "https" | "file") => file_url(url, "tarball", &transport),
        (Some("file"), "http" | "https" | "file") => file_url(url, "file", &transport),
        (None, "http" | "https" | "file") => file_url(url, "tarball", &transport),
        (Some("file"), "git") => Err("its scheme is not supported; did you mean 'git+file'?".to_owned()),
        _ => Err(format!("the scheme '{}' is not supported", url.scheme)),
    }
}

fn path_attrs(path: &str) -> Attrs {
    Attrs::from([("type".to_owned(), "path".into()), ("path".to_owned(), path.into())])
}

fn path_url(url: Url) -> Parsed<Attrs> {
    if url.authority.as_deref().is_some_and(|host| !host.is_empty()) {
        return Err("a path has no host; write 'path:/…'".to_owned());
    }
    let mut attrs = path_attrs(&url.path());
    take_query(&mut attrs, url.query.into_iter(), PATH_QUERY)?;
    Ok(attrs)
}

fn flake_url(url: &Url) -> Parsed<Attrs> {
    let segments = url.full_segments();
    let Some((id, rest)) = segments.split_first().filter(|(_, rest)| rest.len() <= 2) else {
        return Err("expected 'flake:ID', 'flake:ID/REF' or 'flake:ID/REF/REV'".to_owned());
    };
    let mut attrs = Attrs::from([("type".to_owned(), "indirect".into()), ("id".to_owned(), (*id).into())]);
    let named = match rest {
        [] => Some(()),
        [_, rev] if !is_rev(rev) => None,
        _ => put_ref_and_rev(&mut attrs, &rest.join("/")),
    };
    named.ok_or("what follows the name is neither a branch or tag nor a commit hash")?;
    if let Some(directory) = url.query.get("dir").filter(|directory| !directory.is_empty()) {
        attrs.insert("dir".to_owned(), directory.as_str().into());
    }
    Ok(attrs)
}

fn forge_url(url: Url) -> Parsed<Attrs> {
    let segments = url.full_segments();
    let [owner, repo, rest @ ..] = segments.as_slice() else {
        return Err(format!("expected '{}:OWNER/REPO'", url.scheme));
    };
    let mut attrs = Attrs::from([
        ("type".to_owned(), url.scheme.as_str().into()),
        ("owner".to_owned(), (*owner).into()),
        ("repo".to_owned(), (*repo).into()),
    ]);
    match rest {
        [] => {}
        [rev] if is_rev(rev) => {
            attrs.insert("rev".to_owned(), (*rev).into());
        }
        _ => {
            attrs.insert("ref".to_owned(), rest.join("/").into());
        }
    }
    for name in ["rev", "ref"] {
        if attrs.contains_key(name) && url.query.contains_key(name) {
            return Err(format!("it has the parameter '{name}' although its path names one already"));
        }
    }
    // Nix looks at the parameters that it knows, and at no others: `?submodules=1` is often seen, and means nothing here.
    let known = url.query.into_iter().filter(|(name, _)| FORGE_QUERY.iter().any(|(known, _)| known == name));
    take_query(&mut attrs, known, FORGE_QUERY)?;
    Ok(attrs)
}

fn repository_url(mut url: Url, kind: &str, transport: &str, known: QueryAttrs) -> Parsed<Attrs> {
    let (ours, theirs) = url.query.into_iter().partition(|(name, _)| known.iter().any(|(known, _)| known == name));
    url.query = theirs;
    transport.clone_into(&mut url.scheme);
    let mut attrs = Attrs::from([("type".to_owned(), kind.into()), ("url".to_owned(), url.to_string().into())]);
    take_query(&mut attrs, ours.into_iter(), known)?;
    Ok(attrs)
}

fn file_url(mut url: Url, kind: &str, transport: &str) -> Parsed<Attrs> {
    let known = FILE_QUERY;
    let (ours, theirs) = url.query.into_iter().partition(|(name, _)| known.iter().any(|(known, _)| known == name));
    url.query = theirs;
    transport.clone_into(&mut url.scheme);
    let mut attrs = Attrs::from([("type".to_owned(), kind.into()), ("url".to_owned(), url.to_string().into())]);
    take_query(&mut attrs, ours.into_iter(), known)?;
    Ok(attrs)
}

fn take_query(attrs: &mut Attrs, query: impl Iterator<Item = (String, String)>, known: &[(&str, Value)]) -> Parsed<()> {
    for (name, value) in query {
        let Some((_, kind)) = known.iter().find(|(known, _)| *known == name) else {
            return Err(format!("the parameter '{name}' is not supported here"));
        };
        let value = match kind {
            Value::Text => Attr::String(value),
            Value::Flag => Attr::Bool(value == "1"),
            Value::Number => Attr::Int(value.parse().map_err(|_| format!("the parameter '{name}' must be a number"))?),
        };
        if !(name == "dir" && value == Attr::String(String::new())) {
            attrs.insert(name, value);
        }
    }
    Ok(())
}

/// Checks the values that have a syntax of their own.
pub(super) fn check_values(scheme: Scheme, attrs: &Attrs) -> Parsed<()> {
    let text = |name: &str| match attrs.get(name) {
        Some(Attr::String(text)) => Ok(Some(text.as_str())),
        Some(_) => Err(format!("the attribute '{name}' must be a text")),
        None => Ok(None),
    };
    if let Some(rev) = text("rev")?
        && !is_rev(rev)
    {
        return Err(format!("'{rev}' is not a commit hash (40 or 64 digits of base 16)"));
    }
    if let Some(name) = text("ref")?
        && !is_ref_name(name)
    {
        return Err(format!("'{name}' is not a branch or tag name"));
    }
    if let Some(hash) = text("narHash")? {
        Hash::parse(hash, None).map_err(|error| error.to_string())?;
    }
    if text("dir")?.is_some_and(|dir| dir.starts_with('/') || dir.split('/').any(|part| part == "..")) {
        return Err("the directory must be inside the tree".to_owned());
    }
    match scheme {
        Scheme::GitHub | Scheme::GitLab | Scheme::SourceHut => {
            if text("ref")?.is_some() && text("rev")?.is_some() {
                return Err("it has both a commit hash and a branch or tag name".to_owned());
            }
            let is_host_byte = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':');
            if text("host")?.is_some_and(|host| !host.bytes().all(is_host_byte)) {
                return Err("its host is malformed".to_owned());
            }
        }
        Scheme::Indirect if !text("id")?.is_some_and(is_id) => {
            return Err("a flake's name starts with a letter and has only letters, digits, '_' and '-'".to_owned());
        }
        _ => {}
    }
    Ok(())
}

fn is_id(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

/// A commit hash of git: SHA-1, or SHA-256.
fn is_rev(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// What git takes as the name of a branch or a tag, as far as it matters in a URL and a command line.
fn is_ref_name(name: &str) -> bool {
    let forbidden = [' ', '~', '^', ':', '?', '*', '[', '\\'];
    !name.is_empty()
        && name != "@"
        && !name.starts_with(['-', '/'])
        && !name.ends_with(['/', '.'])
        && !name.contains("..")
        && !name.contains("//")
        && !name.contains("@{")
        && !name.contains(forbidden)
        && !name.contains(char::is_control)
        && !name.split('/').any(|part| part.starts_with('.') || part.ends_with(".lock"))
}
