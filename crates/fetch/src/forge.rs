//! `github:`, `gitlab:` and `sourcehut:` references: archives that a forge makes of a commit.

use std::io::Read;

use nix_formats::flake_ref::{FlakeRef, Scheme};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::network::Secret;
use crate::tarball::{Fetched, now};
use crate::{FetchError, Fetcher, Tree};

/// The most that a forge's answer to a question about a commit may be, in bytes.
const LONGEST_ANSWER: u64 = 4 * 1024 * 1024;

#[derive(Deserialize)]
struct GitHubCommit {
    sha: String,
}

#[derive(Deserialize)]
struct GitLabCommit {
    id: String,
}

/// What a forge said of a branch.
#[derive(Serialize, Deserialize)]
struct Answered {
    rev: String,
    /// When, in seconds since 1970.
    time: u64,
}

/// A repository on a forge.
struct Forge<'a> {
    scheme: Scheme,
    host: &'a str,
    owner: &'a str,
    repo: &'a str,
    /// The base address that the settings give for the host.
    base: Option<&'a str>,
    token: Option<&'a str>,
}

impl Fetcher {
    pub(crate) fn forge_tree(&self, reference: &FlakeRef, name: &str) -> Result<Tree, FetchError> {
        let forge = self.forge(reference);
        let rev = match reference.text("rev") {
            Some(rev) => rev.to_owned(),
            None => self.commit_on(&forge, reference.text("ref"))?,
        };
        let key = format!("forge {name} {} {} {} {rev}", forge.host, forge.owner, forge.repo);
        let fetched = match self.noted::<Fetched>(&key) {
            Some(noted) if self.is_kept(&noted.path)? => noted,
            _ => {
                let fetched = self.fetch_tarball(forge.archive(&rev)?.as_str(), name, &forge.secrets())?;
                self.note(&key, &fetched);
                fetched
            }
        };
        let locked = reference.clone().with("ref", None).with("rev", Some(rev.into()));
        self.tree_of(fetched.path, locked, fetched.last_modified)
    }

    fn forge<'a>(&'a self, reference: &'a FlakeRef) -> Forge<'a> {
        let scheme = reference.scheme();
        let usual = match scheme {
            Scheme::GitLab => "gitlab.com",
            Scheme::SourceHut => "git.sr.ht",
            _ => "github.com",
        };
        let host = reference.text("host").unwrap_or(usual);
        Forge {
            scheme,
            host,
            owner: reference.text("owner").unwrap_or_default(),
            repo: reference.text("repo").unwrap_or_default(),
            base: self.settings.forges.get(host).map(String::as_str),
            token: self.settings.access_tokens.for_repository(
                host,
                reference.text("owner").unwrap_or_default(),
                reference.text("repo").unwrap_or_default(),
            ),
        }
    }

    /// The commit of a branch or a tag, as the forge said lately.
    fn commit_on(&self, forge: &Forge<'_>, branch: Option<&str>) -> Result<String, FetchError> {
        let wanted = branch.unwrap_or("HEAD");
        let key = format!("forge-branch {} {} {} {wanted}", forge.host, forge.owner, forge.repo);
        let noted = self.noted::<Answered>(&key);
        if let Some(answer) = &noted
            && (self.settings.offline || self.is_fresh(answer.time))
        {
            return Ok(answer.rev.clone());
        }
        match (self.ask_for_commit(forge, branch), noted) {
            (Ok(rev), _) => {
                self.note(&key, &Answered { rev: rev.clone(), time: now() });
                Ok(rev)
            }
            (Err(error), Some(answer)) if !error.says_no() => {
                self.progress.warn(&format!("{error}; '{wanted}' is taken to be {}, as before", answer.rev));
                Ok(answer.rev)
            }
            (Err(error), _) => Err(error),
        }
    }

    /// The commit of a branch or a tag, or of the default branch.
    fn ask_for_commit(&self, forge: &Forge<'_>, branch: Option<&str>) -> Result<String, FetchError> {
        let wanted = branch.unwrap_or("HEAD");
        let url = forge.question(wanted)?;
        let answer = self.ask(&url, forge)?;
        let malformed = |error: serde_json::Error| forge.failed(&url, &error.to_string());
        let rev = match forge.scheme {
            Scheme::GitLab => {
                let commits: Vec<GitLabCommit> = serde_json::from_str(&answer).map_err(malformed)?;
                commits.into_iter().next().map(|commit| commit.id)
            }
            Scheme::SourceHut => match branch {
                Some(branch) => find_ref(&answer, branch),
                None => find_ref(&answer, &self.main_branch(forge)?),
            },
            _ => Some(serde_json::from_str::<GitHubCommit>(&answer).map_err(malformed)?.sha),
        };
        rev.ok_or_else(|| forge.failed(&url, &format!("there is no branch or tag '{wanted}'")))
    }

    /// The branch that a repository at SourceHut is at if nobody says otherwise.
    fn main_branch(&self, forge: &Forge<'_>) -> Result<String, FetchError> {
        let url = forge.address(&forge.interface(), &[forge.owner, forge.repo, "HEAD"])?;
        let answer = self.ask(&url, forge)?;
        let branch = answer.lines().next().and_then(|line| line.strip_prefix("ref: "));
        branch.map(|branch| branch.trim().to_owned()).ok_or_else(|| forge.failed(&url, "it names no branch"))
    }

    fn ask(&self, url: &Url, forge: &Forge<'_>) -> Result<String, FetchError> {
        let mut answer = String::new();
        let (_, response) = self.get(url.as_str(), &forge.secrets())?;
        let read = response.take(LONGEST_ANSWER).read_to_string(&mut answer);
        read.map_err(|error| forge.failed(url, &error.to_string()))?;
        Ok(answer)
    }
}

impl Forge<'_> {
    /// Where to ask for the commit of a branch or a tag.
    fn question(&self, wanted: &str) -> Result<Url, FetchError> {
        match self.scheme {
            Scheme::GitLab => {
                let project = format!("{}/{}", self.owner, self.repo);
                let mut url = self.address(&self.interface(), &["projects", &project, "repository", "commits"])?;
                url.query_pairs_mut().append_pair("ref_name", wanted);
                Ok(url)
            }
            Scheme::SourceHut => self.address(&self.interface(), &[self.owner, self.repo, "info", "refs"]),
            _ if self.is_forgejo() => {
                self.address(&self.interface(), &["repos", self.owner, self.repo, "git", "commits", wanted])
            }
            _ => self.address(&self.interface(), &["repos", self.owner, self.repo, "commits", wanted]),
        }
    }

    /// Where the archive of a commit is.
    fn archive(&self, rev: &str) -> Result<Url, FetchError> {
        match self.scheme {
            Scheme::GitLab => {
                let project = format!("{}/{}", self.owner, self.repo);
                let path = ["projects", &project, "repository", "archive.tar.gz"];
                let mut url = self.address(&self.interface(), &path)?;
                url.query_pairs_mut().append_pair("sha", rev);
                Ok(url)
            }
            // The interface counts requests, the site does not; but only the interface takes a token.
            Scheme::GitHub if self.host == "github.com" && self.base.is_none() && self.token.is_none() => {
                self.address("https://github.com", &[self.owner, self.repo, "archive", &format!("{rev}.tar.gz")])
            }
            Scheme::SourceHut => {
                self.address(&self.interface(), &[self.owner, self.repo, "archive", &format!("{rev}.tar.gz")])
            }
            _ if self.is_forgejo() => {
                let file = format!("{rev}.tar.gz");
                self.address(&self.interface(), &["repos", self.owner, self.repo, "archive", &file])
            }
            _ => self.address(&self.interface(), &["repos", self.owner, self.repo, "tarball", rev]),
        }
    }

    /// Forgejo and Gitea have an interface like GitHub's, but with other places for this.
    fn is_forgejo(&self) -> bool {
        self.base.is_some_and(|base| base.trim_end_matches('/').ends_with("/api/v1"))
    }

    fn interface(&self) -> String {
        match (self.base, self.scheme) {
            (Some(base), _) => base.to_owned(),
            (None, Scheme::GitLab) => format!("https://{}/api/v4", self.host),
            (None, Scheme::SourceHut) => format!("https://{}", self.host),
            (None, _) if self.host == "github.com" => "https://api.github.com".to_owned(),
            (None, _) => format!("https://{}/api/v3", self.host),
        }
    }

    /// An address below `base`, its parts escaped.
    fn address(&self, base: &str, parts: &[&str]) -> Result<Url, FetchError> {
        let malformed = || FetchError::Download { url: base.to_owned(), message: "it is no base address".to_owned() };
        let mut url = Url::parse(base).map_err(|_| malformed())?;
        url.path_segments_mut().map_err(|()| malformed())?.pop_if_empty().extend(parts);
        Ok(url)
    }

    fn secrets(&self) -> Vec<Secret> {
        let Some(token) = self.token else { return Vec::new() };
        match (self.scheme, token.split_once(':')) {
            (Scheme::GitLab, Some(("PAT", token))) => {
                vec![Secret { name: "private-token".into(), value: token.to_owned() }]
            }
            (Scheme::GitLab, Some(("OAuth2", token))) => vec![Secret::bearer(token)],
            _ => vec![Secret::bearer(token)],
        }
    }

    fn failed(&self, url: &Url, message: &str) -> FetchError {
        FetchError::Download { url: url.to_string(), message: message.to_owned() }
    }
}

/// The commit of a branch or a tag in the list that git's own protocol gives.
fn find_ref(list: &str, name: &str) -> Option<String> {
    let candidates = [name.to_owned(), format!("refs/heads/{name}"), format!("refs/tags/{name}")];
    let refs: Vec<(&str, &str)> = list.lines().filter_map(|line| line.split_once('\t')).collect();
    let mut found = candidates.iter().filter_map(|candidate| refs.iter().find(|(_, name)| name == candidate));
    found.next().map(|(rev, _)| (*rev).to_owned())
}
