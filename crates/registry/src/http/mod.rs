//! From requests to answers.

mod answer;
mod blobs;
mod body;
mod listing;
mod manifests;
mod pages;
mod request;
mod route;
mod uploads;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use hyper::body::{Body, Incoming};
use hyper::header::{ALLOW, AUTHORIZATION, HOST, HeaderName, USER_AGENT};
use hyper::{Method, Request, StatusCode};

pub use answer::Reply;
use request::{Query, header};
use route::Route;

use crate::auth::{Access, Authenticator};
use crate::config::Action;
use crate::error::Error;
use crate::metrics::Metrics;
use crate::repository::Repositories;
use crate::storage::Storage;
use crate::uploads::Uploads;
use crate::webhooks::{Event, Target, Webhooks};

const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");
const CONTENT_TYPE_OPTIONS: HeaderName = HeaderName::from_static("x-content-type-options");

/// Everything that a request may need.
pub struct App {
    pub storage: Arc<dyn Storage>,
    pub repositories: Repositories,
    pub uploads: Uploads,
    pub auth: Authenticator,
    pub webhooks: Webhooks,
    pub metrics: Metrics,
    pub allow_delete: bool,
    pub read_only: bool,
    pub public_url: Option<String>,
}

/// Who makes a request, as far as events and mounts need to know.
pub struct Caller {
    pub user: String,
    pub address: SocketAddr,
    pub host: String,
    pub agent: String,
    pub method: Method,
    pub authorization: Option<String>,
}

impl App {
    fn require_deletion(&self) -> Result<(), Error> {
        if self.allow_delete {
            return Ok(());
        }
        Err(Error::Unsupported("this registry deletes nothing; `storage.delete = true` allows it".into()))
    }

    fn require_writable(&self, access: Access<'_>) -> Result<(), Error> {
        match access {
            Access::Push(_) | Access::Delete(_) if self.read_only => {
                Err(Error::Unsupported("this registry is read-only".into()))
            }
            _ => Ok(()),
        }
    }

    /// Queues an event for those who want it. It is on the disk when this returns.
    async fn notify(self: &Arc<App>, action: Action, caller: &Caller, target: Target) -> Result<(), Error> {
        if !self.webhooks.wants(action) {
            return Ok(());
        }
        let event = Event::new(action, caller, target);
        let app = Arc::clone(self);
        blocking(move || Ok(app.webhooks.enqueue(action, &event)?)).await
    }

    /// The address of the token endpoint and the service's name, for a challenge.
    fn realm(&self, host: &str) -> (String, String) {
        let plain: String = host.chars().filter(|c| c.is_ascii_alphanumeric() || ".:-_[]".contains(*c)).collect();
        match &self.public_url {
            Some(url) => (format!("{}/token", url.trim_end_matches('/')), plain),
            None => (format!("http://{plain}/token"), plain),
        }
    }
}

/// Runs `work` on a thread that may block.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Error> + Send + 'static) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Error::Storage(std::io::Error::other(error)))?
}

/// Answers a request, and logs it in one line.
pub async fn serve(app: Arc<App>, address: SocketAddr, request: Request<Incoming>) -> Result<Reply, Infallible> {
    let started = Instant::now();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let agent = header(request.headers(), USER_AGENT).unwrap_or_default().to_owned();
    let owner = Arc::clone(&app);
    // In a task of its own: hyper drops this future when the client goes away, and what came must still be kept.
    let mut reply = match tokio::spawn(async move { answer(&owner, address, request).await }).await {
        Ok(reply) => reply,
        Err(error) => answer::error(&Error::Storage(std::io::Error::other(error))),
    };
    answer::set(&mut reply, API_VERSION, "registry/2.0");
    answer::set(&mut reply, CONTENT_TYPE_OPTIONS, "nosniff");
    let (status, sent) = (reply.status().as_u16(), reply.body().size_hint().lower());
    app.metrics.count(&method, status, sent);
    let took = started.elapsed().as_micros() as f64 / 1000.0;
    tracing::info!(target: "registry::access", "{address} {method} {path:?} {status} {sent} {took:.1}ms {agent:?}");
    Ok(reply)
}

async fn answer(app: &Arc<App>, address: SocketAddr, request: Request<Incoming>) -> Reply {
    let host = header(request.headers(), HOST).unwrap_or("localhost").to_owned();
    let route = match Route::parse(request.uri().path()) {
        Ok(route) => route,
        Err(error) => return answer::error(&error),
    };
    let access = route.access(request.method());
    let scope = access.scope();
    let outcome = match admit(app, address, &host, &route, &request).await {
        Ok(caller) => dispatch(app, &caller, route, request).await,
        Err(error) => Err(error),
    };
    outcome.unwrap_or_else(|error| {
        if let Error::Storage(cause) = &error {
            tracing::error!("the storage failed: {cause}");
        }
        let mut reply = answer::error(&error);
        match &error {
            Error::Unauthorized(_) => {
                let (realm, service) = app.realm(&host);
                answer::set_challenge(&mut reply, &realm, &service, scope.as_deref());
            }
            Error::Unsupported(_) => answer::set(&mut reply, ALLOW, "GET, HEAD"),
            _ => {}
        }
        reply
    })
}

/// Finds out who asks and whether they may.
async fn admit(
    app: &Arc<App>,
    address: SocketAddr,
    host: &str,
    route: &Route,
    request: &Request<Incoming>,
) -> Result<Caller, Error> {
    let method = request.method().clone();
    let authorization = header(request.headers(), AUTHORIZATION).map(str::to_owned);
    let mut user = String::new();
    if app.auth.is_required() && !route.is_public() {
        user = match &authorization {
            // Checking a password is slow by design.
            Some(given) if given.len() > 6 && given[..6].eq_ignore_ascii_case("basic ") => {
                let (owner, given) = (Arc::clone(app), given.clone());
                let parts = (request.uri().path().to_owned(), method.clone());
                blocking(move || owner.auth.authorize(Some(&given), Route::parse(&parts.0)?.access(&parts.1))).await?
            }
            other => app.auth.authorize(other.as_deref(), route.access(&method))?,
        };
    }
    app.require_writable(route.access(&method))?;
    let agent = header(request.headers(), USER_AGENT).unwrap_or_default().to_owned();
    Ok(Caller { user, address, host: host.to_owned(), agent, method, authorization })
}

async fn dispatch(app: &Arc<App>, caller: &Caller, route: Route, request: Request<Incoming>) -> Result<Reply, Error> {
    let (parts, body) = request.into_parts();
    let (method, headers) = (parts.method, &parts.headers);
    let query = Query::parse(parts.uri.query());
    let reading = method == Method::GET || method == Method::HEAD;
    match (route, method.as_str()) {
        (Route::Base, "GET" | "HEAD") => Ok(answer::json(StatusCode::OK, &serde_json::json!({}))),
        (Route::Blob(name, digest), "GET") => blobs::get(app, name, digest, headers).await,
        (Route::Blob(name, digest), "HEAD") => blobs::head(app, name, digest).await,
        (Route::Blob(name, digest), "DELETE") => blobs::delete(app, name, digest).await,
        (Route::Uploads(name), "POST") => uploads::start(app, caller, name, &query, headers, body).await,
        (Route::Upload(name, id), "GET" | "HEAD") => uploads::status(app, name, id).await,
        (Route::Upload(name, id), "PATCH") => uploads::append(app, name, id, headers, body).await,
        (Route::Upload(name, id), "PUT") => uploads::complete(app, name, id, &query, headers, body).await,
        (Route::Upload(name, id), "DELETE") => uploads::cancel(app, name, id).await,
        (Route::Manifest(name, reference), "GET" | "HEAD") => {
            manifests::get(app, caller, name, reference, headers, method == Method::GET).await
        }
        (Route::Manifest(name, reference), "PUT") => {
            manifests::put(app, caller, name, reference, &query, headers, body).await
        }
        (Route::Manifest(name, reference), "DELETE") => manifests::delete(app, caller, name, reference).await,
        (Route::Tags(name), _) if reading => listing::tags(app, name, &query).await,
        (Route::Catalog, _) if reading => listing::catalog(app, &query).await,
        (Route::Referrers(name, digest), _) if reading => listing::referrers(app, name, digest, &query).await,
        (Route::Token, "GET" | "POST") => pages::token(app, &method, query, headers, body).await,
        (Route::Health, _) if reading => pages::health(app).await,
        (Route::Metrics, _) if reading => Ok(pages::metrics(app)),
        (Route::Status, _) if reading => pages::status(app, &caller.host).await,
        (_, method) => Err(Error::Unsupported(format!("{method} means nothing at this address"))),
    }
}
