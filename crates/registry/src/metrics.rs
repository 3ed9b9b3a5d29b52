//! Counters, in the Prometheus text format.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};

use hyper::Method;

const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "other"];

/// What has happened since the start.
#[derive(Default)]
pub struct Metrics {
    /// By method, then by hundreds of the status.
    requests: [[AtomicU64; 6]; METHODS.len()],
    bytes_sent: AtomicU64,
}

impl Metrics {
    pub fn count(&self, method: &Method, status: u16, sent: u64) {
        let row = METHODS.iter().position(|name| *name == method.as_str()).unwrap_or(METHODS.len() - 1);
        let column = usize::from(status / 100).min(5);
        self.requests[row][column].fetch_add(1, Ordering::Relaxed);
        self.bytes_sent.fetch_add(sent, Ordering::Relaxed);
    }

    pub fn render(&self, uploads: usize, queued: usize) -> String {
        let mut text =
            String::from("# HELP registry_requests_total Requests answered.\n# TYPE registry_requests_total counter\n");
        for (method, row) in METHODS.iter().zip(&self.requests) {
            for (class, count) in row.iter().enumerate() {
                let count = count.load(Ordering::Relaxed);
                if count > 0 {
                    let _ =
                        writeln!(text, "registry_requests_total{{method=\"{method}\",status=\"{class}xx\"}} {count}");
                }
            }
        }
        let sent = self.bytes_sent.load(Ordering::Relaxed);
        let _ = write!(
            text,
            "# HELP registry_sent_bytes_total Bytes of answers' bodies.\n# TYPE registry_sent_bytes_total counter\n\
             registry_sent_bytes_total {sent}\n\
             # HELP registry_uploads_open Uploads in progress.\n# TYPE registry_uploads_open gauge\n\
             registry_uploads_open {uploads}\n\
             # HELP registry_webhook_queue Events waiting for delivery.\n# TYPE registry_webhook_queue gauge\n\
             registry_webhook_queue {queued}\n"
        );
        text
    }
}
