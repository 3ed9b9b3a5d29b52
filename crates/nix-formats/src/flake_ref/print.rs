//! Flake reference → URL.

use std::collections::BTreeMap;
use std::fmt;

use super::url::Url;
use super::{Attr, FlakeRef, Scheme};

impl FlakeRef {
    pub(super) fn print(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |name: &str| self.text(name).unwrap_or("");
        let mut url = match self.scheme() {
            Scheme::Path => {
                let mut url = plain("path", text("path").split('/').map(str::to_owned).collect());
                // Two slashes would begin a host.
                url.authority = text("path").starts_with("//").then(String::new);
                url.query = self.query(&["rev", "revCount", "lastModified", "narHash"]);
                url
            }
            scheme @ (Scheme::GitHub | Scheme::GitLab | Scheme::SourceHut) => {
                let mut segments = vec![text("owner").to_owned(), text("repo").to_owned()];
                let version = self.text("ref").or_else(|| self.text("rev"));
                segments.extend(version.map(str::to_owned));
                let mut url = plain(scheme.name(), segments);
                url.query = self.query(&["narHash", "host"]);
                url
            }
            Scheme::Indirect => {
                let mut segments = vec![text("id").to_owned()];
                segments.extend(["ref", "rev"].iter().filter_map(|name| self.text(name)).map(str::to_owned));
                plain("flake", segments)
            }
            Scheme::Git => {
                let names = ["ref", "rev", "shallow", "submodules", "lfs", "exportIgnore", "allRefs", "verifyCommit"];
                self.of_url("git", &names)
            }
            Scheme::Mercurial => self.of_url("hg", &["ref", "rev"]),
            Scheme::Tarball => self.of_url("tarball", &["narHash"]),
            Scheme::File => self.of_url("file", &["narHash"]),
        };
        if !self.dir().is_empty() {
            url.query.insert("dir".to_owned(), self.dir().to_owned());
        }
        write!(f, "{url}")
    }

    /// The URL of the attribute `url`, with the scheme that leads back to this type.
    fn of_url(&self, application: &str, names: &[&str]) -> Url {
        let given = self.text("url").unwrap_or("");
        let mut url = match Url::parse(given) {
            Some(Ok(url)) => url,
            // A repository's plain path, or `host:path` as ssh takes it.
            _ => plain("file", given.split('/').map(str::to_owned).collect()),
        };
        let says_itself = match application {
            "git" => url.scheme == "git",
            "tarball" => true,
            _ => false,
        };
        if !says_itself {
            url.scheme = format!("{application}+{}", url.scheme);
        }
        url.query.extend(self.query(names));
        url
    }

    fn query(&self, names: &[&str]) -> BTreeMap<String, String> {
        let shown = |value: &Attr| match value {
            Attr::String(text) => Some(text.clone()),
            Attr::Int(number) => Some(number.to_string()),
            Attr::Bool(true) => Some("1".to_owned()),
            Attr::Bool(false) => None,
        };
        let present = names.iter().filter_map(|name| Some(((*name).to_owned(), shown(self.attrs.get(*name)?)?)));
        present.collect()
    }
}

fn plain(scheme: &str, segments: Vec<String>) -> Url {
    Url { scheme: scheme.to_owned(), authority: None, segments, query: BTreeMap::new(), fragment: String::new() }
}
