//! Events to other systems: queued on the disk, delivered in order, kept until the receiver has taken them.
//!
//! One directory for each receiver, one file for each event, in the JSON envelope of CNCF Distribution
//! (`application/vnd.docker.distribution.events.v1+json`). The queue survives a restart; a receiver that is away is tried
//! again with growing pauses, and holds up nobody else.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde_json::json;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::config::{Action, Webhook};
use crate::digest::Digest;
use crate::http::Caller;
use crate::name::{Reference, RepositoryName, Tag};
use crate::storage::UploadId;

const MEDIA_TYPE: &str = "application/vnd.docker.distribution.events.v1+json";
/// The first pause after a failure; each next one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// How many events wait for one receiver at most. Beyond, the newest are dropped, with a line in the log.
const LONGEST_QUEUE: usize = 100_000;

/// All receivers.
pub struct Webhooks {
    receivers: Vec<Arc<Receiver>>,
    sequence: AtomicU64,
}

struct Receiver {
    name: String,
    config: Webhook,
    headers: HeaderMap,
    directory: PathBuf,
    queued: AtomicUsize,
    arrived: Notify,
}

/// What an event is about.
#[derive(Debug, Clone)]
pub struct Target(serde_json::Value);

/// Something that happened.
pub struct Event(serde_json::Value);

impl Target {
    /// A manifest that was pushed or pulled by `reference`.
    pub fn manifest(
        repository: &RepositoryName,
        digest: &Digest,
        media_type: &str,
        size: usize,
        reference: &Reference,
    ) -> Target {
        let mut target = json!({
            "mediaType": media_type,
            "size": size,
            "digest": digest,
            "length": size,
            "repository": repository.as_str(),
            "url": format!("/v2/{repository}/manifests/{digest}"),
        });
        if let Reference::Tag(tag) = reference {
            target["tag"] = json!(tag.as_str());
        }
        Target(target)
    }

    /// The same manifest under another tag.
    pub fn with_tag(mut self, tag: &Tag) -> Target {
        self.0["tag"] = json!(tag.as_str());
        self
    }

    /// A blob.
    pub fn blob(repository: &RepositoryName, digest: &Digest) -> Target {
        Target(json!({
            "mediaType": "application/octet-stream",
            "digest": digest,
            "repository": repository.as_str(),
            "url": format!("/v2/{repository}/blobs/{digest}"),
        }))
    }

    /// A manifest or tag that is gone.
    pub fn deleted(repository: &RepositoryName, reference: &Reference) -> Target {
        let mut target = json!({ "repository": repository.as_str() });
        match reference {
            Reference::Tag(tag) => target["tag"] = json!(tag.as_str()),
            Reference::Digest(digest) => target["digest"] = json!(digest),
        }
        Target(target)
    }
}

impl Event {
    /// An event of now.
    pub fn new(action: Action, caller: &Caller, target: Target) -> Event {
        Event(json!({
            "id": UploadId::random().as_str(),
            "timestamp": jiff::Timestamp::now().to_string(),
            "action": action.as_str(),
            "target": target.0,
            "request": {
                "id": UploadId::random().as_str(),
                "addr": caller.address.to_string(),
                "host": caller.host,
                "method": caller.method.as_str(),
                "useragent": caller.agent,
            },
            "actor": { "name": caller.user },
            "source": {},
        }))
    }
}

impl Webhooks {
    /// The receivers of a configuration, with queues under `root`.
    ///
    /// # Errors
    /// If a queue cannot be made or read, or a header is not one.
    pub fn open(root: &Path, configured: &BTreeMap<String, Webhook>) -> io::Result<Webhooks> {
        let mut receivers = Vec::new();
        for (name, config) in configured {
            let directory = root.join(name);
            fs::create_dir_all(&directory)?;
            let queued = waiting(&directory)?.len();
            let headers = headers(name, config)?;
            receivers.push(Arc::new(Receiver {
                name: name.clone(),
                config: config.clone(),
                headers,
                directory,
                queued: AtomicUsize::new(queued),
                arrived: Notify::new(),
            }));
        }
        Ok(Webhooks { receivers, sequence: AtomicU64::new(0) })
    }

    /// Whether anybody wants such events.
    pub fn wants(&self, action: Action) -> bool {
        self.receivers.iter().any(|receiver| receiver.config.events.contains(&action))
    }

    /// How many events wait.
    pub fn queued(&self) -> usize {
        self.receivers.iter().map(|receiver| receiver.queued.load(Ordering::Relaxed)).sum()
    }

    /// Puts an event in the queues of those who want it, durably. Blocks.
    pub fn enqueue(&self, action: Action, event: &Event) -> io::Result<()> {
        let envelope = json!({ "events": [event.0] }).to_string();
        for receiver in self.receivers.iter().filter(|receiver| receiver.config.events.contains(&action)) {
            if receiver.queued.load(Ordering::Relaxed) >= LONGEST_QUEUE {
                tracing::error!("webhook {}: {LONGEST_QUEUE} events wait already; this one is dropped", receiver.name);
                continue;
            }
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
            let count = self.sequence.fetch_add(1, Ordering::Relaxed);
            let path = receiver.directory.join(format!("{now:024}-{count:012}.json"));
            let temporary = path.with_extension("new");
            fs::write(&temporary, &envelope)?;
            fs::File::open(&temporary)?.sync_data()?;
            fs::rename(&temporary, &path)?;
            fs::File::open(&receiver.directory)?.sync_all()?;
            receiver.queued.fetch_add(1, Ordering::Relaxed);
            receiver.arrived.notify_one();
        }
        Ok(())
    }

    /// Starts delivering. The tasks run until they are aborted; what is not delivered stays queued.
    pub fn deliver(&self, client: &reqwest::Client) -> Vec<JoinHandle<()>> {
        let start = |receiver: &Arc<Receiver>| tokio::spawn(Arc::clone(receiver).run(client.clone()));
        self.receivers.iter().map(start).collect()
    }
}

fn headers(name: &str, config: &Webhook) -> io::Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (key, value) in &config.headers {
        let wrong = || io::Error::other(format!("webhook {name}: `{key}` is not a valid header"));
        let key = HeaderName::from_bytes(key.as_bytes()).map_err(|_| wrong())?;
        headers.insert(key, HeaderValue::from_str(value).map_err(|_| wrong())?);
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    Ok(headers)
}

/// The queued files, oldest first.
fn waiting(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

impl Receiver {
    async fn run(self: Arc<Receiver>, client: reqwest::Client) {
        let mut pause = FIRST_PAUSE;
        loop {
            let delivered = self.deliver_waiting(&client).await;
            match delivered {
                Ok(()) => {
                    pause = FIRST_PAUSE;
                    self.arrived.notified().await;
                }
                Err(error) => {
                    tracing::warn!("webhook {}: {error}; trying again in {} s", self.name, pause.as_secs());
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// Delivers everything that waits, in order; stops at the first failure.
    async fn deliver_waiting(&self, client: &reqwest::Client) -> Result<(), String> {
        for path in waiting(&self.directory).map_err(|error| error.to_string())? {
            let body = fs::read(&path).map_err(|error| error.to_string())?;
            let request = client.post(&self.config.url).headers(self.headers.clone()).timeout(self.config.timeout);
            let answer = request.body(body).send().await.map_err(|error| format!("{}: {error}", self.config.url))?;
            if !answer.status().is_success() {
                return Err(format!("{} answered {}", self.config.url, answer.status()));
            }
            fs::remove_file(&path).map_err(|error| error.to_string())?;
            self.queued.fetch_sub(1, Ordering::Relaxed);
        }
        Ok(())
    }
}
