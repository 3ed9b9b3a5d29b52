//! Calls of `pullImage` in Nix files, with the places of what pins them, so that it can be changed and nothing else.

use std::fs;
use std::path::{Path, PathBuf};

use syntax::{Ast, AttrSet, AttrValue, KeyName, Node, NodeId, Span};

use crate::error::Error;
use crate::pins::replace;

/// A call of `pullImage` whose image has a literal name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullSite {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// `imageName`.
    pub name: String,
    /// `finalImageTag`, the tag that the image is known by.
    pub tag: String,
    /// `os` and `arch`, where they are said.
    pub platform: (Option<String>, Option<String>),
    /// `imageDigest`.
    pub digest: Digest,
    /// `hash` or `sha256`: the hash of the archive.
    pub hash: Option<Span>,
    /// After `imageName = …;`, where a digest can be put in.
    insert_at: usize,
    /// What a new line begins with there.
    indent: String,
}

/// What a call says of the digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Digest {
    /// Nothing: it comes from the lock file.
    Absent,
    /// This text, at this place with its quotation marks.
    Literal(String, Span),
    /// An expression, which nobody but its author can change.
    Computed,
}

impl PullSite {
    /// The name in the lock file.
    pub fn key(&self) -> String {
        format!("{}:{}", self.name, self.tag)
    }

    /// The changes that give the call this digest and, if it has a hash, this one.
    pub fn edits(&self, digest: &str, hash: Option<&str>) -> Vec<Edit> {
        let mut edits = Vec::new();
        match &self.digest {
            Digest::Literal(_, span) => edits.push(Edit { span: *span, text: format!("\"{digest}\"") }),
            Digest::Absent => {
                let at = self.insert_at as u32;
                let text = format!("{}imageDigest = \"{digest}\";", self.indent);
                edits.push(Edit { span: Span::new(at, at), text });
            }
            Digest::Computed => {}
        }
        edits.extend(self.hash.zip(hash).map(|(span, hash)| Edit { span, text: format!("\"{hash}\"") }));
        edits
    }
}

/// A text in the place of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    span: Span,
    text: String,
}

/// Carries out changes of a file; all else in it stays byte for byte.
///
/// # Errors
/// The file cannot be read or written.
pub fn apply(file: &Path, mut edits: Vec<Edit>) -> Result<(), Error> {
    let mut text = fs::read(file).map_err(Error::io("read", file))?;
    edits.sort_by_key(|edit| std::cmp::Reverse(edit.span.start));
    for edit in edits {
        text.splice(edit.span.start as usize..edit.span.end as usize, edit.text.bytes());
    }
    replace(file, &text)
}

/// The calls in a Nix file, or in all below a directory but for hidden ones and results.
///
/// # Errors
/// Something cannot be read.
pub fn find(path: &Path) -> Result<Vec<PullSite>, Error> {
    if !path.is_dir() {
        let source = fs::read(path).map_err(Error::io("read", path))?;
        return Ok(in_source(path, &source));
    }
    let mut entries: Vec<_> = fs::read_dir(path)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
        .map_err(Error::io("list", path))?;
    entries.sort();
    let mut sites = Vec::new();
    for entry in entries {
        let name = entry.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // A link may lead anywhere, and to `result` at that.
        let is_wanted = !name.starts_with('.') && !entry.is_symlink();
        if is_wanted && (entry.is_dir() || name.ends_with(".nix")) {
            sites.extend(find(&entry)?);
        }
    }
    Ok(sites)
}

fn in_source(file: &Path, source: &[u8]) -> Vec<PullSite> {
    let parse = syntax::parse(source, syntax::Options::default());
    let ast = &parse.ast;
    let nodes = (0..ast.node_count() as u32).map(NodeId);
    let sets = nodes.filter_map(|id| match ast.node(id) {
        Node::Call(function, arguments) if is_pull_image(ast, function) => match ast.node(*ast.ids(arguments).first()?)
        {
            Node::Attrs(set) => Some(ast.set(set)),
            _ => None,
        },
        _ => None,
    });
    sets.filter_map(|set| site(file, source, ast, set)).collect()
}

fn is_pull_image(ast: &Ast, function: NodeId) -> bool {
    let name = match ast.node(function) {
        Node::Var(name) => name,
        Node::Select(_, path) => match ast.path(path).last().map(|key| key.name) {
            Some(KeyName::Static(name)) => name,
            _ => return false,
        },
        _ => return false,
    };
    ast.name(name) == b"pullImage"
}

fn site(file: &Path, source: &[u8], ast: &Ast, set: &AttrSet) -> Option<PullSite> {
    let value = |name: &[u8]| {
        let attr = set.attrs.iter().find(|attr| ast.name(attr.name) == name)?;
        Some((attr.span, attr.value))
    };
    let literal = |name: &[u8]| match value(name)?.1 {
        AttrValue::Expr(id) => match ast.node(id) {
            Node::Str(text) => Some((String::from_utf8_lossy(ast.text(text)).into_owned(), ast.span(id))),
            _ => None,
        },
        _ => None,
    };
    let (name, name_span) = literal(b"imageName")?;
    let tag = match value(b"finalImageTag") {
        None => "latest".to_owned(),
        Some(_) => literal(b"finalImageTag")?.0,
    };
    let digest = match (value(b"imageDigest"), literal(b"imageDigest")) {
        (None, _) => Digest::Absent,
        (Some(_), Some((text, span))) => Digest::Literal(text, span),
        (Some(_), None) => Digest::Computed,
    };
    let (start, end) = (value(b"imageName")?.0.start as usize, name_span.end as usize);
    let semicolon = source[end..].iter().position(|byte| *byte == b';')?;
    Some(PullSite {
        file: file.to_owned(),
        line: source[..start].iter().filter(|byte| **byte == b'\n').count() + 1,
        name,
        tag,
        platform: (literal(b"os").map(|(text, _)| text), literal(b"arch").map(|(text, _)| text)),
        digest,
        hash: literal(b"hash").or_else(|| literal(b"sha256")).map(|(_, span)| span),
        insert_at: end + semicolon + 1,
        indent: indent(&source[..start]),
    })
}

/// A line break and the white space before the last line's text; a space where something else is on the line.
fn indent(before: &[u8]) -> String {
    let line = before.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    match line.len() < before.len() && line.iter().all(u8::is_ascii_whitespace) {
        true => format!("\n{}", String::from_utf8_lossy(line)),
        false => " ".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = r#"{ pkgs, digests }: {
  # A comment that stays.
  one = pkgs.dockerTools.pullImage { imageName = "alpine"; finalImageTag = "3.20"; };
  two = pkgs.dockerTools.pullImage {
    imageName   =  "a/b" ; # with odd spaces
    imageDigest = "sha256:old";
    sha256 = "abc";  arch = "arm64";
  };
  three = pullImage { imageName = "c"; imageDigest = digests.c; };
  four = pullImage {
    imageName = "d";
  };
  five = pullImage { imageName = "e${"f"}"; };
}
"#;

    #[test]
    fn calls_are_found_and_only_their_pins_change() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("images.nix");
        fs::write(&file, SOURCE).unwrap();
        let sites = find(directory.path()).unwrap();
        let keys: Vec<_> = sites.iter().map(|site| (site.key(), site.line)).collect();
        let wanted = [("alpine:3.20", 3), ("a/b:latest", 5), ("c:latest", 9), ("d:latest", 11)];
        assert_eq!(keys, wanted.map(|(key, line)| (key.to_owned(), line)));
        assert_eq!(sites[2].digest, Digest::Computed);
        assert_eq!(sites[1].platform.1.as_deref(), Some("arm64"));
        let edits = sites.iter().flat_map(|site| site.edits("sha256:new", Some("sha256-x"))).collect();
        apply(&file, edits).unwrap();
        let expected = SOURCE
            .replace("\"alpine\";", "\"alpine\"; imageDigest = \"sha256:new\";")
            .replace("sha256:old", "sha256:new")
            .replace("\"abc\"", "\"sha256-x\"")
            .replace("\"d\";\n", "\"d\";\n    imageDigest = \"sha256:new\";\n");
        assert_eq!(fs::read_to_string(&file).unwrap(), expected);
    }
}
