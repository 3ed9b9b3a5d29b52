//! A body that is taken up where it broke off.

use std::io::{self, Read};
use std::sync::Arc;

use reqwest::blocking::Response;
use reqwest::header::{CONTENT_ENCODING, CONTENT_RANGE, ETAG, HeaderMap, LAST_MODIFIED};
use reqwest::{Method, StatusCode};

use super::{Network, Place, Question};

/// What must come between two interruptions so that they do not count as one that goes on.
const PROGRESS: u64 = 4 * 1024 * 1024;

/// The bytes of an answer.
pub(crate) struct Body {
    network: Arc<Network>,
    place: Place,
    response: Response,
    /// The bytes read so far.
    position: u64,
    /// All of them, if the server says how many.
    length: Option<u64>,
    /// What tells whether the content has changed; without it nothing is taken up.
    validator: Option<String>,
    /// How often it may still be taken up.
    attempts: u32,
    /// Where it was last taken up.
    resumed_at: u64,
}

impl Body {
    pub fn new(network: Arc<Network>, place: Place, response: Response) -> Self {
        let encoded = response.headers().contains_key(CONTENT_ENCODING);
        Self {
            length: response.content_length(),
            // Whether a part of an encoded answer is encoded anew is up to the server.
            validator: if encoded { None } else { validator(response.headers()) },
            attempts: network.settings.attempts.saturating_sub(1),
            position: 0,
            resumed_at: 0,
            network,
            place,
            response,
        }
    }

    /// Asks for the rest; an error, which says why the body broke off, if that cannot be.
    fn resume(&mut self, why: io::Error) -> io::Result<()> {
        if self.position >= self.resumed_at + PROGRESS {
            self.attempts = self.network.settings.attempts.saturating_sub(1);
        }
        let Some(validator) = self.validator.clone().filter(|_| self.attempts > 0) else { return Err(why) };
        self.attempts -= 1;
        self.resumed_at = self.position;
        let from = Some((self.position, validator.as_str()));
        let question = Question { from, ..Question::of(Method::GET) };
        let response = self.network.ask(&self.place, &question).map_err(io::Error::other)?;
        let changed = || io::Error::other("it was changed while it was read");
        match response.status() {
            StatusCode::PARTIAL_CONTENT if starts_at(response.headers(), self.position) => self.response = response,
            // The server gives the whole, because it knows no ranges or because the content is another.
            StatusCode::OK if validator_is(response.headers(), &validator) => {
                self.response = response;
                io::copy(&mut (&mut self.response).take(self.position), &mut io::sink())?;
            }
            StatusCode::OK => return Err(changed()),
            _ => return Err(why),
        }
        Ok(())
    }
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let broken = match self.response.read(buffer) {
                Ok(0) if !buffer.is_empty() && self.length.is_some_and(|length| self.position < length) => {
                    io::Error::new(io::ErrorKind::UnexpectedEof, "it ends too early")
                }
                Ok(count) => {
                    self.position += count as u64;
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => error,
            };
            let at = format!("after {} bytes: {}", self.position, in_words(&broken));
            self.resume(io::Error::new(broken.kind(), at))?;
        }
    }
}

fn in_words(error: &io::Error) -> String {
    error.get_ref().map_or_else(|| error.to_string(), |inner| super::reasons(inner))
}

fn validator(headers: &HeaderMap) -> Option<String> {
    let text = |name| headers.get(name)?.to_str().ok().map(str::to_owned);
    // A weak tag promises less than the same bytes.
    text(ETAG).filter(|tag| !tag.starts_with("W/")).or_else(|| text(LAST_MODIFIED))
}

fn validator_is(headers: &HeaderMap, expected: &str) -> bool {
    validator(headers).is_some_and(|found| found == expected)
}

fn starts_at(headers: &HeaderMap, position: u64) -> bool {
    let range = headers.get(CONTENT_RANGE).and_then(|value| value.to_str().ok());
    let start = range.and_then(|range| range.strip_prefix("bytes ")?.split('-').next()?.parse::<u64>().ok());
    start == Some(position)
}
