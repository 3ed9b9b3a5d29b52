//! When to try again, and after how long.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};

use crate::settings::Retries;

/// The attempts at one request.
pub(crate) struct Attempts {
    retries: Retries,
    made: u32,
}

impl Attempts {
    pub fn new(retries: Retries) -> Attempts {
        Attempts { retries, made: 0 }
    }

    /// The same where only the first attempt can be made.
    pub fn only_one(mut self) -> Attempts {
        self.retries.attempts = 1;
        self
    }

    /// Waits before the next attempt; false if there is none left. `asked` is how long the registry wants us to wait.
    pub async fn pause(&mut self, asked: Option<Duration>) -> bool {
        self.made += 1;
        if self.made >= self.retries.attempts {
            return false;
        }
        let doubled = self.retries.first_pause.saturating_mul(1 << (self.made - 1).min(16));
        // Clients that failed together should not come back together.
        let pause = asked.unwrap_or(doubled.mul_f64(0.75 + 0.5 * fraction()));
        tokio::time::sleep(pause.min(self.retries.longest_pause)).await;
        true
    }
}

/// A number from 0 to 1 that differs between processes; nothing depends on its quality.
fn fraction() -> f64 {
    let nanoseconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.subsec_nanos());
    f64::from(nanoseconds % 1000) / 1000.0
}

/// Whether the same request may succeed later.
pub(crate) fn is_transient(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 429 | 500 | 502 | 503 | 504)
}

/// `Retry-After` in seconds. A date is not taken: it needs clocks that agree.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}
