//! Where the contents of large files are, by git LFS's batch interface:
//! <https://github.com/git-lfs/git-lfs/blob/main/docs/api/batch.md>.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use gix::ObjectId;
use gix::bstr::ByteSlice;
use nix_formats::flake_ref::git_url;
use nix_formats::hash::{HashAlgo, HashWriter};
use reqwest::Method;
use serde::Deserialize;
use serde_json::json;
use store::progress::{Activity, Outcome, Task};
use url::Url;

use super::Pointer;
use crate::download::{Counted, file_path};
use crate::git::Repository;
use crate::network::{Body, Payload, Place, Question, Secret, refused};
use crate::{FetchError, Fetcher};

const MEDIA_TYPE: &str = "application/vnd.git-lfs+json";
/// How many files are asked for at a time, as git-lfs does.
const BATCH: usize = 100;
/// The most that an answer may be, in bytes.
const LONGEST_ANSWER: u64 = 16 * 1024 * 1024;

/// Where contents come from.
enum Server {
    /// A repository on this machine: its directory of contents.
    Directory(PathBuf),
    /// An address, and what tells it who asks.
    Http(Url, Vec<Secret>),
}

#[derive(Deserialize)]
struct Answer {
    objects: Vec<Object>,
}

#[derive(Deserialize)]
struct Object {
    oid: String,
    actions: Option<Actions>,
    error: Option<ObjectError>,
}

#[derive(Deserialize)]
struct Actions {
    download: Option<Access>,
}

#[derive(Deserialize)]
struct ObjectError {
    message: String,
}

/// An address, and headers to send there.
#[derive(Deserialize)]
struct Access {
    href: String,
    #[serde(default)]
    header: BTreeMap<String, String>,
}

/// Downloads contents into a directory of them.
pub(super) fn download(
    fetcher: &Fetcher,
    repository: &Repository,
    tree: ObjectId,
    wanted: &[Pointer],
    into: &Path,
) -> Result<(), FetchError> {
    match Server::find(fetcher, repository, tree)? {
        Server::Directory(directory) => wanted.iter().try_for_each(|pointer| {
            let from = directory.join(pointer.place());
            let file = fs::File::open(&from).map_err(FetchError::io("open the large file", &from))?;
            keep(pointer, file, into).map_err(FetchError::io("copy", &from))
        }),
        Server::Http(url, secrets) => wanted.chunks(BATCH).try_for_each(|batch| {
            let objects = ask(fetcher, &url, &secrets, batch)?;
            batch.iter().try_for_each(|pointer| get(fetcher, &url, pointer, objects.get(&pointer.oid), into))
        }),
    }
}

impl Server {
    /// What the repository says, else what is usual for its origin.
    fn find(fetcher: &Fetcher, repository: &Repository, tree: ObjectId) -> Result<Self, FetchError> {
        let configured = repository.gix.config_snapshot().string("lfs.url").map(|url| url.to_string());
        if let Some(url) = configured.or(committed(repository, tree)?) {
            let url = Url::parse(&url).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
            let reason = "its 'lfs.url' is no address with 'https:'";
            let what = || repository.origin.clone();
            return Ok(Self::Http(url.ok_or_else(|| FetchError::Unsupported { what: what(), reason })?, Vec::new()));
        }
        Self::usual(fetcher, &repository.origin)
    }

    fn usual(fetcher: &Fetcher, origin: &str) -> Result<Self, FetchError> {
        if let Some(path) = file_path(origin) {
            let inner = path.join(".git");
            return Ok(Self::Directory(if inner.is_dir() { inner } else { path }.join("lfs/objects")));
        }
        let unsupported =
            || FetchError::Unsupported { what: origin.to_owned(), reason: "it has no address for large files" };
        let url = git_url(origin).ok().and_then(|url| Url::parse(&url).ok()).ok_or_else(unsupported)?;
        match url.scheme() {
            "ssh" => authenticate(fetcher, &url),
            "http" | "https" => Ok(Self::Http(below(&url).ok_or_else(unsupported)?, Vec::new())),
            _ => Err(unsupported()),
        }
    }
}

/// `lfs.url` of `.lfsconfig`.
fn committed(repository: &Repository, tree: ObjectId) -> Result<Option<String>, FetchError> {
    let Some((_, id)) = repository.entry(tree, ".lfsconfig".into())? else { return Ok(None) };
    let text = repository.blob(id)?;
    let file = gix::config::File::try_from(text.as_bstr()).map_err(repository.failed("read .lfsconfig"))?;
    Ok(file.string("lfs.url").map(|url| url.to_string()))
}

/// `…/r` and `…/r.git` have their large files below `…/r.git/info/lfs`.
fn below(url: &Url) -> Option<Url> {
    let mut url = url.clone();
    let path = url.path().trim_end_matches('/').trim_end_matches(".git").to_owned();
    url.set_path(&format!("{path}.git/info/lfs"));
    url.set_query(None);
    Some(url)
}

/// Asks over ssh for an address, and for what to show there.
fn authenticate(fetcher: &Fetcher, url: &Url) -> Result<Server, FetchError> {
    let failed = |message: String| FetchError::GitFetch { url: url.to_string(), message };
    let host = url.host_str().filter(|host| !host.starts_with('-'));
    let host = host.ok_or_else(|| failed("its host is malformed".to_owned()))?;
    if fetcher.settings.offline {
        return Err(FetchError::Offline { url: url.to_string() });
    }
    let mut command = Command::new("ssh");
    if !fetcher.settings.git.interactive {
        command.arg("-oBatchMode=yes");
    }
    if let Some(port) = url.port() {
        command.args(["-p", &port.to_string()]);
    }
    let user = if url.username().is_empty() { String::new() } else { format!("{}@", url.username()) };
    command.args([&format!("{user}{host}"), "--", "git-lfs-authenticate", &quoted(url.path()), "download"]);
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let output = output.map_err(|error| failed(format!("cannot start ssh: {error}")))?;
    let access: Access = serde_json::from_slice(&output.stdout)
        .map_err(|_| failed("'git-lfs-authenticate' over ssh gives no address for large files".to_owned()))?;
    let address = Url::parse(&access.href).map_err(|error| failed(error.to_string()))?;
    Ok(Server::Http(address, secrets(access.header)))
}

/// A word as the shell on the other side takes it.
fn quoted(path: &str) -> String {
    format!("'{}'", path.replace('\'', "'\\''"))
}

fn secrets(headers: BTreeMap<String, String>) -> Vec<Secret> {
    headers.into_iter().map(|(name, value)| Secret { name: name.into(), value }).collect()
}

/// Asks where contents are.
fn ask(
    fetcher: &Fetcher,
    url: &Url,
    secrets: &[Secret],
    wanted: &[Pointer],
) -> Result<BTreeMap<String, Object>, FetchError> {
    let mut address = url.clone();
    if let Ok(mut segments) = address.path_segments_mut() {
        segments.pop_if_empty().extend(["objects", "batch"]);
    }
    let place = Place::new(address, secrets.to_vec());
    let objects: Vec<_> = wanted.iter().map(|one| json!({ "oid": one.oid, "size": one.size })).collect();
    let text = json!({ "operation": "download", "transfers": ["basic"], "objects": objects }).to_string();
    let question = Question {
        body: Some(Payload::Text { text: &text, media_type: MEDIA_TYPE }),
        accept: Some(MEDIA_TYPE),
        ..Question::of(Method::POST)
    };
    let response = fetcher.settings.network.ask(&place, &question)?;
    if !response.status().is_success() {
        return Err(refused(&place, response.status()));
    }
    let mut answer = Vec::new();
    let failed = |message: String| FetchError::Download { url: place.shown.clone(), message };
    response.take(LONGEST_ANSWER).read_to_end(&mut answer).map_err(|error| failed(error.to_string()))?;
    let answer: Answer = serde_json::from_slice(&answer).map_err(|error| failed(error.to_string()))?;
    Ok(answer.objects.into_iter().map(|object| (object.oid.clone(), object)).collect())
}

/// Downloads one content from where the server says it is.
fn get(
    fetcher: &Fetcher,
    server: &Url,
    pointer: &Pointer,
    object: Option<&Object>,
    into: &Path,
) -> Result<(), FetchError> {
    let shown = Place::new(server.clone(), Vec::new()).shown;
    let failed = |message: String| FetchError::Download { url: shown.clone(), message };
    if let Some(error) = object.and_then(|object| object.error.as_ref()) {
        return Err(failed(format!("the large file {}: {}", pointer.oid, error.message)));
    }
    let access = object.and_then(|object| object.actions.as_ref()?.download.as_ref());
    let access = access.ok_or_else(|| failed(format!("it has no large file {}", pointer.oid)))?;
    let address = Url::parse(&access.href).map_err(|error| failed(format!("it names '{}': {error}", access.href)))?;
    let place = Place::new(address, secrets(access.header.clone()));
    let network = &fetcher.settings.network;
    let response = network.get(&place)?.ok_or_else(|| failed(format!("it has no large file {}", pointer.oid)))?;
    let task = Task::start(&*fetcher.progress, Activity::Download, &place.shown, Some(pointer.size));
    let body = Body::new(Arc::clone(network), place.clone(), response);
    keep(pointer, Counted { inner: body, task: &task }, into).map_err(|error| failed(error.to_string()))?;
    task.finish(Outcome::Done);
    Ok(())
}

/// Keeps a content if it is the one that the pointer means.
fn keep(pointer: &Pointer, content: impl Read, into: &Path) -> io::Result<()> {
    let place = into.join(pointer.place());
    let directory = place.parent().unwrap_or(into);
    fs::create_dir_all(directory)?;
    let temporary = tempfile::NamedTempFile::new_in(directory)?;
    let mut out = HashWriter::new(HashAlgo::Sha256, temporary);
    // One byte more shows that there is too much.
    io::copy(&mut content.take(pointer.size.saturating_add(1)), &mut out)?;
    let (hash, size, temporary) = out.finish();
    if size != pointer.size || hash.to_hex() != pointer.oid {
        let message = format!("what comes for the large file {} is not what its pointer says", pointer.oid);
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    temporary.persist(&place).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_place_is_below_the_repository() {
        let below = |text: &str| below(&Url::parse(text).unwrap()).unwrap().to_string();
        assert_eq!(below("https://e.org/o/r"), "https://e.org/o/r.git/info/lfs");
        assert_eq!(below("https://e.org/o/r.git/"), "https://e.org/o/r.git/info/lfs");
        assert_eq!(quoted("/a'b"), r"'/a'\''b'");
    }
}
