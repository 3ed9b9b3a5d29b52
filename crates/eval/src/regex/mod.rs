//! The regular expressions of `builtins.match` and `builtins.split`: POSIX extended, in time linear in the text.
//!
//! Which of several possible matches is taken follows libstdc++, in which Nix runs: repetitions take as much as they
//! can, the first alternative that lets the whole match wins, and a search prefers the longer side of `|`.

mod bracket;
mod collating;
mod parse;

use std::ops::Range;
use std::sync::LazyLock;

use parking_lot::RwLock;
use regex_automata::meta::{self, Regex as Automaton};
use regex_automata::{Anchored, Input, MatchKind};
use regex_syntax::hir::{Hir, Look};
use rustc_hash::FxHashMap;
use thiserror::Error as ThisError;

/// Why a pattern cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ThisError)]
pub enum Invalid {
    /// It is not a POSIX extended regular expression.
    #[error("it is not a POSIX extended regular expression")]
    Syntax,
    /// Its automaton would be too large.
    #[error("it is too large")]
    TooLarge,
}

/// A pattern, ready for use.
pub struct Regex {
    whole: Automaton,
    search: Automaton,
    /// With alternatives: finds the longest match at a place, and the groups of a match of known end.
    longest: Option<(Automaton, Automaton)>,
    groups: usize,
}

/// Where a match and its groups are; a group that took no part is `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The whole match.
    pub range: Range<usize>,
    /// The groups in the order of their opening parentheses.
    pub groups: Vec<Option<Range<usize>>>,
}

static CACHE: LazyLock<RwLock<FxHashMap<Vec<u8>, &'static Regex>>> = LazyLock::new(RwLock::default);

/// The regular expression of a pattern. Each is compiled once in the life of the process.
pub fn compiled(pattern: &[u8]) -> Result<&'static Regex, Invalid> {
    if let Some(regex) = CACHE.read().get(pattern) {
        return Ok(regex);
    }
    let regex = Box::leak(Box::new(Regex::new(pattern)?));
    Ok(CACHE.write().entry(pattern.to_vec()).or_insert(regex))
}

impl Regex {
    /// Compiles a pattern.
    pub fn new(pattern: &[u8]) -> Result<Regex, Invalid> {
        let parsed = parse::parse(pattern)?;
        let bounded = |hir: Hir| Hir::concat(vec![Hir::look(Look::Start), hir, Hir::look(Look::End)]);
        let ending = |hir: Hir| Hir::concat(vec![hir, Hir::look(Look::End)]);
        let build = |hir: &Hir, kind| {
            let config = meta::Config::new().utf8_empty(false).match_kind(kind).nfa_size_limit(Some(1 << 26));
            meta::Builder::new().configure(config).build_from_hir(hir).map_err(|_| Invalid::TooLarge)
        };
        let first = MatchKind::LeftmostFirst;
        let longest = match parsed.alternates {
            true => Some((build(&parsed.hir, MatchKind::All)?, build(&ending(parsed.hir.clone()), first)?)),
            false => None,
        };
        Ok(Regex {
            whole: build(&bounded(parsed.hir.clone()), first)?,
            search: build(&parsed.hir, first)?,
            longest,
            groups: parsed.groups as usize,
        })
    }

    /// The groups, if the pattern matches the whole text.
    pub fn match_whole(&self, text: &[u8]) -> Option<Vec<Option<Range<usize>>>> {
        let input = Input::new(text).anchored(Anchored::Yes);
        if self.groups == 0 {
            return self.whole.is_match(input).then(Vec::new);
        }
        self.groups_of(&self.whole, input).map(|found| found.groups)
    }

    fn groups_of(&self, automaton: &Automaton, input: Input<'_>) -> Option<Found> {
        let mut captures = automaton.create_captures();
        automaton.search_captures(&input, &mut captures);
        let range = captures.get_match()?.range();
        let group = |index| captures.get_group(index).map(|span| span.range());
        Some(Found { range, groups: (1..=self.groups).map(group).collect() })
    }

    /// The first match at or after `start`.
    pub fn find_at(&self, text: &[u8], start: usize) -> Option<Found> {
        self.find(Input::new(text).range(start..))
    }

    fn find(&self, input: Input<'_>) -> Option<Found> {
        let Some((longest, ending)) = &self.longest else {
            if self.groups == 0 {
                let range = self.search.find(input)?.range();
                return Some(Found { range, groups: Vec::new() });
            }
            return self.groups_of(&self.search, input);
        };
        let text = input.haystack();
        let start = self.search.find(input.clone())?.start();
        let here = Input::new(text).range(start..).anchored(Anchored::Yes);
        let end = longest.find(here)?.end();
        let exact = Input::new(&text[..end]).range(start..).anchored(Anchored::Yes);
        self.groups_of(ending, exact)
    }

    /// All matches, as `std::regex_iterator` finds them: after an empty match it looks for one at the same place that
    /// is not empty before it goes on.
    pub fn find_all(&self, text: &[u8]) -> Vec<Found> {
        let mut all: Vec<Found> = Vec::new();
        let mut start = 0;
        while let Some(found) = self.find_at(text, start) {
            let Range { start: from, end } = found.range;
            all.push(found);
            start = end;
            if from == end {
                if end == text.len() {
                    break;
                }
                let here = Input::new(text).range(end..).anchored(Anchored::Yes);
                match self.find(here).filter(|found| !found.range.is_empty()) {
                    Some(found) => {
                        start = found.range.end;
                        all.push(found);
                    }
                    None => start += 1,
                }
            }
        }
        all
    }
}

#[cfg(test)]
mod tests;
