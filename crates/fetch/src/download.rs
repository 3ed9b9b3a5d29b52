//! Streams of what is at an address: `http:`, `https:` and `file:`.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;

use reqwest::blocking::Response;
use reqwest::header::LINK;
use store::progress::Task;
use url::Url;

use crate::network::{Body, Place, Secret};
use crate::{FetchError, Fetcher};

/// What is at an address, as a stream.
pub(crate) struct Download {
    pub stream: Box<dyn Read>,
    /// The size in bytes, if the server says it.
    pub size: Option<u64>,
    /// The address that will always give the same, if the server names one (`Link: <…>; rel="immutable"`).
    pub immutable: Option<String>,
}

impl Fetcher {
    /// Writes what is at an address to `out`; `advance` hears of the bytes as they come.
    pub fn download(&self, url: &str, out: &mut dyn Write, advance: &mut dyn FnMut(u64)) -> Result<(), FetchError> {
        let mut stream = self.open(url, &[])?.stream;
        let mut buffer = vec![0; 128 * 1024];
        let failed = |error: io::Error| FetchError::Download { url: url.to_owned(), message: error.to_string() };
        loop {
            match stream.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => {
                    out.write_all(&buffer[..count]).map_err(failed)?;
                    advance(count as u64);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(error)),
            }
        }
    }

    pub(crate) fn open(&self, url: &str, secrets: &[Secret]) -> Result<Download, FetchError> {
        if let Some(path) = file_path(url) {
            let file = File::open(&path).map_err(FetchError::io("open", &path))?;
            let metadata = file.metadata().map_err(FetchError::io("read", &path))?;
            if !metadata.is_file() {
                return Err(FetchError::Download { url: url.to_owned(), message: "it is not a file".to_owned() });
            }
            return Ok(Download { stream: Box::new(file), size: Some(metadata.len()), immutable: None });
        }
        if !url.starts_with("http://") && !url.starts_with("https://") {
            let reason = "only addresses with 'https:', 'http:' and 'file:' can be downloaded";
            return Err(FetchError::Unsupported { what: url.to_owned(), reason });
        }
        let (place, response) = self.get(url, secrets)?;
        let (size, immutable) = (response.content_length(), immutable(&response));
        let stream = Box::new(Body::new(Arc::clone(&self.settings.network), place, response));
        Ok(Download { stream, size, immutable })
    }

    /// Asks for what is at an address of a server; an answer other than success is an error. `secrets` are for its host
    /// only.
    pub(crate) fn get(&self, url: &str, secrets: &[Secret]) -> Result<(Place, Response), FetchError> {
        if self.settings.offline {
            return Err(FetchError::Offline { url: url.to_owned() });
        }
        let failed = |message: String| FetchError::Download { url: url.to_owned(), message };
        let parsed = Url::parse(url).map_err(|error| failed(format!("it is no address: {error}")))?;
        let place = Place::new(parsed, secrets.to_vec());
        match self.settings.network.get(&place)? {
            Some(response) => Ok((place, response)),
            None => Err(FetchError::Download { url: place.shown, message: "it is not there (404)".to_owned() }),
        }
    }
}

/// Reports what is read through it.
pub(crate) struct Counted<'a, R> {
    pub inner: R,
    pub task: &'a Task<'a>,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.task.advance(count as u64);
        Ok(count)
    }
}

pub(crate) fn file_path(url: &str) -> Option<PathBuf> {
    if url.starts_with('/') {
        return Some(PathBuf::from(url));
    }
    // A relative path would be taken to begin at the root.
    let is_absolute = url.strip_prefix("file:").is_some_and(|path| path.starts_with('/'));
    Url::parse(url).ok().filter(|_| is_absolute)?.to_file_path().ok()
}

fn immutable(response: &Response) -> Option<String> {
    let links = response.headers().get_all(LINK).iter().filter_map(|value| value.to_str().ok());
    let mut links = links.flat_map(|value| value.split(", <"));
    links.find_map(|link| {
        let (target, parameters) = link.trim_start_matches('<').split_once('>')?;
        let says_so = |parameter: &str| matches!(parameter.trim(), "rel=\"immutable\"" | "rel=immutable");
        parameters.split(';').any(says_so).then(|| target.to_owned())
    })
}
