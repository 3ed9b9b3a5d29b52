//! Places in source texts, as one number each.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::RwLock;
use syntax::{LineIndex, Position, Span};

use crate::interp::paths;

/// A place in some source. Each source has a range of these numbers; what they mean is only looked up for messages.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub struct Pos(u32);

/// Where a text comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A file, by its absolute path.
    File(PathBuf),
    /// Text that the user typed, with the name to show for it, as `«string»`.
    Text(String),
}

/// A source text with the places in it that the evaluator knows.
pub struct Source {
    /// Where it comes from.
    pub origin: Origin,
    /// The text.
    pub text: Vec<u8>,
    /// The place with the number `base + i` is `spans[i]`.
    base: u32,
    spans: OnceLock<Vec<Span>>,
    lines: OnceLock<LineIndex>,
}

static NEXT: AtomicU32 = AtomicU32::new(1);
/// All sources, sorted by `base`.
static SOURCES: RwLock<Vec<&'static Source>> = RwLock::new(Vec::new());

impl Pos {
    /// No place.
    pub const NONE: Pos = Pos(0);

    /// The number itself.
    #[inline]
    pub(crate) fn number(self) -> u32 {
        self.0
    }

    /// The place with that number.
    pub(crate) fn numbered(number: i64) -> Pos {
        u32::try_from(number).map_or(Pos::NONE, Pos)
    }

    /// Whether this is a place.
    pub fn is_some(self) -> bool {
        self != Pos::NONE
    }

    /// The source and the range of bytes in it.
    pub fn resolve(self) -> Option<(&'static Source, Span)> {
        if self == Pos::NONE {
            return None;
        }
        let sources = SOURCES.read();
        let index = sources.partition_point(|source| source.base <= self.0).checked_sub(1)?;
        let source = sources[index];
        let span = *source.spans.get()?.get((self.0 - source.base) as usize)?;
        Some((source, span))
    }

    /// The source, and the line and column of the first byte.
    pub fn start(self) -> Option<(&'static Source, Position)> {
        self.resolve().map(|(source, span)| (source, source.lines().position(span.start)))
    }
}

impl Source {
    /// Registers a text. It stays for the life of the process, as the code compiled from it does.
    pub fn register(origin: Origin, text: Vec<u8>) -> &'static Source {
        // Each construct is at least one byte and has at most two places.
        let places = u32::try_from(text.len() * 2 + 16).unwrap_or(u32::MAX);
        let mut sources = SOURCES.write();
        let base = NEXT.fetch_add(places, Ordering::Relaxed);
        let (spans, lines) = (OnceLock::new(), OnceLock::new());
        let source: &'static Source = Box::leak(Box::new(Source { origin, text, base, spans, lines }));
        sources.push(source);
        source
    }

    /// Says which places the numbers of this source mean. Has an effect once.
    pub fn set_places(&self, spans: Vec<Span>) {
        let _ = self.spans.set(spans);
    }

    /// The number of a place by its index in what [`Source::set_places`] is given.
    pub fn pos(&self, index: usize) -> Pos {
        Pos(self.base + index as u32)
    }

    /// Where the lines begin.
    pub fn lines(&self) -> &LineIndex {
        self.lines.get_or_init(|| LineIndex::new(&self.text))
    }

    /// The origin as messages show it.
    pub fn display_name(&self) -> String {
        match &self.origin {
            Origin::File(path) => paths::shown(path),
            Origin::Text(name) => name.clone(),
        }
    }
}
