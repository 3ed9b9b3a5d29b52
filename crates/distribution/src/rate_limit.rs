//! What a registry says of how often it may be asked: Docker Hub's `ratelimit-…` headers.

use std::fmt;

use reqwest::header::HeaderMap;

/// How often a registry may be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateLimit {
    /// How often in each window.
    limit: String,
    /// How often still.
    remaining: Option<String>,
    /// The window in seconds.
    window: Option<u64>,
    /// Whose requests are counted: an address or an account.
    source: Option<String>,
}

impl RateLimit {
    /// Reads `ratelimit-limit: 100;w=21600` and what comes with it.
    pub(crate) fn of(headers: &HeaderMap) -> Option<RateLimit> {
        let text = |name: &str| {
            let value = headers.get(name)?.to_str().ok()?.trim();
            let plain = value.len() <= 100 && value.bytes().all(|b| b.is_ascii_graphic());
            plain.then(|| value.to_owned())
        };
        let first = |value: String| value.split(';').next().unwrap_or_default().to_owned();
        let limit = text("ratelimit-limit")?;
        let window = limit.split(';').find_map(|part| part.strip_prefix("w=")?.parse().ok());
        Some(RateLimit {
            limit: first(limit),
            remaining: text("ratelimit-remaining").map(first),
            window,
            source: text("docker-ratelimit-source"),
        })
    }
}

impl fmt::Display for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.remaining {
            Some(remaining) => write!(f, "{remaining} of {} requests are left", self.limit)?,
            None => write!(f, "{} requests are allowed", self.limit)?,
        }
        match self.window {
            Some(3600) => f.write_str(" for an hour")?,
            Some(seconds) if seconds % 3600 == 0 => write!(f, " for {} hours", seconds / 3600)?,
            Some(seconds) => write!(f, " for {seconds} seconds")?,
            None => {}
        }
        self.source.iter().try_for_each(|source| write!(f, ", counted for {source}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_headers_of_docker_hub_are_said_in_words() {
        let mut headers = HeaderMap::new();
        assert_eq!(RateLimit::of(&headers), None);
        headers.insert("ratelimit-limit", "100;w=21600".parse().unwrap());
        headers.insert("ratelimit-remaining", "76;w=21600".parse().unwrap());
        headers.insert("docker-ratelimit-source", "192.0.2.1".parse().unwrap());
        let said = RateLimit::of(&headers).unwrap().to_string();
        assert_eq!(said, "76 of 100 requests are left for 6 hours, counted for 192.0.2.1");
    }
}
