//! Many small answers at once, by one thread: with a thread for each, changing between them takes longer than the questions.
//!
//! Only what is simple is done here. With the first answer that is a redirect or an error, or that does not come, all that is
//! left is left to [`Network::ask`], which knows what to do with it.

use futures_util::{StreamExt, stream};
use reqwest::header::CONTENT_ENCODING;
use reqwest::{Client, Method, StatusCode};
use tokio::runtime::{Builder, Runtime};

use super::request::bare;
use super::{Network, Place};

/// A client that waits for many answers in the thread that uses it.
pub(super) struct Crowd {
    runtime: Runtime,
    client: Client,
}

impl Crowd {
    pub fn new(client: Client) -> Option<Self> {
        Some(Self { runtime: Builder::new_current_thread().enable_all().build().ok()?, client })
    }
}

impl Network {
    /// Reads what is at many places, at most `limit` bytes of each, with this many requests on the way. What came goes to
    /// `done` with the place's number; `None` where the server has no such thing.
    pub(crate) fn get_many(
        &self,
        places: &[Place],
        limit: u64,
        requests: usize,
        done: &mut dyn FnMut(usize, Option<Vec<u8>>),
    ) {
        if self.settings.offline || places.is_empty() {
            return;
        }
        let mut crowd = self.crowd();
        let Some(Crowd { runtime, client }) = crowd.as_mut() else { return };
        let client = &*client;
        let ask = |(number, place)| async move { (number, self.small(client, place, limit).await) };
        // The first alone, for the connection that it makes may do for all: one of HTTP/2, which only TLS tells us of.
        let alone = usize::from((places[0].address)(&Method::GET).scheme() == "https");
        runtime.block_on(async {
            for range in [0..alone, alone..places.len()] {
                let asked = places.iter().enumerate().take(range.end).skip(range.start);
                let mut answers = stream::iter(asked).map(ask).buffer_unordered(requests);
                while let Some((number, answer)) = answers.next().await {
                    let Some(answer) = answer else { return };
                    done(number, answer);
                }
            }
        });
    }

    /// `None` where the answer is not simple.
    async fn small(&self, client: &Client, place: &Place, limit: u64) -> Option<Option<Vec<u8>>> {
        let url = (place.address)(&Method::GET);
        let headers = self.identity(place, &url).headers();
        let mut response = client.get(bare(&url)).headers(headers).send().await.ok()?;
        match response.status() {
            StatusCode::OK if !response.headers().contains_key(CONTENT_ENCODING) => {}
            StatusCode::NOT_FOUND | StatusCode::GONE => return Some(None),
            _ => return None,
        }
        let mut bytes = Vec::new();
        while let Some(piece) = response.chunk().await.ok()? {
            if bytes.len() as u64 + piece.len() as u64 > limit {
                return None;
            }
            bytes.extend_from_slice(&piece);
        }
        Some(Some(bytes))
    }
}
