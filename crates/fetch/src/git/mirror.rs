//! Copies of repositories behind a network, in the cache.
//!
//! Each address has a bare repository, and another one for what is fetched without its history. A branch is asked for
//! again when what is known of it is no longer fresh; a commit that is there is never asked for again.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use nix_formats::flake_ref::FlakeRef;
use nix_formats::hash::{Hash, HashAlgo};
use serde::{Deserialize, Serialize};
use store::progress::{Activity, Outcome, Task};

use super::program::Remote;
use super::{Commit, Repository};
use crate::tarball::now;
use crate::{FetchError, Fetcher};

/// Where `HEAD` of a server that does not say which branch it is, is kept.
const OWN_HEAD: &str = "refs/wharf/HEAD";

/// What a server says of `HEAD`.
#[derive(Clone, Serialize, Deserialize)]
struct Head {
    /// The branch, or `HEAD` itself.
    name: String,
    /// When it was asked, in seconds since 1970.
    time: u64,
}

/// A copy of a repository behind a network.
struct Mirror<'a> {
    fetcher: &'a Fetcher,
    remote: Remote,
    path: PathBuf,
    shallow: bool,
    /// Held as long as the mirror: git locks less than a whole fetch.
    _lock: File,
}

/// What a reference means in a mirror.
pub(super) struct Mirrored {
    pub repository: Repository,
    pub commit: Commit,
    /// The branch or tag, as far as it is known.
    pub branch: Option<String>,
}

impl Fetcher {
    /// The commit that a reference to another machine means, fetched if it is not there.
    pub(super) fn mirrored(&self, reference: &FlakeRef, url: &str) -> Result<Mirrored, FetchError> {
        let mirror = Mirror::open(self, url, reference.flag("shallow"))?;
        let (commit, branch) = match reference.text("rev") {
            Some(rev) => mirror.revision(rev, reference)?,
            None => mirror.branch(reference)?,
        };
        Ok(Mirrored { repository: mirror.read()?, commit, branch })
    }
}

impl<'a> Mirror<'a> {
    fn open(fetcher: &'a Fetcher, url: &str, shallow: bool) -> Result<Self, FetchError> {
        let remote = Remote::new(url);
        let directory = fetcher.settings.cache.join("git");
        fs::create_dir_all(&directory).map_err(FetchError::io("create directory", &directory))?;
        let hash = Hash::of(HashAlgo::Sha256, remote.url.as_bytes()).to_nix32();
        let name = format!("{hash}{}", if shallow { "-shallow" } else { "" });
        let lock_file = directory.join(format!("{name}.lock"));
        let lock = File::create(&lock_file).map_err(FetchError::io("create", &lock_file))?;
        lock.lock().map_err(FetchError::io("lock", &lock_file))?;
        Ok(Self { fetcher, remote, path: directory.join(name), shallow, _lock: lock })
    }

    /// The repository as it is now.
    fn read(&self) -> Result<Repository, FetchError> {
        Repository::open_with_origin(&self.path, self.remote.url.clone())
    }

    /// A commit by its hash, and the branch that it was fetched for.
    fn revision(&self, rev: &str, reference: &FlakeRef) -> Result<(Commit, Option<String>), FetchError> {
        let given = reference.text("ref").map(str::to_owned);
        if self.path.exists() {
            let repository = self.read()?;
            if repository.has(rev) {
                let branch = given.or_else(|| self.fetcher.noted::<Head>(&self.head_key()).map(|head| head.name));
                return Ok((repository.commit_of(rev)?, branch));
            }
        }
        let branch = match given {
            Some(branch) => branch,
            None => self.head()?,
        };
        self.fetch_revision(rev, &branch, reference.flag("allRefs"))?;
        let repository = self.read()?;
        if !repository.has(rev) {
            let reason = format!(
                "the commit {rev} is not in '{branch}' of '{}'; name the branch that it is on ('ref'), or fetch all \
                 ('allRefs = true')",
                self.remote.url
            );
            return Err(FetchError::Revision { what: reference.to_string(), reason });
        }
        Ok((repository.commit_of(rev)?, Some(branch)))
    }

    /// Most servers give any commit by its hash; from others all of the branch, or of all branches, is fetched.
    fn fetch_revision(&self, rev: &str, branch: &str, all: bool) -> Result<(), FetchError> {
        let refused = match self.fetch(rev) {
            Err(error @ FetchError::GitFetch { .. }) => error,
            other => return other,
        };
        let is_refused = ["not our ref", "unadvertised object", "couldn't find remote ref"];
        let text = refused.to_string();
        match is_refused.iter().any(|words| text.contains(words)) {
            true if all => self.fetch("refs/*:refs/*"),
            true => self.fetch(&specification(branch)),
            false => Err(refused),
        }
    }

    /// The newest commit of a branch, or of `HEAD`.
    fn branch(&self, reference: &FlakeRef) -> Result<(Commit, Option<String>), FetchError> {
        let branch = match reference.text("ref") {
            Some(branch) => branch.to_owned(),
            None => self.head()?,
        };
        let own = own_name(&branch);
        let key = format!("git-branch {} {} {branch}", self.remote.url, self.shallow);
        let known = self.path.exists() && self.read()?.has_name(&own);
        let is_fresh = || self.fetcher.noted::<u64>(&key).is_some_and(|time| self.fetcher.is_fresh(time));
        if !(known && (self.fetcher.settings.offline || is_fresh())) {
            let wanted = if reference.flag("allRefs") { "refs/*:refs/*".to_owned() } else { specification(&branch) };
            match self.fetch(&wanted) {
                Ok(()) => self.fetcher.note(&key, &now()),
                Err(error) if known => {
                    let message = format!("{error}; what was fetched before is used");
                    self.fetcher.progress.warn(&message);
                }
                Err(error) => return Err(explain(error, &branch)),
            }
        }
        Ok((self.read()?.named(&own)?, Some(branch)))
    }

    fn head_key(&self) -> String {
        format!("git-head {}", self.remote.url)
    }

    /// The branch that the server calls `HEAD`.
    fn head(&self) -> Result<String, FetchError> {
        let noted = self.fetcher.noted::<Head>(&self.head_key());
        if let Some(head) = &noted
            && (self.fetcher.settings.offline || self.fetcher.is_fresh(head.time))
        {
            return Ok(head.name.clone());
        }
        match (self.ask_for_head(), noted) {
            (Ok(name), _) => {
                self.fetcher.note(&self.head_key(), &Head { name: name.clone(), time: now() });
                Ok(name)
            }
            (Err(error), Some(head)) => {
                let message = format!("{error}; its main branch is taken to be '{}', as before", head.name);
                self.fetcher.progress.warn(&message);
                Ok(head.name)
            }
            (Err(error), None) => Err(error),
        }
    }

    fn ask_for_head(&self) -> Result<String, FetchError> {
        let output = self.git(None, &["ls-remote", "--symref", "--", &self.remote.url, "HEAD"])?;
        let symbolic = output.lines().find_map(|line| line.strip_prefix("ref: ")?.strip_suffix("\tHEAD"));
        if symbolic.is_none() && !output.lines().any(|line| line.ends_with("\tHEAD")) {
            let message = "the repository is empty, or its HEAD names a branch that it has not".to_owned();
            return Err(FetchError::GitFetch { url: self.remote.url.clone(), message });
        }
        Ok(symbolic.unwrap_or("HEAD").to_owned())
    }

    fn fetch(&self, specification: &str) -> Result<(), FetchError> {
        self.begin()?;
        // Left behind by one that was killed; nobody else fetches into this directory now.
        let _ = fs::remove_file(self.path.join("shallow.lock"));
        let mut arguments = vec!["fetch", "--progress", "--force", "--no-write-fetch-head", "--no-recurse-submodules"];
        if self.shallow {
            arguments.extend(["--depth", "1"]);
        }
        arguments.extend(["--", &self.remote.url, specification]);
        self.git(Some(&self.path), &arguments).map(drop)
    }

    /// Makes the repository if it is not there, under a name of its own first.
    fn begin(&self) -> Result<(), FetchError> {
        if self.path.join("HEAD").exists() {
            return Ok(());
        }
        if self.fetcher.settings.offline {
            return Err(FetchError::Offline { url: self.remote.url.clone() });
        }
        let made = self.path.with_extension("new");
        let _ = fs::remove_dir_all(&made);
        let place = made.to_string_lossy();
        self.git(None, &["init", "--quiet", "--bare", "--template=", "--", &place])?;
        fs::rename(&made, &self.path).map_err(FetchError::io("rename", &made))
    }

    fn git(&self, directory: Option<&Path>, arguments: &[&str]) -> Result<String, FetchError> {
        if self.fetcher.settings.offline {
            return Err(FetchError::Offline { url: self.remote.url.clone() });
        }
        let task = Task::start(&*self.fetcher.progress, Activity::Download, &self.remote.url, None);
        let output = self.fetcher.settings.git.run(directory, arguments, &self.remote, &task)?;
        task.finish(Outcome::Done);
        Ok(output)
    }
}

/// The full name of a branch or tag; one that is not full is that of a branch.
fn full_name(branch: &str) -> String {
    if branch.starts_with("refs/") || branch == "HEAD" { branch.to_owned() } else { format!("refs/heads/{branch}") }
}

/// Its name in the mirror.
fn own_name(branch: &str) -> String {
    if branch == "HEAD" { OWN_HEAD.to_owned() } else { full_name(branch) }
}

/// What to fetch, and what to call it.
fn specification(branch: &str) -> String {
    format!("{}:{}", full_name(branch), own_name(branch))
}

/// A name that is not full may be meant for a tag.
fn explain(error: FetchError, branch: &str) -> FetchError {
    match error {
        FetchError::GitFetch { url, message }
            if message.contains("couldn't find remote ref") && !branch.starts_with("refs/") =>
        {
            let message = format!("there is no branch '{branch}' (a tag is written 'refs/tags/{branch}')");
            FetchError::GitFetch { url, message }
        }
        other => other,
    }
}
