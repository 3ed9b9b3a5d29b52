//! What the user names on the command line: a file, a directory, a flake's output, an expression.

use std::path::{Path, PathBuf};

use crate::error::Error;

/// Where an expression comes from, and which part of its value is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Where the expression comes from.
    pub source: Source,
    /// The attributes to go down, as `[ "services" "web" ]`; for a flake these come after its usual prefixes, unless the
    /// first is empty: then they are whole.
    pub attributes: Vec<String>,
}

/// Where an expression comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file with an expression; an absolute path.
    File(PathBuf),
    /// A flake reference, as `.` or `git+file:///src`, and the directory against which it is understood.
    Flake {
        /// The reference without its fragment.
        reference: String,
    },
    /// The text of an expression, and the directory to which its paths are relative.
    Text(String),
}

impl Target {
    /// The target in a few words, for progress and messages.
    pub fn describe(&self) -> String {
        let source = match &self.source {
            Source::File(file) => file.display().to_string(),
            Source::Flake { reference } => without_password(reference),
            Source::Text(_) => "the expression".to_owned(),
        };
        match (&self.source, self.attributes.is_empty()) {
            (_, true) => source,
            (Source::Flake { .. }, false) => format!("{source}#{}", self.attributes.join(".")),
            _ => format!("{} of {source}", self.attributes.join(".")),
        }
    }
}

/// A reference as it was given, but for a password in its address.
fn without_password(reference: &str) -> String {
    let Some((scheme, rest)) = reference.split_once("://") else { return reference.to_owned() };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    match authority.rsplit_once('@').and_then(|(user, host)| Some((user.split_once(':')?.0, host))) {
        Some((user, host)) => format!("{scheme}://{user}@{host}{path}"),
        None => reference.to_owned(),
    }
}

/// The pieces of a command line that say what is meant.
#[derive(Clone, Debug, Default)]
pub struct Named {
    /// The positional argument.
    pub positional: Option<String>,
    /// `--file`.
    pub file: Option<PathBuf>,
    /// `--expr`.
    pub expression: Option<String>,
    /// `--attr`.
    pub attribute: Option<String>,
}

impl Named {
    /// Finds out what is meant. `directory` is the current directory, an absolute path.
    ///
    /// # Errors
    /// Nothing is there, or the pieces contradict each other.
    pub fn resolve(&self, directory: &Path) -> Result<Target, Error> {
        let mut attributes = Vec::new();
        let source = match (&self.expression, &self.file, self.positional.as_deref()) {
            (Some(_), Some(_), _) => {
                return Err(Error::target("--expr and --file name two expressions", "leave one of them out"));
            }
            (Some(text), None, positional) => {
                attributes.extend(split_attributes(positional.unwrap_or_default())?);
                Source::Text(text.clone())
            }
            (None, Some(file), positional) => {
                attributes.extend(split_attributes(positional.unwrap_or_default())?);
                Source::File(expression_file(&directory.join(file), &file.display().to_string())?)
            }
            (None, None, positional) => {
                let (source, fragment) = resolve_positional(positional.unwrap_or("."), directory)?;
                // As `.#.packages`: exactly this.
                let rest = fragment.strip_prefix('.');
                attributes.extend(rest.map(|_| String::new()));
                attributes.extend(split_attributes(rest.unwrap_or(&fragment))?);
                source
            }
        };
        attributes.extend(split_attributes(self.attribute.as_deref().unwrap_or_default())?);
        Ok(Target { source, attributes })
    }
}

/// A file, a directory, or a flake reference with a fragment.
fn resolve_positional(text: &str, directory: &Path) -> Result<(Source, String), Error> {
    let path = directory.join(text);
    if path.is_file() {
        return Ok((Source::File(canonical(&path)?), String::new()));
    }
    if path.is_dir() && !path.join("flake.nix").is_file() {
        return Ok((Source::File(expression_file(&path, text)?), String::new()));
    }
    let (reference, fragment) = text.split_once('#').unwrap_or((text, ""));
    let reference = if reference.is_empty() { "." } else { reference };
    let is_path = reference.starts_with(['.', '/']) || path.is_dir();
    if !is_path {
        if reference.contains(':') {
            return Ok((Source::Flake { reference: reference.to_owned() }, fragment.to_owned()));
        }
        return Err(Error::target(
            format!("there is no file or directory '{text}'"),
            "a TARGET is a file, a directory with default.nix or flake.nix, or `.#name` for an output of a flake",
        ));
    }
    // With a fragment it is a flake's output, and the flake may begin in a directory further up.
    let path = directory.join(reference);
    if !text.contains('#') && !path.join("flake.nix").is_file() {
        return Err(no_expression(&path, reference));
    }
    let path = canonical(&path)?;
    Ok((Source::Flake { reference: path.display().to_string() }, fragment.to_owned()))
}

/// The file to evaluate for a file or a directory.
fn expression_file(path: &Path, as_given: &str) -> Result<PathBuf, Error> {
    if path.is_file() {
        return canonical(path);
    }
    let default = path.join("default.nix");
    if default.is_file() { canonical(&default) } else { Err(no_expression(path, as_given)) }
}

fn no_expression(path: &Path, as_given: &str) -> Error {
    if path.is_dir() {
        Error::target(format!("the directory '{as_given}' has no default.nix and no flake.nix"), "name a file in it")
    } else {
        Error::target(format!("there is no file or directory '{as_given}'"), "check the spelling")
    }
}

fn canonical(path: &Path) -> Result<PathBuf, Error> {
    path.canonicalize().map_err(Error::io("find", path))
}

/// Splits `a."b.c".d` into its names.
fn split_attributes(text: &str) -> Result<Vec<String>, Error> {
    let mut names = Vec::new();
    if text.is_empty() {
        return Ok(names);
    }
    let mut name = String::new();
    let mut quoted = false;
    for character in text.chars() {
        match character {
            '"' => quoted = !quoted,
            '.' if !quoted => names.push(std::mem::take(&mut name)),
            other => name.push(other),
        }
    }
    names.push(name);
    if quoted || names.iter().any(String::is_empty) {
        return Err(Error::target(
            format!("'{text}' is no attribute path"),
            "write names with dots between them, as `services.web`; a name with a dot goes in quotes",
        ));
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_not_shown() {
        let shown = without_password;
        assert_eq!(shown("git+https://me:hush@e.org/r?ref=x"), "git+https://me@e.org/r?ref=x");
        assert_eq!(shown("git+ssh://git@e.org:22/r@v:1"), "git+ssh://git@e.org:22/r@v:1");
        assert_eq!(shown("./x"), "./x");
    }

    fn resolve(dir: &Path, text: &str) -> Result<Target, Error> {
        Named { positional: Some(text.to_owned()), ..Named::default() }.resolve(dir)
    }

    #[test]
    fn files_directories_and_flakes_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        for (name, content) in [("a.nix", ""), ("plain/default.nix", ""), ("flake/flake.nix", "")] {
            let file = root.join(name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, content).unwrap();
        }
        assert_eq!(resolve(&root, "./a.nix").unwrap().source, Source::File(root.join("a.nix")));
        assert_eq!(resolve(&root, "plain").unwrap().source, Source::File(root.join("plain/default.nix")));
        let target = resolve(&root, "./flake#a.\"b.c\"").unwrap();
        assert_eq!(target.source, Source::Flake { reference: root.join("flake").display().to_string() });
        assert_eq!(target.attributes, ["a", "b.c"]);
        assert_eq!(resolve(&root.join("flake"), ".#x").unwrap().attributes, ["x"]);
        assert_eq!(resolve(&root.join("flake"), ".#.x.y").unwrap().attributes, ["", "x", "y"]);
        assert!(matches!(resolve(&root, "path:/x#y").unwrap().source, Source::Flake { .. }));
    }

    #[test]
    fn what_is_not_there_says_what_a_target_is() {
        let dir = tempfile::tempdir().unwrap();
        for bad in ["missing.nix", "./missing", ".", "./missing#x", "x..y#", "#a..b", ".#..a"] {
            assert!(resolve(dir.path(), bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn file_and_expression_take_attributes() {
        let named = Named {
            positional: Some("a".to_owned()),
            expression: Some("{ }".to_owned()),
            attribute: Some("b".to_owned()),
            ..Named::default()
        };
        assert_eq!(named.resolve(Path::new("/")).unwrap().attributes, ["a", "b"]);
    }
}
