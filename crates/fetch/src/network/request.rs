//! One question to a server: retries, redirects, and who may see what is secret.

use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use reqwest::blocking::Response;
use reqwest::header::{ACCEPT, CONTENT_TYPE, IF_RANGE, LOCATION, RANGE, RETRY_AFTER};
use reqwest::{Method, StatusCode};
use url::Url;

use super::credentials::Identity;
use super::{Network, Payload, Secret, reasons};
use crate::FetchError;

/// How many redirects are followed.
const MOST_REDIRECTS: usize = 10;
/// The longest wait before a server is asked again, whatever it says.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
const FIRST_WAIT: Duration = Duration::from_millis(250);

/// What is asked for.
#[derive(Clone)]
pub(crate) struct Place {
    /// The address for a method. Asked for each time: signed addresses are good for some time and one method only.
    pub address: Arc<dyn Fn(&Method) -> Url + Send + Sync>,
    /// How people are told of it; nothing secret.
    pub shown: String,
    /// Headers for the host of the address, and no other.
    pub secrets: Vec<Secret>,
}

impl Place {
    /// What is at an address.
    pub fn new(url: Url, secrets: Vec<Secret>) -> Self {
        let shown = shown(&url);
        Self { address: Arc::new(move |_| url.clone()), shown, secrets }
    }
}

/// How it is asked for.
pub(crate) struct Question<'a> {
    pub method: Method,
    /// Go on from this byte, if the content is still what this says (an entity tag or a date).
    pub from: Option<(u64, &'a str)>,
    pub body: Option<Payload<'a>>,
    /// The kind of answer that is wanted.
    pub accept: Option<&'static str>,
}

impl Question<'_> {
    pub fn of(method: Method) -> Self {
        Self { method, from: None, body: None, accept: None }
    }
}

impl Network {
    /// The answer, whatever its status; but a server that is busy or away is asked again first.
    pub(crate) fn ask(&self, place: &Place, question: &Question<'_>) -> Result<Response, FetchError> {
        if self.settings.offline {
            return Err(FetchError::Offline { url: place.shown.clone() });
        }
        let mut wait = FIRST_WAIT;
        let mut attempt = 1;
        loop {
            let last = attempt >= self.settings.attempts;
            let said = match self.follow(place, question) {
                Ok(response) if !last && is_passing(response.status()) => retry_after(&response),
                Ok(response) => return Ok(response),
                Err(problem) if !last && problem.may_pass => None,
                Err(Problem { message, .. }) => {
                    return Err(FetchError::Download { url: place.shown.clone(), message });
                }
            };
            sleep(said.unwrap_or(wait).min(LONGEST_WAIT));
            wait *= 4;
            attempt += 1;
        }
    }

    /// As [`Network::ask`], but an answer other than success is an error, and that there is no such thing is `None`.
    pub(crate) fn get(&self, place: &Place) -> Result<Option<Response>, FetchError> {
        let response = self.ask(place, &Question::of(Method::GET))?;
        match response.status() {
            status if status.is_success() => Ok(Some(response)),
            StatusCode::NOT_FOUND | StatusCode::GONE => Ok(None),
            status => Err(refused(place, status)),
        }
    }

    /// Asks, and asks again where the server points to.
    fn follow(&self, place: &Place, question: &Question<'_>) -> Result<Response, Problem> {
        let first = (place.address)(&question.method);
        let mut url = first.clone();
        for _ in 0..=MOST_REDIRECTS {
            let identity = match url.origin() == first.origin() {
                true => self.identity(place, &first),
                false => Identity::Nobody,
            };
            let response = self.send(&url, question, &identity)?;
            let Some(target) = redirect(&response, question) else { return Ok(response) };
            let next =
                url.join(&target).map_err(|_| Problem::lasting("it redirects to what is no address".to_owned()))?;
            // Who is known to a server must not be followed by everybody on the way.
            let is_known = !matches!(self.identity(place, &first), Identity::Nobody);
            match (url.scheme(), next.scheme()) {
                (_, "https") | ("http", "http") => url = next,
                ("https", "http") if !is_known => url = next,
                _ => return Err(Problem::lasting(format!("it redirects to '{}', which is not safe", shown(&next)))),
            }
        }
        Err(Problem::lasting(format!("it redirects more than {MOST_REDIRECTS} times")))
    }

    pub(super) fn identity<'a>(&self, place: &'a Place, url: &Url) -> Identity<'a> {
        if !place.secrets.is_empty() {
            return Identity::Headers(&place.secrets);
        }
        if !url.username().is_empty() || url.password().is_some() {
            let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
            return Identity::Password {
                user: decoded(url.username()),
                password: decoded(url.password().unwrap_or_default()),
            };
        }
        let found = url.host_str().and_then(|host| self.settings.netrc.find(host));
        found.map_or(Identity::Nobody, |(user, password)| Identity::Password {
            user: user.to_owned(),
            password: password.to_owned(),
        })
    }

    fn send(&self, url: &Url, question: &Question<'_>, identity: &Identity<'_>) -> Result<Response, Problem> {
        let client = self.client().map_err(Problem::lasting)?;
        let mut request = client.request(question.method.clone(), bare(url)).headers(identity.headers());
        if let Some((from, validator)) = question.from {
            request = request.header(RANGE, format!("bytes={from}-")).header(IF_RANGE, validator);
        }
        if let Some(media_type) = question.accept {
            request = request.header(ACCEPT, media_type);
        }
        if let Some(payload) = &question.body {
            let body = payload.body();
            let body = body.map_err(|error| Problem::lasting(format!("cannot read what is to be sent: {error}")))?;
            request = request.header(CONTENT_TYPE, payload.media_type()).body(body);
        }
        request.send().map_err(|error| Problem {
            may_pass: error.is_connect() || error.is_timeout() || error.is_request(),
            message: reasons(&error.without_url()),
        })
    }
}

/// An answer that is no success, in words.
pub(crate) fn refused(place: &Place, status: StatusCode) -> FetchError {
    let advice = match status {
        StatusCode::UNAUTHORIZED if !place.secrets.is_empty() => "; the token is not accepted",
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => "; a netrc file may hold a user name and a password for it",
        _ => "",
    };
    FetchError::Download { url: place.shown.clone(), message: format!("the server answers {status}{advice}") }
}

/// Why there is no answer.
struct Problem {
    message: String,
    may_pass: bool,
}

impl Problem {
    fn lasting(message: String) -> Self {
        Self { message, may_pass: false }
    }
}

fn is_passing(status: StatusCode) -> bool {
    let is_busy = status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED;
    is_busy || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT)
}

fn retry_after(response: &Response) -> Option<Duration> {
    let value = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    value.trim().parse().ok().map(Duration::from_secs)
}

/// Where the server points to, if it does. What changes the server is only sent again where it says so.
fn redirect(response: &Response, question: &Question<'_>) -> Option<String> {
    let follows = match response.status() {
        StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT => true,
        StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND | StatusCode::SEE_OTHER => question.body.is_none(),
        _ => false,
    };
    let target = response.headers().get(LOCATION).filter(|_| follows)?;
    Some(String::from_utf8_lossy(target.as_bytes()).into_owned())
}

/// The address without a user's name and password: those are sent as a header, or not at all.
pub(super) fn bare(url: &Url) -> Url {
    let mut url = url.clone();
    // Only addresses without a host refuse, and they have no user either.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url
}

/// The address as people may see it: a query may hold a signature.
pub(crate) fn shown(url: &Url) -> String {
    let mut url = bare(url);
    if url.query().is_some_and(|query| query.to_ascii_lowercase().contains("signature=")) {
        url.set_query(None);
    }
    url.to_string()
}
