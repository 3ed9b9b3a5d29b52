//! Caches in object storage: `s3://BUCKET[/PREFIX]?region=…&endpoint=…&scheme=…&profile=…`.
//!
//! Requests carry their signature in the address (AWS's "presigned" ones), so that they are made, taken up and
//! redirected like all others. Keys are taken from the environment or from a file of profiles; without any, a bucket is
//! read as everybody may.

mod multipart;

use std::fmt;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Method;
use rusty_s3::{Credentials, S3Action, UrlStyle, actions};
use url::Url;

use super::address::Address;
use crate::FetchError;
use crate::network::{Network, Place};

/// How long a signed address is good for: a request that waits for its turn must not be late.
const GOOD_FOR: Duration = Duration::from_secs(15 * 60);
const DEFAULT_REGION: &str = "us-east-1";

/// Who the user is at object storage. Nothing of the keys is shown.
#[derive(Clone, Default)]
pub struct Aws {
    /// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`.
    pub keys: Option<(String, String, Option<String>)>,
    /// The file of profiles, `~/.aws/credentials`.
    pub file: Option<PathBuf>,
    /// `AWS_PROFILE`.
    pub profile: Option<String>,
    /// `AWS_REGION`, else `AWS_DEFAULT_REGION`.
    pub region: Option<String>,
}

impl fmt::Debug for Aws {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Aws").field("file", &self.file).field("profile", &self.profile).finish_non_exhaustive()
    }
}

impl Aws {
    /// The keys for a profile that the address names, else for the environment's.
    fn credentials(&self, profile: Option<&str>) -> Option<Credentials> {
        if let (None, Some((key, secret, token))) = (profile, &self.keys) {
            return Some(credentials(key, secret, token.as_deref()));
        }
        let text = std::fs::read_to_string(self.file.as_ref()?).ok()?;
        find_profile(&text, profile.or(self.profile.as_deref()).unwrap_or("default"))
    }
}

fn credentials(key: &str, secret: &str, token: Option<&str>) -> Credentials {
    match token {
        Some(token) => Credentials::new_with_token(key, secret, token),
        None => Credentials::new(key, secret),
    }
}

/// The keys of a profile in a file of sections `[name]` with lines `key = value`.
fn find_profile(text: &str, profile: &str) -> Option<Credentials> {
    let lines = text.lines().map(str::trim).skip_while(|line| *line != format!("[{profile}]")).skip(1);
    let section: Vec<(&str, &str)> =
        lines.take_while(|line| !line.starts_with('[')).filter_map(|line| line.split_once('=')).collect();
    let get = |name: &str| section.iter().find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim());
    Some(credentials(get("aws_access_key_id")?, get("aws_secret_access_key")?, get("aws_session_token")))
}

/// A bucket, or what is below a prefix in it.
pub(super) struct Bucket {
    bucket: Arc<rusty_s3::Bucket>,
    credentials: Option<Arc<Credentials>>,
    prefix: String,
    /// The address without parameters; the endpoint where it is not AWS's own.
    shown: String,
    /// From which size on files are sent in parts, and the size of the parts, in bytes.
    threshold: u64,
    part: u64,
}

/// Opens the bucket that an address names.
pub(super) fn open(address: &Address, aws: &Aws) -> Result<Bucket, FetchError> {
    let (name, prefix) = {
        let rest = address.base.trim_start_matches("s3://");
        rest.split_once('/').unwrap_or((rest, ""))
    };
    if name.is_empty() {
        return Err(address.wrong("it names no bucket"));
    }
    let region = address.get("region").or(aws.region.as_deref()).unwrap_or(DEFAULT_REGION);
    let scheme = address.get("scheme").unwrap_or("https");
    let own = address.get("endpoint");
    let endpoint = match own {
        Some(endpoint) if endpoint.contains("://") => endpoint.to_owned(),
        Some(endpoint) => format!("{scheme}://{endpoint}"),
        None => format!("{scheme}://s3.{region}.amazonaws.com"),
    };
    let url = Url::parse(&endpoint).map_err(|error| address.wrong(&format!("its endpoint is no address: {error}")))?;
    let style = match address.get("addressing-style") {
        Some("path") => UrlStyle::Path,
        Some("virtual") => UrlStyle::VirtualHost,
        Some(_) => return Err(address.wrong("'addressing-style' must be 'path' or 'virtual'")),
        // A certificate of AWS's is for names without a dot; other servers seldom know buckets as hosts.
        None if own.is_some() || name.contains('.') => UrlStyle::Path,
        None => UrlStyle::VirtualHost,
    };
    let bucket = rusty_s3::Bucket::new(url, style, name.to_owned(), region.to_owned())
        .map_err(|error| address.wrong(&error.to_string()))?;
    let profile = address.get("profile");
    let credentials = aws.credentials(profile);
    if let (None, Some(profile)) = (&credentials, profile) {
        return Err(address.wrong(&format!("there are no keys for the profile '{profile}'")));
    }
    let place = own.map(|endpoint| format!("?endpoint={endpoint}")).unwrap_or_default();
    Ok(Bucket {
        bucket: Arc::new(bucket),
        credentials: credentials.map(Arc::new),
        prefix: if prefix.is_empty() { String::new() } else { format!("{prefix}/") },
        shown: format!("{}{place}", address.base),
        threshold: address.number("multipart-threshold")?.unwrap_or(multipart::THRESHOLD),
        part: part_size(address)?,
    })
}

fn part_size(address: &Address) -> Result<u64, FetchError> {
    match address.number("multipart-chunk-size")? {
        Some(size) if size < multipart::SMALLEST => {
            Err(address.wrong(&format!("'multipart-chunk-size' must be at least {}", multipart::SMALLEST)))
        }
        size => Ok(size.unwrap_or(multipart::PART)),
    }
}

impl Bucket {
    /// The address without what is secret.
    pub fn address(&self) -> String {
        self.shown.clone()
    }

    /// Sends a file in parts if it is large enough for that; whether it was.
    pub fn put_large(&self, network: &Network, name: &str, file: &File) -> io::Result<bool> {
        let size = file.metadata()?.len();
        if size <= self.threshold || size == 0 {
            return Ok(false);
        }
        multipart::send(network, self, &format!("{}{name}", self.prefix), file, size, self.part)?;
        Ok(true)
    }

    /// Where a file of the cache is.
    pub fn place(&self, name: &str) -> Place {
        let (bucket, credentials) = (Arc::clone(&self.bucket), self.credentials.clone());
        let key = format!("{}{name}", self.prefix);
        let shown = format!("s3://{}/{key}", bucket.name());
        let address = move |method: &Method| {
            let credentials = credentials.as_deref();
            match *method {
                Method::PUT => actions::PutObject::new(&bucket, credentials, &key).sign(GOOD_FOR),
                Method::HEAD => actions::HeadObject::new(&bucket, credentials, &key).sign(GOOD_FOR),
                _ => actions::GetObject::new(&bucket, credentials, &key).sign(GOOD_FOR),
            }
        };
        Place { address: Arc::new(address), shown, secrets: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(text: &str, aws: &Aws) -> Bucket {
        super::open(&Address::parse(text).unwrap(), aws).unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn buckets_are_hosts_at_aws_and_paths_elsewhere() {
        let address = |text: &str| (open(text, &Aws::default()).place("nar/x").address)(&Method::GET).to_string();
        assert_eq!(address("s3://b?region=eu-west-1"), "https://b.s3.eu-west-1.amazonaws.com/nar/x");
        assert_eq!(address("s3://b.c"), "https://s3.us-east-1.amazonaws.com/b.c/nar/x");
        assert_eq!(address("s3://b/p/q?endpoint=localhost:90&scheme=http"), "http://localhost:90/b/p/q/nar/x");
    }

    #[test]
    fn signatures_are_in_the_address_and_nowhere_else() {
        let aws = Aws { keys: Some(("AKIA".to_owned(), "hush".to_owned(), None)), ..Aws::default() };
        let place = open("s3://b", &aws).place("x.narinfo");
        let (get, put) = ((place.address)(&Method::GET), (place.address)(&Method::PUT));
        assert!(get.as_str().contains("X-Amz-Signature=") && get != put);
        assert!(!get.as_str().contains("hush") && !format!("{aws:?}").contains("hush"));
        assert_eq!(place.shown, "s3://b/x.narinfo");
    }

    #[test]
    fn profiles_are_sections() {
        let text = "[default]\naws_access_key_id = a\naws_secret_access_key=b\n[other]\naws_access_key_id=c\n\
                    aws_secret_access_key = d\naws_session_token = e\n";
        assert_eq!(find_profile(text, "default").unwrap().key(), "a");
        let other = find_profile(text, "other").unwrap();
        assert_eq!((other.key(), other.secret(), other.token()), ("c", "d", Some("e")));
        assert!(find_profile(text, "gone").is_none());
    }
}
