//! Uploads in parts: a part that fails is sent again alone, parts go side by side, and there is no limit of 5 GiB.

use std::fs::File;
use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use reqwest::Method;
use reqwest::blocking::Response;
use reqwest::header::ETAG;
use rusty_s3::S3Action;
use rusty_s3::actions::{AbortMultipartUpload, CompleteMultipartUpload, CreateMultipartUpload, UploadPart};
use url::Url;

use super::{Bucket, GOOD_FOR};
use crate::network::{Network, Payload, Place, Question, refused};

/// Files that are larger than this are sent in parts, in bytes, as Nix has it.
pub(super) const THRESHOLD: u64 = 100 << 20;
/// The usual size of a part, in bytes.
pub(super) const PART: u64 = 16 << 20;
/// The smallest size that storage takes, but for the last part.
pub(super) const SMALLEST: u64 = 5 << 20;
/// The most parts that storage takes.
const MOST_PARTS: u64 = 10_000;
/// How many parts go at the same time.
const SIDE_BY_SIDE: usize = 4;
/// The most that an answer may be, in bytes.
const LONGEST_ANSWER: u64 = 1 << 20;

/// A file on its way to a bucket.
struct Upload<'a> {
    network: &'a Network,
    bucket: &'a Bucket,
    key: &'a str,
    id: String,
}

/// Sends a file in parts of about `part` bytes.
pub(super) fn send(network: &Network, bucket: &Bucket, key: &str, file: &File, size: u64, part: u64) -> io::Result<()> {
    let part = part.max(size.div_ceil(MOST_PARTS));
    let upload = Upload::begin(network, bucket, key)?;
    let sent = upload.parts(file, size, part).and_then(|tags| upload.end(&tags));
    if sent.is_err() {
        // What was sent is kept, and paid for, until somebody says that it will not be used.
        let _ = upload.ask(Method::DELETE, None, |upload| {
            let (bucket, credentials) = (&upload.bucket.bucket, upload.bucket.credentials.as_deref());
            AbortMultipartUpload::new(bucket, credentials, upload.key, &upload.id).sign(GOOD_FOR)
        });
    }
    sent
}

impl<'a> Upload<'a> {
    fn begin(network: &'a Network, bucket: &'a Bucket, key: &'a str) -> io::Result<Self> {
        let mut upload = Self { network, bucket, key, id: String::new() };
        let answer = upload.ask(Method::POST, None, |upload| {
            let (bucket, credentials) = (&upload.bucket.bucket, upload.bucket.credentials.as_deref());
            CreateMultipartUpload::new(bucket, credentials, upload.key).sign(GOOD_FOR)
        })?;
        let answer = text(answer)?;
        let id = element(&answer, "UploadId").filter(|id| !id.is_empty());
        upload.id = id.ok_or_else(|| io::Error::other("the server does not begin an upload in parts"))?.to_owned();
        Ok(upload)
    }

    /// Sends all parts; their tags, in order.
    fn parts(&self, file: &File, size: u64, part: u64) -> io::Result<Vec<String>> {
        let count = u16::try_from(size.div_ceil(part)).map_err(io::Error::other)?;
        let tags = Mutex::new(vec![String::new(); usize::from(count)]);
        let (next, failed, error) = (AtomicU16::new(0), AtomicBool::new(false), Mutex::new(None));
        let work = || {
            while !failed.load(Ordering::Relaxed) {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return;
                }
                let from = u64::from(number) * part;
                let payload = Payload::Part { file, from, length: part.min(size - from) };
                match self.part(number + 1, payload) {
                    Ok(tag) => tags.lock().unwrap_or_else(PoisonError::into_inner)[usize::from(number)] = tag,
                    Err(problem) => {
                        failed.store(true, Ordering::Relaxed);
                        error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(problem);
                    }
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..SIDE_BY_SIDE.min(usize::from(count)) {
                scope.spawn(work);
            }
            work();
        });
        match error.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(error) => Err(error),
            None => Ok(tags.into_inner().unwrap_or_else(PoisonError::into_inner)),
        }
    }

    /// Sends a part; its tag. Parts are counted from 1.
    fn part(&self, number: u16, payload: Payload<'_>) -> io::Result<String> {
        let answer = self.ask(Method::PUT, Some(payload), |upload| {
            let (bucket, credentials) = (&upload.bucket.bucket, upload.bucket.credentials.as_deref());
            UploadPart::new(bucket, credentials, upload.key, number, &upload.id).sign(GOOD_FOR)
        })?;
        let tag = answer.headers().get(ETAG).and_then(|tag| tag.to_str().ok());
        tag.map(str::to_owned).ok_or_else(|| io::Error::other("the server gives no tag for a part"))
    }

    fn end(&self, tags: &[String]) -> io::Result<()> {
        let (bucket, credentials) = (&self.bucket.bucket, self.bucket.credentials.as_deref());
        let action =
            || CompleteMultipartUpload::new(bucket, credentials, self.key, &self.id, tags.iter().map(String::as_str));
        let body = action().body();
        let payload = Payload::Text { text: &body, media_type: "application/xml" };
        let url = action().sign(GOOD_FOR);
        let answer = text(self.ask(Method::POST, Some(payload), |_| url.clone())?)?;
        // It may have failed although the answer began as a success; and servers call it by different names.
        if element(&answer, "ETag").is_some() && !answer.contains("<Error>") {
            return Ok(());
        }
        let why = element(&answer, "Message").map_or_else(|| answer.chars().take(200).collect(), str::to_owned);
        Err(io::Error::other(format!("the server does not join the parts: {why}")))
    }

    fn ask(
        &self,
        method: Method,
        payload: Option<Payload<'_>>,
        address: impl Fn(&Self) -> Url,
    ) -> io::Result<Response> {
        let url = address(self);
        let shown = format!("s3://{}/{}", self.bucket.bucket.name(), self.key);
        let place = Place { address: Arc::new(move |_| url.clone()), shown, secrets: Vec::new() };
        let question = Question { body: payload, ..Question::of(method) };
        let response = self.network.ask(&place, &question).map_err(io::Error::other)?;
        match response.status() {
            status if status.is_success() => Ok(response),
            status => Err(io::Error::other(refused(&place, status))),
        }
    }
}

fn text(response: Response) -> io::Result<String> {
    let mut text = String::new();
    response.take(LONGEST_ANSWER).read_to_string(&mut text)?;
    Ok(text)
}

/// The text of an element. Servers do not agree on the name space of their answers, so that is not looked at.
fn element<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = answer.split_once(&format!("<{name}>"))?;
    Some(rest.split_once(&format!("</{name}>"))?.0)
}
