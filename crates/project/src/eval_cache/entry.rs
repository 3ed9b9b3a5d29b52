//! One entry of the cache as a file: a line with the hash of the rest, and the rest as JSON.

use eval::Level;
use serde::{Deserialize, Serialize};

use super::dependency::Dependency;
use super::stamp::Moment;
use crate::derived::Derived;

/// A result, and all that it depends on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Entry {
    /// When the stamps were taken.
    pub(super) since: Moment,
    pub(super) dependencies: Vec<Dependency>,
    /// What the evaluation said on the way.
    pub(super) messages: Vec<Message>,
    pub(super) derived: Vec<Derived>,
}

/// A message of `trace` or `warn`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Message {
    is_trace: bool,
    pub(super) text: String,
}

impl Message {
    pub(super) fn new(level: Level, text: &str) -> Self {
        Self { is_trace: level == Level::Trace, text: text.to_owned() }
    }

    pub(super) fn level(&self) -> Level {
        if self.is_trace { Level::Trace } else { Level::Warning }
    }
}

impl Entry {
    /// The file's content; `None` for what cannot be written, such as a path that is not UTF-8.
    pub(super) fn print(&self) -> Option<Vec<u8>> {
        let json = serde_json::to_vec(self).ok()?;
        let mut text = blake3::hash(&json).to_hex().to_string().into_bytes();
        text.push(b'\n');
        text.extend(json);
        Some(text)
    }

    /// Reads what [`Entry::print`] gives; `None` for anything else.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let end = text.iter().position(|byte| *byte == b'\n')?;
        let (hash, json) = (&text[..end], &text[end + 1..]);
        if blake3::hash(json).to_hex().as_bytes() != hash {
            return None;
        }
        serde_json::from_slice(json).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_entry_is_none() {
        let entry = Entry { since: Moment::now(), dependencies: Vec::new(), messages: Vec::new(), derived: Vec::new() };
        let text = entry.print().unwrap();
        assert!(Entry::parse(&text).is_some());
        for at in 0..text.len() {
            let mut damaged = text.clone();
            damaged[at] ^= 1;
            assert!(Entry::parse(&damaged).is_none(), "byte {at}");
            assert!(Entry::parse(&text[..at]).is_none(), "cut at {at}");
        }
    }
}
