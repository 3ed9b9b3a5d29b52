//! Caches behind a server.

use std::io::{self, Read};
use std::sync::Arc;

use nix_formats::narinfo::Compression;
use reqwest::header::CONTENT_ENCODING;
use reqwest::{Method, StatusCode};
use store::cache::{Transport, check_name, decompress};
use tempfile::NamedTempFile;
use url::Url;

use super::s3::Bucket;
use crate::FetchError;
use crate::network::{Body, Network, Payload, Place, Question, Secret, refused};

/// A cache behind a server.
pub(super) struct Remote {
    network: Arc<Network>,
    locate: Box<Locate>,
    address: String,
}

/// Where files are by their names.
pub(super) enum Locate {
    /// Below an address.
    Below { base: Url, secrets: Vec<Secret> },
    /// In a bucket.
    Bucket(Bucket),
}

impl Locate {
    fn place(&self, name: &str) -> io::Result<Place> {
        let invalid = |message: String| io::Error::new(io::ErrorKind::InvalidInput, message);
        match self {
            // A narinfo may say that its NAR is elsewhere. What is secret stays with the cache's own host.
            Locate::Below { base, secrets } if name.starts_with("https://") || name.starts_with("http://") => {
                let url = Url::parse(name).map_err(|error| invalid(format!("it is no address: {error}")))?;
                let secrets = if url.origin() == base.origin() { secrets.clone() } else { Vec::new() };
                Ok(Place::new(url, secrets))
            }
            Locate::Below { base, secrets } => {
                let (path, query) = name.split_once('?').map_or((name, None), |(path, query)| (path, Some(query)));
                check_name(path)?;
                let mut url = base.clone();
                url.path_segments_mut()
                    .map_err(|()| invalid("it has no path".to_owned()))?
                    .pop_if_empty()
                    .extend(path.split('/'));
                url.set_query(query);
                Ok(Place::new(url, secrets.clone()))
            }
            Locate::Bucket(bucket) => {
                check_name(name)?;
                Ok(bucket.place(name))
            }
        }
    }

    fn address(&self) -> String {
        match self {
            Locate::Below { base, .. } => Place::new(base.clone(), Vec::new()).shown.trim_end_matches('/').to_owned(),
            Locate::Bucket(bucket) => bucket.address(),
        }
    }
}

impl Remote {
    pub fn new(network: Arc<Network>, locate: Box<Locate>) -> Self {
        Self { network, address: locate.address(), locate }
    }

    fn ask(&self, name: &str, question: &Question<'_>) -> io::Result<Option<(Place, reqwest::blocking::Response)>> {
        let place = self.locate.place(name)?;
        let response = self.network.ask(&place, question).map_err(io::Error::other)?;
        match response.status() {
            status if status.is_success() => Ok(Some((place, response))),
            StatusCode::NOT_FOUND | StatusCode::GONE => Ok(None),
            // Object storage says so of what is not there to whoever may not list it. But if nothing at all may be
            // read, somebody has to be told.
            StatusCode::FORBIDDEN if name != "nix-cache-info" && question.body.is_none() => Ok(None),
            StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED if question.body.is_some() => {
                Err(io::Error::other("the server takes no uploads"))
            }
            status => Err(io::Error::other(refused(&place, status))),
        }
    }
}

impl Transport for Remote {
    fn address(&self) -> &str {
        &self.address
    }

    fn open(&self, name: &str) -> io::Result<Option<Box<dyn Read>>> {
        let Some((place, response)) = self.ask(name, &Question::of(Method::GET))? else { return Ok(None) };
        let encoding = response.headers().get(CONTENT_ENCODING);
        let encoding = encoding.map(|value| String::from_utf8_lossy(value.as_bytes()).trim().to_ascii_lowercase());
        let compression = match encoding.as_deref() {
            None | Some("" | "identity") => Compression::None,
            Some("gzip" | "x-gzip") => Compression::Gzip,
            Some("br") => Compression::Brotli,
            Some("zstd") => Compression::Zstd,
            Some("xz") => Compression::Xz,
            Some("bzip2") => Compression::Bzip2,
            Some(other) => {
                let error = format!("the server sends it encoded as '{other}', which is not supported");
                return Err(io::Error::new(io::ErrorKind::Unsupported, error));
            }
        };
        let body = Body::new(Arc::clone(&self.network), place, response);
        match compression {
            Compression::None => Ok(Some(Box::new(body))),
            _ => Ok(Some(decompress(compression, body)?)),
        }
    }

    fn read_many(&self, names: &[String], limit: u64, requests: usize, done: &mut dyn FnMut(usize, Option<Vec<u8>>)) {
        if let Ok(places) = names.iter().map(|name| self.locate.place(name)).collect::<io::Result<Vec<_>>>() {
            self.network.get_many(&places, limit, requests, done);
        }
    }

    fn exists(&self, name: &str) -> io::Result<bool> {
        Ok(self.ask(name, &Question::of(Method::HEAD))?.is_some())
    }

    fn put(&self, name: &str, content: NamedTempFile) -> io::Result<()> {
        if let Locate::Bucket(bucket) = &*self.locate
            && bucket.put_large(&self.network, name, content.as_file())?
        {
            return Ok(());
        }
        let question = Question { body: Some(Payload::File(content.as_file())), ..Question::of(Method::PUT) };
        match self.ask(name, &question)? {
            Some(_) => Ok(()),
            None => Err(io::Error::other(FetchError::Download {
                url: self.address.clone(),
                message: "the server knows no such place (404)".to_owned(),
            })),
        }
    }
}
