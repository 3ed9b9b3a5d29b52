//! `registries.conf` of the containers tools, version 2: mirrors, other locations, insecure and blocked registries.
//!
//! containers-registries.conf(5) is the specification. A pull asks the mirrors of the entry with the longest prefix that
//! fits, then its location; a push goes to the registry of the name itself, as podman's does.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::error::Error;
use crate::reference::Reference;

/// What the files say.
#[derive(Debug, Clone, Default)]
pub struct RegistriesConf {
    rules: Vec<Rule>,
    /// Registries in which tools search names without a host. Wharf does not: such a name means Docker's Hub.
    pub unqualified_search: Vec<String>,
}

/// One `[[registry]]`.
#[derive(Debug, Clone)]
struct Rule {
    entry: Entry,
    file: PathBuf,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Entry {
    #[serde(default)]
    prefix: String,
    #[serde(default)]
    location: String,
    #[serde(default)]
    insecure: bool,
    #[serde(default)]
    blocked: bool,
    #[serde(default)]
    mirror_by_digest_only: bool,
    #[serde(default, rename = "mirror")]
    mirrors: Vec<Mirror>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Mirror {
    location: String,
    #[serde(default)]
    insecure: bool,
    #[serde(default)]
    pull_from_mirror: Pulls,
}

/// Which references a mirror is asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Pulls {
    #[default]
    All,
    DigestOnly,
    TagOnly,
    // What an empty text means.
    #[serde(rename = "")]
    Unsaid,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct File {
    #[serde(default)]
    unqualified_search_registries: Option<Vec<String>>,
    #[serde(default, rename = "registry")]
    entries: Vec<Entry>,
}

/// Where to ask for an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PullSource {
    pub host: String,
    pub repository: String,
    /// Whether its certificate is not checked.
    pub insecure: bool,
}

impl RegistriesConf {
    /// Reads `file` if it is there, and after it the `*.conf` of each directory by their names: a later entry replaces one
    /// of the same prefix.
    ///
    /// # Errors
    /// A file is not as it should be.
    pub fn read(file: Option<&Path>, directories: &[PathBuf]) -> Result<RegistriesConf, Error> {
        let mut conf = RegistriesConf::default();
        let mut files: Vec<PathBuf> = file.map(Path::to_owned).into_iter().collect();
        for directory in directories {
            files.extend(drop_ins(directory)?);
        }
        for path in files {
            match fs::read_to_string(&path) {
                Ok(text) => conf.add(&text, &path)?,
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(wrong(&path, &error.to_string())),
            }
        }
        Ok(conf)
    }

    fn add(&mut self, text: &str, path: &Path) -> Result<(), Error> {
        let file: File = toml::from_str(text).map_err(|error| wrong(path, &error.to_string()))?;
        if let Some(registries) = file.unqualified_search_registries {
            self.unqualified_search = registries;
        }
        for mut entry in file.entries {
            if entry.prefix.is_empty() {
                entry.prefix.clone_from(&entry.location);
            }
            entry.check().map_err(|reason| wrong(path, &reason))?;
            self.rules.retain(|rule| rule.entry.prefix != entry.prefix);
            self.rules.push(Rule { entry, file: path.to_owned() });
        }
        Ok(())
    }

    /// The entry with the longest prefix that fits, and how much of the name that is.
    fn rule(&self, name: &str) -> Option<(&Rule, usize)> {
        let fitting = self.rules.iter().filter_map(|rule| Some((rule, fits(&rule.entry.prefix, name)?)));
        fitting.max_by_key(|(_, length)| *length)
    }

    /// Whether the registry of a name may be spoken to without a valid certificate.
    ///
    /// # Errors
    /// It may not be spoken to.
    pub(crate) fn insecure(&self, reference: &Reference) -> Result<bool, Error> {
        match self.rule(&whole(reference)) {
            Some((rule, _)) if rule.entry.blocked => {
                Err(Error::Blocked { reference: reference.to_string(), file: rule.file.clone() })
            }
            Some((rule, _)) => Ok(rule.entry.insecure),
            None => Ok(false),
        }
    }

    /// Whether a registry, whatever its repository, may be spoken to without a valid certificate.
    pub(crate) fn insecure_host(&self, host: &str) -> bool {
        self.rule(host).is_some_and(|(rule, _)| rule.entry.insecure)
    }

    /// Where to ask for an image, most preferred first.
    ///
    /// # Errors
    /// It is blocked, or a location makes no name.
    pub(crate) fn pull_sources(&self, reference: &Reference) -> Result<Vec<PullSource>, Error> {
        let insecure = self.insecure(reference)?;
        let name = whole(reference);
        let home = PullSource { host: reference.host().into(), repository: reference.repository().into(), insecure };
        let Some((rule, length)) = self.rule(&name) else { return Ok(vec![home]) };
        let by_digest = reference.digest().is_some();
        let mirrors = rule.entry.mirrors.iter().filter(|mirror| match mirror.pull_from_mirror {
            Pulls::All | Pulls::Unsaid => by_digest || !rule.entry.mirror_by_digest_only,
            Pulls::DigestOnly => by_digest,
            Pulls::TagOnly => !by_digest,
        });
        let located = |location: &str, insecure: bool| {
            let text = format!("{location}{}", &name[length..]);
            let (host, repository) =
                text.split_once('/').filter(|(_, repository)| !repository.is_empty()).ok_or_else(|| {
                    wrong(&rule.file, &format!("the location `{location}` makes `{text}`, which is no name"))
                })?;
            Ok(PullSource { host: host.to_owned(), repository: repository.to_owned(), insecure })
        };
        let mut sources: Vec<PullSource> =
            mirrors.map(|mirror| located(&mirror.location, mirror.insecure)).collect::<Result<_, Error>>()?;
        sources.push(match rule.entry.location.as_str() {
            "" => home,
            location => located(location, insecure)?,
        });
        Ok(sources)
    }
}

impl Entry {
    fn check(&self) -> Result<(), String> {
        let bare = |text: &str| !text.contains("://") && !text.ends_with('/');
        if self.prefix.is_empty() {
            return Err("a [[registry]] has neither prefix nor location".to_owned());
        }
        if self.prefix.starts_with("*.") && !self.location.is_empty() && !bare(&self.location) {
            return Err(format!("the location `{}` is no registry", self.location));
        }
        let locations = self.mirrors.iter().map(|mirror| &mirror.location).chain([&self.prefix, &self.location]);
        match locations.into_iter().find(|text| !bare(text)) {
            Some(text) => {
                Err(format!("`{text}` should be HOST[:PORT][/PATH], without scheme and without a slash at its end"))
            }
            None => Ok(()),
        }
    }
}

/// How many bytes of the name a prefix takes. It ends where a part of the name ends; `*.` stands for any hosts below.
fn fits(prefix: &str, name: &str) -> Option<usize> {
    let length = match prefix.strip_prefix('*') {
        Some(suffix) => {
            let host_end = name.find('/').unwrap_or(name.len());
            let (host_suffix, path) = suffix.split_once('/').map_or((suffix, ""), |(host, path)| (host, path));
            let fits = name[..host_end].ends_with(host_suffix)
                && (path.is_empty() || name[host_end..].strip_prefix('/')?.starts_with(path));
            fits.then(|| host_end + if path.is_empty() { 0 } else { 1 + path.len() })?
        }
        None => name.starts_with(prefix).then_some(prefix.len())?,
    };
    name[length..].chars().next().is_none_or(|next| matches!(next, '/' | ':' | '@')).then_some(length)
}

fn whole(reference: &Reference) -> String {
    format!("{}/{}", reference.host(), reference.repository())
}

fn drop_ins(directory: &Path) -> Result<Vec<PathBuf>, Error> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(wrong(directory, &error.to_string())),
    };
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "conf"));
    files.sort();
    Ok(files)
}

fn wrong(path: &Path, reason: &str) -> Error {
    Error::Settings(format!("{} is not as it should be: {}", path.display(), reason.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conf(text: &str) -> RegistriesConf {
        let mut conf = RegistriesConf::default();
        conf.add(text, Path::new("registries.conf")).unwrap();
        conf
    }

    fn sources(conf: &RegistriesConf, reference: &str) -> Vec<String> {
        let sources = conf.pull_sources(&reference.parse().unwrap()).unwrap();
        let mark = |source: &PullSource| if source.insecure { "!" } else { "" };
        sources.iter().map(|source| format!("{}{}/{}", mark(source), source.host, source.repository)).collect()
    }

    #[test]
    fn a_pull_asks_mirrors_and_the_location_of_the_longest_prefix() {
        let conf = conf(
            r#"
            unqualified-search-registries = ["docker.io"]
            short-name-mode = "enforcing"
            [[registry]]
            prefix = "example.com/foo"
            location = "internal.example.com/bar"
            insecure = true
            [[registry.mirror]]
            location = "mirror.example.com:5000/foo"
            [[registry.mirror]]
            location = "digests.example.com"
            insecure = true
            pull-from-mirror = "digest-only"
            [[registry.mirror]]
            location = "tags.example.com"
            pull-from-mirror = "tag-only"
            [[registry]]
            location = "example.com"
            [[registry]]
            prefix = "*.wild.example.com"
            location = "one.example.com"
            [[registry]]
            prefix = "*.wild.example.com/team"
            location = "two.example.com/x"
            "#,
        );
        assert_eq!(
            sources(&conf, "example.com/foo/a:1"),
            ["mirror.example.com:5000/foo/a", "tags.example.com/a", "!internal.example.com/bar/a"]
        );
        let digest = format!("example.com/foo/a@sha256:{}", "0".repeat(64));
        assert_eq!(sources(&conf, &digest)[1], "!digests.example.com/a");
        assert_eq!(sources(&conf, "example.com/foobar/a:1"), ["example.com/foobar/a"]);
        assert_eq!(sources(&conf, "a.wild.example.com/b/c"), ["one.example.com/b/c"]);
        assert_eq!(sources(&conf, "a.wild.example.com/team/c"), ["two.example.com/x/c"]);
        assert_eq!(sources(&conf, "wild.example.com/b"), ["wild.example.com/b"]);
        assert_eq!(sources(&conf, "alpine"), ["docker.io/library/alpine"]);
        assert!(conf.insecure(&"example.com/foo/a".parse().unwrap()).unwrap() && !conf.insecure_host("example.com"));
    }

    #[test]
    fn what_is_blocked_is_an_error_and_so_is_what_makes_no_sense() {
        let conf = conf("[[registry]]\nlocation = \"evil.example.com\"\nblocked = true\n");
        let error = conf.pull_sources(&"evil.example.com/a".parse().unwrap()).unwrap_err().to_string();
        assert_eq!(error, "evil.example.com/a is blocked by registries.conf");
        for text in
            ["[[registry]]\n", "[[registry]]\nlocation = \"https://a.b\"\n", "[[registry]]\nlocation = 1\n", "="]
        {
            assert!(RegistriesConf::default().add(text, Path::new("x")).is_err(), "{text}");
        }
    }

    #[test]
    fn drop_ins_replace_entries_of_the_same_prefix() {
        let place = tempfile::tempdir().unwrap();
        let (file, directory) = (place.path().join("registries.conf"), place.path().join("registries.conf.d"));
        fs::create_dir(&directory).unwrap();
        fs::write(&file, "[[registry]]\nlocation = \"a.b\"\nblocked = true\n").unwrap();
        fs::write(directory.join("1.conf"), "[[registry]]\nprefix = \"a.b\"\nlocation = \"c.d\"\n").unwrap();
        fs::write(directory.join("2.conf"), "[aliases]\n\"x\" = \"y.z/x\"\n").unwrap();
        fs::write(directory.join("3.conf.off"), "no toml").unwrap();
        let conf = RegistriesConf::read(Some(&file), &[directory, place.path().join("absent")]).unwrap();
        assert_eq!(sources(&conf, "a.b/x"), ["c.d/x"]);
    }
}
