//! One address of a registry: reaching it, being admitted, sending requests with retries.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use reqwest::header::{AUTHORIZATION, HeaderValue, LOCATION};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use tokio::sync::Mutex;
use url::Url;

use crate::address::{host_of, is_loopback};
use crate::challenge::Challenge;
use crate::complaint;
use crate::credentials::{self, Credential};
use crate::error::{Error, chain};
use crate::rate_limit::RateLimit;
use crate::retry::{Attempts, is_transient, retry_after};
use crate::settings::{Retries, Settings};
use crate::tls::{self, Certificates, Trust};
use crate::token::{Token, TokenRequest};

/// One address of a registry that has answered.
pub(crate) struct Registry {
    /// `https://host/v2/`, with what a mirror puts before repository names.
    base: Url,
    /// The host with its port: the key of its credentials.
    host: String,
    http: reqwest::Client,
    retries: Retries,
    given: Option<Credential>,
    auth_files: Vec<PathBuf>,
    challenge: Mutex<Option<Challenge>>,
    tokens: Mutex<HashMap<String, Token>>,
    limit: std::sync::Mutex<Option<RateLimit>>,
}

/// What a request needs permission for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scopes {
    repository: String,
    list: Vec<String>,
}

impl Scopes {
    /// Nothing but to be known.
    pub fn none() -> Scopes {
        Scopes { repository: String::new(), list: Vec::new() }
    }

    pub fn pull(repository: &str) -> Scopes {
        Scopes { repository: repository.to_owned(), list: vec![format!("repository:{repository}:pull")] }
    }

    pub fn push(repository: &str) -> Scopes {
        Scopes { repository: repository.to_owned(), list: vec![format!("repository:{repository}:pull,push")] }
    }

    pub fn delete(repository: &str) -> Scopes {
        Scopes { repository: repository.to_owned(), list: vec![format!("repository:{repository}:pull,delete")] }
    }

    pub fn catalog() -> Scopes {
        Scopes { repository: String::new(), list: vec!["registry:catalog:*".to_owned()] }
    }

    /// Also read from another repository, to mount from it.
    pub fn and_pull(mut self, repository: &str) -> Scopes {
        self.list.push(format!("repository:{repository}:pull"));
        self
    }
}

impl Registry {
    /// Asks the address whether a registry is there, and how it wants to be spoken to.
    pub async fn connect(address: &str, trust: Trust, host: &str, settings: &Settings) -> Result<Registry, Error> {
        let wrong = |error| Error::Settings(format!("`{address}` is not an address: {error}"));
        let mut base = Url::parse(&format!("{}/", address.trim_end_matches('/'))).map_err(wrong)?;
        let prefix = base.path().trim_matches('/').to_owned();
        base.set_path("/v2/");
        let registry = Registry {
            host: host.to_owned(),
            http: tls::client(trust, &Certificates::of_host(settings, host)?)?,
            retries: settings.retries,
            given: settings.credentials.get(host).cloned(),
            auth_files: settings.auth_files.clone(),
            challenge: Mutex::new(None),
            tokens: Mutex::default(),
            limit: std::sync::Mutex::default(),
            base: base.clone(),
        };
        let response = registry.say_hello().await?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED => {
                *registry.challenge.lock().await = Challenge::from_headers(response.headers());
            }
            status => {
                let message = format!("{base} answered {status}; is it a registry?");
                return Err(Error::Unreachable { registry: registry.name(), action: "say hello".into(), message });
            }
        }
        if !prefix.is_empty() {
            base.set_path(&format!("/v2/{prefix}/"));
        }
        Ok(Registry { base, ..registry })
    }

    /// Asks for the API's root. An address where nothing listens is given up at once; a busy registry is asked again.
    async fn say_hello(&self) -> Result<Response, Error> {
        let mut attempts = Attempts::new(self.retries);
        loop {
            let sent = self.http.get(self.base.clone()).send().await;
            let response = sent.map_err(|error| self.unreachable("say hello", &error))?;
            let busy = is_transient(response.status());
            if !busy || !attempts.pause(retry_after(response.headers())).await {
                return Ok(response);
            }
        }
    }

    /// The host with its port, as references name it.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The address, for messages.
    pub fn name(&self) -> String {
        let host = host_of(&self.base);
        if self.base.scheme() == "https" { host } else { format!("http://{host}") }
    }

    /// The address of something under the API's root.
    pub fn url(&self, path: &str) -> Result<Url, Error> {
        self.base.join(path).map_err(|error| Error::Settings(format!("{path} makes no address: {error}")))
    }

    /// A request to be sent by [`Registry::send`].
    pub fn request(&self, method: Method, url: Url) -> RequestBuilder {
        self.http.request(method, url)
    }

    /// Sends what `build` makes, again where that may help. Answers other than "not permitted" and passing failures are
    /// the caller's to judge.
    pub async fn send(
        &self,
        action: &str,
        scopes: &Scopes,
        mut build: impl FnMut() -> Result<RequestBuilder, Error>,
    ) -> Result<Response, Error> {
        let mut attempts = Attempts::new(self.retries);
        loop {
            match self.send_once(action, scopes, &mut build).await {
                Ok(response) if is_transient(response.status()) => {
                    if !attempts.pause(retry_after(response.headers())).await {
                        return Err(self.refused(action, response).await);
                    }
                }
                Err(error @ Error::Unreachable { .. }) => {
                    if !attempts.pause(None).await {
                        return Err(error);
                    }
                }
                other => return other,
            }
        }
    }

    /// Sends what `build` makes, a second time only if the registry wants to know who we are.
    pub async fn send_once(
        &self,
        action: &str,
        scopes: &Scopes,
        mut build: impl FnMut() -> Result<RequestBuilder, Error>,
    ) -> Result<Response, Error> {
        let mut asked_again = false;
        loop {
            let request = self.with_authorization(build()?.build(), action, scopes).await?;
            let response = self.http.execute(request).await.map_err(|error| self.unreachable(action, &error))?;
            self.note_limit(&response);
            match response.status() {
                StatusCode::UNAUTHORIZED if !asked_again => {
                    asked_again = true;
                    self.take_challenge(&response, scopes).await;
                }
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                    return Err(self.unauthorized(action, scopes, response).await);
                }
                _ => return Ok(response),
            }
        }
    }

    /// Adds the authorization, unless the request goes to another host than the registry's: an upload's `Location` may.
    async fn with_authorization(
        &self,
        request: reqwest::Result<reqwest::Request>,
        action: &str,
        scopes: &Scopes,
    ) -> Result<reqwest::Request, Error> {
        let mut request = request.map_err(|error| self.unreachable(action, &error))?;
        if request.url().origin() != self.base.origin() {
            return Ok(request);
        }
        if let Some(value) = self.authorization(action, scopes).await? {
            let mut value = HeaderValue::from_str(&value).map_err(|_| {
                Error::Settings(format!("the credentials for {} cannot be sent in a header", self.host))
            })?;
            value.set_sensitive(true);
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        Ok(request)
    }

    async fn authorization(&self, action: &str, scopes: &Scopes) -> Result<Option<String>, Error> {
        let challenge = self.challenge.lock().await.clone();
        match challenge {
            None => Ok(None),
            Some(Challenge::Basic) => match self.credential(&scopes.repository).await? {
                Some(Credential::Password { user, password }) => {
                    use base64::Engine;
                    let encoded = base64::prelude::BASE64_STANDARD.encode(format!("{user}:{password}"));
                    Ok(Some(format!("Basic {encoded}")))
                }
                _ => Ok(None),
            },
            Some(Challenge::Bearer { realm, service, .. }) => {
                let token = self.token(action, &realm, service.as_deref(), scopes).await?;
                Ok(Some(format!("Bearer {token}")))
            }
        }
    }

    async fn token(&self, action: &str, realm: &str, service: Option<&str>, scopes: &Scopes) -> Result<String, Error> {
        // Held while the token is fetched, so that parallel requests fetch one.
        let mut tokens = self.tokens.lock().await;
        let key = scopes.list.join(" ");
        if let Some(token) = tokens.get(&key).filter(|token| token.expires > Instant::now()) {
            return Ok(token.value.clone());
        }
        let refused = |reason: String| Error::Unauthorized { registry: self.name(), action: action.to_owned(), reason };
        let realm = self.base.join(realm).map_err(|error| refused(format!("its token endpoint: {error}")))?;
        let plain = realm.scheme() != "https" && realm.host() != self.base.host();
        if plain && !is_loopback(&host_of(&realm)) {
            return Err(refused(format!("its token endpoint {realm} is on another host and has no TLS")));
        }
        let credential = self.credential(&scopes.repository).await?;
        let request = TokenRequest { realm: &realm, service, scopes: &scopes.list, credential: credential.as_ref() };
        let token = request.send(&self.http, self.retries).await.map_err(refused)?;
        let value = token.value.clone();
        tokens.insert(key, token);
        Ok(value)
    }

    async fn credential(&self, repository: &str) -> Result<Option<Credential>, Error> {
        if self.given.is_some() {
            return Ok(self.given.clone());
        }
        let (files, host, repository) = (self.auth_files.clone(), self.host.clone(), repository.to_owned());
        let found = tokio::task::spawn_blocking(move || credentials::find(&files, &host, &repository)).await;
        Ok(found.map_err(|error| Error::Settings(error.to_string()))??)
    }

    /// Takes what a 401 asks for, and forgets the token that did not help.
    async fn take_challenge(&self, response: &Response, scopes: &Scopes) {
        self.tokens.lock().await.remove(&scopes.list.join(" "));
        if let Some(challenge) = Challenge::from_headers(response.headers()) {
            *self.challenge.lock().await = Some(challenge);
        }
    }

    /// The address that an answer's `Location` means.
    pub fn location(&self, response: &Response, action: &str) -> Result<Url, Error> {
        let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        let url = location.and_then(|location| response.url().join(location).ok());
        url.filter(|url| url.scheme() == "https" || self.base.scheme() == "http").ok_or_else(|| Error::Refused {
            registry: self.name(),
            action: action.to_owned(),
            message: "its answer has no usable Location".to_owned(),
        })
    }

    fn note_limit(&self, response: &Response) {
        if let (Some(found), Ok(mut limit)) = (RateLimit::of(response.headers()), self.limit.lock()) {
            *limit = Some(found);
        }
    }

    /// What the registry said last of how often it may be asked.
    pub fn rate_limit(&self) -> Option<RateLimit> {
        self.limit.lock().ok()?.clone()
    }

    /// The error for an answer that is not the one hoped for.
    pub async fn refused(&self, action: &str, response: Response) -> Error {
        let status = response.status();
        let mut message = format!("{status}: ");
        let limit = self.rate_limit().filter(|_| status == StatusCode::TOO_MANY_REQUESTS);
        // Some give a date where seconds belong.
        let a_day = Duration::from_secs(86400);
        let after = retry_after(response.headers()).filter(|after| is_transient(status) && *after < a_day);
        message.push_str(&complaint::of(response).await);
        if let Some(after) = after {
            message.push_str(&format!("; it may be asked again in {} s", after.as_secs()));
        }
        if let Some(limit) = limit {
            message.push_str(&format!("; {limit}"));
        }
        Error::Refused { registry: self.name(), action: action.to_owned(), message }
    }

    async fn unauthorized(&self, action: &str, scopes: &Scopes, response: Response) -> Error {
        let account = match self.credential(&scopes.repository).await {
            Ok(Some(Credential::Password { user, .. })) => format!("as {user}"),
            Ok(Some(Credential::RefreshToken(_))) => "with a stored token".to_owned(),
            _ => format!("without an account; `wharf login {}` stores one", self.host),
        };
        let reason = format!("{} ({account})", complaint::of(response).await);
        Error::Unauthorized { registry: self.name(), action: action.to_owned(), reason }
    }

    pub fn unreachable(&self, action: &str, error: &reqwest::Error) -> Error {
        Error::Unreachable { registry: self.name(), action: action.to_owned(), message: chain(error) }
    }

    pub fn retries(&self) -> Retries {
        self.retries
    }
}
