//! Bearer tokens from a registry's token endpoint: Docker's token specification by `GET`, OAuth2 by `POST`.

use std::time::{Duration, Instant};

use reqwest::{Response, StatusCode};
use serde::Deserialize;
use url::Url;

use crate::complaint;
use crate::credentials::Credential;
use crate::error::chain;
use crate::retry::{Attempts, is_transient, retry_after};
use crate::settings::Retries;

/// Who we say we are.
const CLIENT_ID: &str = "wharf";
/// How long a token is good when the endpoint does not say: what the specification demands.
const DEFAULT_LIFETIME: u64 = 60;

/// A token and until when it is used.
#[derive(Clone)]
pub(crate) struct Token {
    pub value: String,
    pub expires: Instant,
}

/// What a token is asked for.
pub(crate) struct TokenRequest<'a> {
    pub realm: &'a Url,
    pub service: Option<&'a str>,
    pub scopes: &'a [String],
    pub credential: Option<&'a Credential>,
}

#[derive(Deserialize)]
struct Answer {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

impl TokenRequest<'_> {
    /// Asks the endpoint. The error says what happened, without secrets.
    pub async fn send(&self, http: &reqwest::Client, retries: Retries) -> Result<Token, String> {
        let mut attempts = Attempts::new(retries);
        loop {
            let response = self.ask(http).await;
            let after = match &response {
                Ok(response) if is_transient(response.status()) => retry_after(response.headers()),
                Ok(_) => return self.read(response?).await,
                Err(_) => None,
            };
            if !attempts.pause(after).await {
                return self.read(response?).await;
            }
        }
    }

    async fn ask(&self, http: &reqwest::Client) -> Result<Response, String> {
        match self.credential {
            Some(Credential::RefreshToken(token)) => {
                self.post(http, &[("grant_type", "refresh_token"), ("refresh_token", token)]).await
            }
            Some(Credential::Password { user, password }) => {
                let response = self.get(http, Some((user, password))).await?;
                if matches!(response.status(), StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED) {
                    let form = [("grant_type", "password"), ("username", user), ("password", password)];
                    self.post(http, &form).await
                } else {
                    Ok(response)
                }
            }
            None => self.get(http, None).await,
        }
    }

    async fn get(&self, http: &reqwest::Client, account: Option<(&str, &str)>) -> Result<Response, String> {
        let mut url = self.realm.clone();
        {
            let mut query = url.query_pairs_mut();
            query.extend_pairs(self.service.map(|service| ("service", service)));
            query.extend_pairs(self.scopes.iter().map(|scope| ("scope", scope)));
            query.extend_pairs(account.map(|(user, _)| ("account", user)));
            query.append_pair("client_id", CLIENT_ID);
        }
        let mut request = http.get(url);
        if let Some((user, password)) = account {
            request = request.basic_auth(user, Some(password));
        }
        request.send().await.map_err(|error| chain(&error.without_url()))
    }

    async fn post(&self, http: &reqwest::Client, grant: &[(&str, &str)]) -> Result<Response, String> {
        let request = http.post(self.realm.clone()).header("content-type", "application/x-www-form-urlencoded");
        request.body(self.form(grant)).send().await.map_err(|error| chain(&error.without_url()))
    }

    fn form(&self, grant: &[(&str, &str)]) -> String {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(grant).append_pair("client_id", CLIENT_ID);
        form.extend_pairs(self.service.map(|service| ("service", service)));
        form.append_pair("scope", &self.scopes.join(" "));
        form.finish()
    }

    async fn read(&self, response: Response) -> Result<Token, String> {
        let status = response.status();
        if !status.is_success() {
            let account = if self.credential.is_some() { "the account" } else { "a request without an account" };
            let said = complaint::of(response).await;
            return Err(format!("the token endpoint {} refused {account} with {status}: {said}", self.realm));
        }
        let answer: Answer = response.json().await.map_err(|error| chain(&error.without_url()))?;
        let Some(value) = answer.token.or(answer.access_token).filter(|token| !token.is_empty()) else {
            return Err(format!("the token endpoint {} gave no token", self.realm));
        };
        // A token that ends in the middle of a request is of no use.
        let lifetime = answer.expires_in.unwrap_or(DEFAULT_LIFETIME).max(DEFAULT_LIFETIME);
        Ok(Token { value, expires: Instant::now() + Duration::from_secs(lifetime * 3 / 4) })
    }
}
