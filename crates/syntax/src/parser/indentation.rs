//! What `''…''` strings leave out: the indentation that all their lines share.

use smallvec::SmallVec;

use super::Parser;
use crate::ast::{Node, Part};

/// A piece of an indented string before its indentation is stripped.
pub(super) enum Raw {
    /// Bytes of the source (from, to), whose leading spaces count as indentation.
    Lines(usize, usize),
    /// What an escape stands for: a byte, once or twice. It ends the indentation of its line.
    Escaped {
        /// The byte.
        byte: u8,
        /// How often.
        count: usize,
    },
    /// `${…}`, which ends the indentation of its line too.
    Expr(Part),
}

/// Where in a line the stripping is.
struct Line {
    at_start: bool,
    spaces: usize,
}

impl Parser<'_> {
    /// The node of an indented string.
    pub(super) fn strip(&mut self, raw: &[Raw]) -> Node {
        let indentation = self.shared_indentation(raw);
        let mut line = Line { at_start: true, spaces: 0 };
        let mut parts: SmallVec<[Part; 16]> = SmallVec::new();
        for (index, piece) in raw.iter().enumerate() {
            let start = self.ast.pool.len();
            match piece {
                Raw::Expr(part) => {
                    line = Line { at_start: false, spaces: 0 };
                    parts.push(*part);
                    continue;
                }
                Raw::Lines(from, to) => line.copy(&self.source[*from..*to], indentation, &mut self.ast.pool),
                Raw::Escaped { byte, count } => line.copy(&[*byte; 2][..*count], indentation, &mut self.ast.pool),
            }
            if index + 1 == raw.len() {
                drop_blank_last_line(&mut self.ast.pool, start);
            }
            let text = self.pool_text(start);
            if text.len > 0 {
                parts.push(Part::Str(text));
            }
        }
        match parts[..] {
            [] => Node::Str(self.empty_text()),
            [Part::Str(text)] => Node::Str(text),
            _ => Node::Interpolation(self.parts(&parts)),
        }
    }

    /// The least number of spaces that a line begins with; lines of nothing but spaces do not count.
    fn shared_indentation(&self, raw: &[Raw]) -> usize {
        let mut least = 1_000_000;
        let mut line = Line { at_start: true, spaces: 0 };
        for piece in raw {
            let Raw::Lines(from, to) = piece else {
                if line.at_start {
                    least = least.min(line.spaces);
                    line.at_start = false;
                }
                continue;
            };
            for byte in &self.source[*from..*to] {
                match byte {
                    b'\n' => line = Line { at_start: true, spaces: 0 },
                    b' ' if line.at_start => line.spaces += 1,
                    _ if line.at_start => {
                        least = least.min(line.spaces);
                        line.at_start = false;
                    }
                    _ => {}
                }
            }
        }
        least
    }
}

impl Line {
    /// Copies bytes to the pool without the spaces of the indentation.
    fn copy(&mut self, bytes: &[u8], indentation: usize, pool: &mut Vec<u8>) {
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.at_start {
                let spaces = rest.iter().take_while(|byte| **byte == b' ').count();
                let dropped = indentation.saturating_sub(self.spaces).min(spaces);
                self.spaces += spaces;
                pool.extend_from_slice(&rest[dropped..spaces]);
                rest = &rest[spaces..];
                if rest.is_empty() {
                    return;
                }
            }
            let end = memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
            pool.extend_from_slice(&rest[..end]);
            *self = Line { at_start: rest[end - 1] == b'\n', spaces: 0 };
            rest = &rest[end..];
        }
    }
}

/// Cuts the spaces after the last line feed of what the pool holds from `start` on, if nothing else follows it.
fn drop_blank_last_line(pool: &mut Vec<u8>, start: usize) {
    if let Some(feed) = memchr::memrchr(b'\n', &pool[start..]) {
        let after = start + feed + 1;
        if pool[after..].iter().all(|byte| *byte == b' ') {
            pool.truncate(after);
        }
    }
}
