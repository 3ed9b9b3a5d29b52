//! POSIX extended regular expressions to the intermediate form of `regex-syntax`.
//!
//! The dialect is that of `std::regex::extended` in libstdc++, which defines what Nix accepts: bytes, the C locale,
//! several repetitions after one atom, no back-references, no escapes but of special characters.

use regex_syntax::hir::{Capture, Class, ClassBytes, ClassBytesRange, Hir, Look, Repetition};

use super::{Invalid, bracket};

/// Groups may nest this deeply.
const MAX_DEPTH: u32 = 250;
/// libstdc++ refuses automata with more states.
const MAX_STATES: u64 = 100_000;

/// What a pattern says.
pub(super) struct Pattern {
    pub(super) hir: Hir,
    /// How many groups it has.
    pub(super) groups: u32,
    /// Whether it has `|` where both sides might match.
    pub(super) alternates: bool,
}

/// Reads a pattern.
pub(super) fn parse(pattern: &[u8]) -> Result<Pattern, Invalid> {
    let mut parser = Parser { pattern, at: 0, groups: 0, depth: 0, alternates: false };
    let whole = parser.disjunction()?;
    if parser.at < pattern.len() {
        return Err(Invalid::Syntax);
    }
    if whole.states > MAX_STATES {
        return Err(Invalid::TooLarge);
    }
    Ok(Pattern { hir: whole.hir, groups: parser.groups, alternates: parser.alternates })
}

struct Parser<'p> {
    pattern: &'p [u8],
    at: usize,
    groups: u32,
    depth: u32,
    alternates: bool,
}

/// A piece with the size of its automaton.
struct Piece {
    hir: Hir,
    /// What is left of it where it takes no input, if it can: it still sets groups.
    empty: Option<Hir>,
    states: u64,
}

impl Piece {
    /// A piece that takes one byte.
    fn byte(hir: Hir) -> Piece {
        Piece { hir, empty: None, states: 1 }
    }
}

impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.pattern.get(self.at).copied()
    }

    fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn disjunction(&mut self) -> Result<Piece, Invalid> {
        let first = self.alternative()?;
        let mut states = first.states;
        let (mut branches, mut empties) = (vec![first.hir], Vec::from_iter(first.empty));
        while self.eat(b'|') {
            let next = self.alternative()?;
            states += next.states + 1;
            branches.push(next.hir);
            empties.extend(next.empty);
            self.alternates = true;
        }
        let empty = (!empties.is_empty()).then(|| Hir::alternation(empties));
        Ok(Piece { hir: Hir::alternation(branches), empty, states })
    }

    fn alternative(&mut self) -> Result<Piece, Invalid> {
        let mut states = 0;
        let (mut terms, mut empties) = (Vec::new(), Some(Vec::new()));
        while let Some(term) = self.term()? {
            states += term.states;
            terms.push(term.hir);
            empties = empties.zip(term.empty).map(|(mut empties, empty)| {
                empties.push(empty);
                empties
            });
        }
        Ok(Piece { hir: Hir::concat(terms), empty: empties.map(Hir::concat), states })
    }

    /// An anchor, or an atom with what repeats it; `None` where neither begins.
    fn term(&mut self) -> Result<Option<Piece>, Invalid> {
        let look = match self.peek() {
            Some(b'^') => Some(Look::Start),
            Some(b'$') => Some(Look::End),
            _ => None,
        };
        if let Some(look) = look {
            self.at += 1;
            return Ok(Some(Piece { hir: Hir::look(look), empty: Some(Hir::look(look)), states: 1 }));
        }
        let Some(mut piece) = self.atom()? else {
            return Ok(None);
        };
        while let Some((min, max)) = self.quantifier()? {
            piece = repeat(piece, min, max)?;
        }
        Ok(Some(piece))
    }

    fn atom(&mut self) -> Result<Option<Piece>, Invalid> {
        let Some(byte) = self.peek() else {
            return Ok(None);
        };
        let hir = match byte {
            b'|' | b')' | b'*' | b'+' | b'?' | b'{' => return Ok(None),
            b'(' => return self.group().map(Some),
            b'[' => {
                let (class, end) = bracket::parse(self.pattern, self.at + 1)?;
                self.at = end;
                return Ok(Some(Piece::byte(Hir::class(class))));
            }
            b'.' => any_byte(),
            b'\\' => {
                self.at += 1;
                let escaped = self.peek().filter(|byte| b".[\\()*+?{|^$".contains(byte));
                Hir::literal([escaped.ok_or(Invalid::Syntax)?])
            }
            _ => Hir::literal([byte]),
        };
        self.at += 1;
        Ok(Some(Piece::byte(hir)))
    }

    fn group(&mut self) -> Result<Piece, Invalid> {
        if self.depth == MAX_DEPTH {
            return Err(Invalid::TooLarge);
        }
        self.at += 1;
        self.groups += 1;
        let index = self.groups;
        self.depth += 1;
        let inner = self.disjunction()?;
        self.depth -= 1;
        if !self.eat(b')') {
            return Err(Invalid::Syntax);
        }
        let capture = |sub| Hir::capture(Capture { index, name: None, sub: Box::new(sub) });
        Ok(Piece { hir: capture(inner.hir), empty: inner.empty.map(capture), states: inner.states + 2 })
    }

    fn quantifier(&mut self) -> Result<Option<(u32, Option<u32>)>, Invalid> {
        let bounds = match self.peek() {
            Some(b'*') => (0, None),
            Some(b'+') => (1, None),
            Some(b'?') => (0, Some(1)),
            Some(b'{') => {
                self.at += 1;
                return self.interval().map(Some);
            }
            _ => return Ok(None),
        };
        self.at += 1;
        Ok(Some(bounds))
    }

    /// `n}`, `n,}` or `n,m}`.
    fn interval(&mut self) -> Result<(u32, Option<u32>), Invalid> {
        let min = self.number()?;
        let max = if !self.eat(b',') {
            Some(min)
        } else if self.peek() == Some(b'}') {
            None
        } else {
            Some(self.number()?)
        };
        if !self.eat(b'}') || max.is_some_and(|max| max < min) {
            return Err(Invalid::Syntax);
        }
        Ok((min, max))
    }

    fn number(&mut self) -> Result<u32, Invalid> {
        let start = self.at;
        let mut value = 0_u32;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            value = value.saturating_mul(10).saturating_add(u32::from(digit - b'0'));
            self.at += 1;
        }
        if self.at == start { Err(Invalid::Syntax) } else { Ok(value) }
    }
}

fn any_byte() -> Hir {
    Hir::class(Class::Bytes(ClassBytes::new([ClassBytesRange::new(1, 255)])))
}

/// Repeats a piece.
///
/// Where the piece can be empty, libstdc++ runs it once more without input when a loop ends, which sets the groups in
/// it: `(a*)*` leaves "" in its group, not what it matched before. The same is said here by what follows the loop.
fn repeat(piece: Piece, min: u32, max: Option<u32>) -> Result<Piece, Invalid> {
    let copies = u64::from(max.unwrap_or(min)).max(1);
    let states = piece.states.saturating_add(1).saturating_mul(copies);
    if states > MAX_STATES {
        return Err(Invalid::TooLarge);
    }
    let has_groups = piece.hir.properties().explicit_captures_len() > 0;
    let looped = Hir::repetition(Repetition { min, max, greedy: true, sub: Box::new(piece.hir) });
    match piece.empty {
        Some(empty) if has_groups && max.is_none() => {
            Ok(Piece { hir: Hir::concat(vec![looped, empty.clone()]), empty: Some(empty), states: states * 2 })
        }
        Some(empty) => {
            Ok(Piece { hir: looped, empty: Some(if max == Some(0) { Hir::empty() } else { empty }), states })
        }
        None => Ok(Piece { hir: looped, empty: (min == 0).then(Hir::empty), states }),
    }
}
