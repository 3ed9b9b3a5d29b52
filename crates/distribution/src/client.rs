//! What callers use: one client for any number of registries.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use image::Digest;
use image::media::{Descriptor, Index};
use reqwest::header::{ACCEPT, CONTENT_TYPE, LINK};
use reqwest::{Method, Response, StatusCode};
use serde::Deserialize;
use tokio::sync::Mutex;

use crate::address::{addresses, mirror_trust};
use crate::documents::{ACCEPTED, Document, MANIFEST_LIMIT, shown};
use crate::error::Error;
use crate::rate_limit::RateLimit;
use crate::reference::Reference;
use crate::registry::{Registry, Scopes};
use crate::settings::Settings;

/// How much of a list is read.
const LIST_LIMIT: usize = 64 * 1024 * 1024;

/// A client of registries. Cheap to clone; connections, tokens and what is known of each registry are shared.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

struct Shared {
    settings: Settings,
    /// By the address that was asked for.
    registries: Mutex<HashMap<String, Arc<Registry>>>,
}

/// Where a reference was found, and what it stands for.
pub(crate) struct Found {
    pub registry: Arc<Registry>,
    /// The repository's name there.
    pub repository: String,
    pub document: Document,
}

/// What a tag or digest stands for.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// The manifest or index.
    pub descriptor: Descriptor,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl Resolved {
    /// The digests of the platforms' manifests, where it is an index: by `OS/ARCHITECTURE[/VARIANT]`.
    pub fn platforms(&self) -> BTreeMap<String, String> {
        let index: Index = serde_json::from_slice(&self.bytes).unwrap_or(Index {
            schema_version: 2,
            media_type: None,
            manifests: Vec::new(),
            annotations: BTreeMap::new(),
        });
        let named = index.manifests.iter().filter_map(|entry| Some((shown(entry.platform.as_ref()?), entry.digest)));
        named
            .filter(|(name, _)| !name.starts_with("unknown"))
            .map(|(name, digest)| (name, digest.to_string()))
            .collect()
    }
}

impl Client {
    /// A client with these settings. Nothing is asked of any registry yet.
    pub fn new(settings: Settings) -> Client {
        Client { shared: Arc::new(Shared { settings, registries: Mutex::default() }) }
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.shared.settings
    }

    /// The registry itself, for everything that changes it.
    pub(crate) async fn registry(&self, reference: &Reference) -> Result<Arc<Registry>, Error> {
        let insecure = self.settings().registries.conf.insecure(reference)?;
        self.at_host(reference.host(), insecure).await
    }

    async fn at_host(&self, host: &str, insecure: bool) -> Result<Arc<Registry>, Error> {
        let mut known = self.shared.registries.lock().await;
        if let Some(registry) = known.get(host) {
            return Ok(Arc::clone(registry));
        }
        let mut first_failure = None;
        let insecure = insecure || self.settings().registries.insecure.contains(host);
        for (address, trust) in addresses(host, insecure) {
            match Registry::connect(&address, trust, host, self.settings()).await {
                Ok(registry) => {
                    let registry = Arc::new(registry);
                    known.insert(host.to_owned(), Arc::clone(&registry));
                    return Ok(registry);
                }
                Err(error) => first_failure = first_failure.or(Some(error)),
            }
        }
        Err(first_failure.unwrap_or_else(|| Error::Settings(format!("there is no address for {host}"))))
    }

    async fn at_mirror(&self, address: &str) -> Result<Arc<Registry>, Error> {
        let mut known = self.shared.registries.lock().await;
        if let Some(registry) = known.get(address) {
            return Ok(Arc::clone(registry));
        }
        let trust = mirror_trust(address, self.settings())?;
        let host = address.split("://").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or(address);
        let registry = Arc::new(Registry::connect(address, trust, host, self.settings()).await?);
        known.insert(address.to_owned(), Arc::clone(&registry));
        Ok(registry)
    }

    /// What registries said of how often they may be asked, by their hosts.
    pub fn rate_limits(&self) -> BTreeMap<String, RateLimit> {
        // Nobody holds the lock after the work is done.
        let known = self.shared.registries.try_lock();
        let known = known.iter().flat_map(|known| known.values());
        known.filter_map(|registry| Some((registry.host().to_owned(), registry.rate_limit()?))).collect()
    }

    /// Reads `reference` from its mirrors, then from the registry itself: the first that has it. The error is that of the
    /// registry itself.
    pub(crate) async fn find(&self, reference: &Reference) -> Result<Found, Error> {
        let settings = &self.settings().registries;
        for address in settings.mirrors.get(reference.host()).into_iter().flatten() {
            let registry = self.at_mirror(address).await;
            match found(registry, reference.repository(), reference).await {
                Err(error) if error.try_elsewhere() => {}
                other => return other,
            }
        }
        let mut sources = settings.conf.pull_sources(reference)?;
        let last = sources.pop();
        for source in sources {
            let registry = self.at_host(&source.host, source.insecure).await;
            match found(registry, &source.repository, reference).await {
                Err(error) if error.try_elsewhere() => {}
                other => return other,
            }
        }
        let last = last.ok_or_else(|| Error::Settings(format!("there is no place to pull {reference} from")))?;
        found(self.at_host(&last.host, last.insecure).await, &last.repository, reference).await
    }

    /// What a reference stands for now.
    ///
    /// # Errors
    /// It does not exist, or the registry cannot be reached or does not let us.
    pub async fn resolve(&self, reference: &Reference) -> Result<Resolved, Error> {
        let document = self.find(reference).await?.document;
        Ok(Resolved { descriptor: document.descriptor(), bytes: document.bytes })
    }

    /// Asks the registry at `host` whether it accepts our credentials.
    ///
    /// # Errors
    /// It does not, or cannot be reached.
    pub async fn log_in(&self, host: &str) -> Result<(), Error> {
        let registry = self.at_host(host, self.settings().registries.conf.insecure_host(host)).await?;
        let url = registry.url("/v2/")?;
        let send = || Ok(registry.request(Method::GET, url.clone()));
        let response = registry.send("log in", &Scopes::none(), send).await?;
        match response.status() {
            status if status.is_success() => Ok(()),
            _ => Err(registry.refused("log in", response).await),
        }
    }

    /// All tags of a reference's repository, as the registry orders them.
    ///
    /// # Errors
    /// As [`Client::resolve`].
    pub async fn tags(&self, reference: &Reference) -> Result<Vec<String>, Error> {
        #[derive(Deserialize)]
        struct Page {
            tags: Option<Vec<String>>,
        }
        let registry = self.registry(reference).await?;
        let repository = reference.repository();
        let path = format!("{repository}/tags/list");
        list(&registry, &path, "list tags", &Scopes::pull(repository), |page: Page| page.tags.unwrap_or_default()).await
    }

    /// All repositories of the registry at `host`, where it tells them.
    ///
    /// # Errors
    /// As [`Client::resolve`].
    pub async fn catalog(&self, host: &str) -> Result<Vec<String>, Error> {
        #[derive(Deserialize)]
        struct Page {
            repositories: Option<Vec<String>>,
        }
        let registry = self.at_host(host, self.settings().registries.conf.insecure_host(host)).await?;
        let names = |page: Page| page.repositories.unwrap_or_default();
        list(&registry, "_catalog", "list repositories", &Scopes::catalog(), names).await
    }

    /// Deletes a tag or, by digest, a manifest.
    ///
    /// # Errors
    /// As [`Client::resolve`], and where the registry deletes nothing.
    pub async fn delete(&self, reference: &Reference) -> Result<(), Error> {
        let registry = self.registry(reference).await?;
        let url = registry.url(&format!("{}/manifests/{}", reference.repository(), reference.target()))?;
        let scopes = Scopes::delete(reference.repository());
        let action = format!("delete {reference}");
        let send = || Ok(registry.request(Method::DELETE, url.clone()));
        let response = registry.send(&action, &scopes, send).await?;
        match response.status() {
            status if status.is_success() => Ok(()),
            StatusCode::NOT_FOUND => Err(Error::NotFound { registry: registry.name(), what: reference.to_string() }),
            _ => Err(registry.refused(&action, response).await),
        }
    }
}

async fn found(
    registry: Result<Arc<Registry>, Error>,
    repository: &str,
    reference: &Reference,
) -> Result<Found, Error> {
    let registry = registry?;
    let document = manifest(&registry, repository, &reference.target()).await?;
    Ok(Found { registry, repository: repository.to_owned(), document })
}

/// Reads a manifest and checks its digest.
pub(crate) async fn manifest(registry: &Registry, repository: &str, target: &str) -> Result<Document, Error> {
    let url = registry.url(&format!("{repository}/manifests/{target}"))?;
    let action = format!("read the manifest {repository}:{target}");
    let send = || Ok(registry.request(Method::GET, url.clone()).header(ACCEPT, ACCEPTED));
    let response = registry.send(&action, &Scopes::pull(repository), send).await?;
    match response.status() {
        StatusCode::OK => {}
        StatusCode::NOT_FOUND => return Err(missing(registry, repository, target)),
        _ => return Err(registry.refused(&action, response).await),
    }
    let content_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let bytes = body(registry, &action, response, MANIFEST_LIMIT).await?;
    if let Ok(expected) = target.parse::<Digest>() {
        let found = Digest::of(&bytes);
        if found != expected {
            return Err(Error::Corrupt {
                what: format!("the manifest of {repository}"),
                registry: registry.name(),
                expected: expected.to_string(),
                found: found.to_string(),
            });
        }
    }
    Document::parse(bytes, content_type.as_deref(), target)
}

/// The digest of what `target` stands for at the registry, if it is there.
pub(crate) async fn manifest_digest(
    registry: &Registry,
    repository: &str,
    target: &str,
    scopes: &Scopes,
) -> Result<Option<Digest>, Error> {
    let url = registry.url(&format!("{repository}/manifests/{target}"))?;
    let action = format!("look up {repository}:{target}");
    let send = || Ok(registry.request(Method::HEAD, url.clone()).header(ACCEPT, ACCEPTED));
    let response = registry.send(&action, scopes, send).await?;
    match response.status() {
        StatusCode::OK => {}
        StatusCode::NOT_FOUND => return Ok(None),
        _ => return Err(registry.refused(&action, response).await),
    }
    let header = response.headers().get("docker-content-digest").and_then(|value| value.to_str().ok());
    match header.and_then(|text| text.parse().ok()) {
        Some(digest) => Ok(Some(digest)),
        // Old registries do not send the digest with HEAD.
        None => manifest(registry, repository, target).await.map(|document| Some(document.digest)),
    }
}

fn missing(registry: &Registry, repository: &str, target: &str) -> Error {
    let separator = if target.contains(':') { '@' } else { ':' };
    Error::NotFound { registry: registry.name(), what: format!("{repository}{separator}{target}") }
}

/// A whole answer of at most `limit` bytes.
pub(crate) async fn body(
    registry: &Registry,
    action: &str,
    mut response: Response,
    limit: usize,
) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(|error| registry.unreachable(action, &error))? {
        if bytes.len() + piece.len() > limit {
            let message = format!("its answer is longer than {limit} bytes");
            return Err(Error::Refused { registry: registry.name(), action: action.to_owned(), message });
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

/// Reads a list with all its pages.
async fn list<P: serde::de::DeserializeOwned>(
    registry: &Registry,
    path: &str,
    action: &str,
    scopes: &Scopes,
    entries: impl Fn(P) -> Vec<String>,
) -> Result<Vec<String>, Error> {
    let mut url = registry.url(path)?;
    let mut found = Vec::new();
    loop {
        let response = registry.send(action, scopes, || Ok(registry.request(Method::GET, url.clone()))).await?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => {
                return Err(Error::NotFound {
                    registry: registry.name(),
                    what: path.trim_end_matches("/tags/list").to_owned(),
                });
            }
            _ => return Err(registry.refused(action, response).await),
        }
        let next = next_page(&response).filter(|next| next.origin() == url.origin() && *next != url);
        let bytes = body(registry, action, response, LIST_LIMIT).await?;
        let page = serde_json::from_slice(&bytes)
            .map_err(|error| Error::Unusable { what: format!("the list {url}"), reason: error.to_string() })?;
        let before = found.len();
        found.extend(entries(page));
        match next {
            Some(next) if found.len() > before => url = next,
            _ => return Ok(found),
        }
    }
}

/// The address in `Link: <…>; rel="next"`.
fn next_page(response: &Response) -> Option<url::Url> {
    let link = response.headers().get(LINK)?.to_str().ok()?;
    let (address, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
    let is_next = parameters.contains("rel=\"next\"") || parameters.contains("rel=next");
    is_next.then(|| response.url().join(address).ok()).flatten()
}
