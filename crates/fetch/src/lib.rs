//! Fetchers: inputs by lock and hash.
