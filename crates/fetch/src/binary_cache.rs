//! Binary caches behind a server.

use std::io::{self, Read};
use std::sync::Arc;

use store::cache::Transport;

use crate::Fetcher;

/// A binary cache at an `http:` or `https:` address.
pub struct HttpCache {
    fetcher: Arc<Fetcher>,
    address: String,
}

impl HttpCache {
    /// The cache at this address, which `fetcher` is to be used for.
    pub fn new(fetcher: Arc<Fetcher>, address: &str) -> Self {
        Self { fetcher, address: address.trim_end_matches('/').to_owned() }
    }
}

impl Transport for HttpCache {
    fn address(&self) -> &str {
        &self.address
    }

    fn open(&self, name: &str) -> io::Result<Option<Box<dyn Read>>> {
        let url = format!("{}/{name}", self.address);
        match self.fetcher.get_if_there(&url, &[]) {
            Ok(Some(response)) => Ok(Some(Box::new(response))),
            Ok(None) => Ok(None),
            Err(error) => Err(io::Error::other(error)),
        }
    }
}
