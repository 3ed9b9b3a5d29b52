//! Bracket expressions: `[a-z]`, `[^[:space:]]`, `[[.hyphen.]]`, `[[=a=]]`.

use regex_syntax::hir::{Class, ClassBytes, ClassBytesRange};

use super::{Invalid, collating};

/// Reads a bracket expression whose `[` is before `at`. Gives the set and the offset after the `]`.
pub(super) fn parse(pattern: &[u8], at: usize) -> Result<(Class, usize), Invalid> {
    let mut bracket = Bracket { pattern, at, set: [false; 256], pending: None };
    let negated = bracket.eat(b'^');
    bracket.first()?;
    while !bracket.eat(b']') {
        bracket.item()?;
    }
    bracket.flush();
    let members = (0..=255_u8).filter(|byte| bracket.set[*byte as usize] != negated);
    let class = ClassBytes::new(members.map(|byte| ClassBytesRange::new(byte, byte)));
    Ok((Class::Bytes(class), bracket.at))
}

struct Bracket<'p> {
    pattern: &'p [u8],
    at: usize,
    set: [bool; 256],
    /// A byte that a range may begin with.
    pending: Option<u8>,
}

/// What stands between brackets.
enum Item {
    Byte(u8),
    Dash,
    Class,
}

impl Bracket<'_> {
    fn eat(&mut self, byte: u8) -> bool {
        let found = self.pattern.get(self.at) == Some(&byte);
        self.at += usize::from(found);
        found
    }

    /// The first item, which may be a `]` or `-` that stands for itself.
    fn first(&mut self) -> Result<(), Invalid> {
        if self.eat(b']') {
            self.pending = Some(b']');
        } else if self.eat(b'-') {
            self.pending = Some(b'-');
        }
        Ok(())
    }

    fn flush(&mut self) {
        if let Some(byte) = self.pending.take() {
            self.set[byte as usize] = true;
        }
    }

    fn item(&mut self) -> Result<(), Invalid> {
        match self.next()? {
            Item::Byte(byte) => {
                self.flush();
                self.pending = Some(byte);
            }
            Item::Class => self.flush(),
            Item::Dash => match self.pending.take() {
                // Without a beginning, a dash stands for itself at the end only.
                None if self.pattern.get(self.at) == Some(&b']') => self.set[b'-' as usize] = true,
                None => return Err(Invalid::Syntax),
                Some(first) if self.pattern.get(self.at) == Some(&b']') => {
                    self.set[first as usize] = true;
                    self.set[b'-' as usize] = true;
                }
                Some(first) => match self.next()? {
                    Item::Byte(last) => self.range(first, last)?,
                    Item::Dash => self.range(first, b'-')?,
                    Item::Class => return Err(Invalid::Syntax),
                },
            },
        }
        Ok(())
    }

    /// Adds a range; bytes are compared as signed, as C's `char` is.
    fn range(&mut self, first: u8, last: u8) -> Result<(), Invalid> {
        let (first, last) = (first as i8, last as i8);
        if first > last {
            return Err(Invalid::Syntax);
        }
        for byte in first..=last {
            self.set[byte as u8 as usize] = true;
        }
        Ok(())
    }

    fn next(&mut self) -> Result<Item, Invalid> {
        let byte = *self.pattern.get(self.at).ok_or(Invalid::Syntax)?;
        self.at += 1;
        if byte == b'-' {
            return Ok(Item::Dash);
        }
        let kind = match self.pattern.get(self.at) {
            Some(kind @ (b'.' | b':' | b'=')) if byte == b'[' => *kind,
            _ => return Ok(Item::Byte(byte)),
        };
        let start = self.at + 1;
        let length = memchr::memmem::find(&self.pattern[start..], &[kind, b']']).ok_or(Invalid::Syntax)?;
        let name = &self.pattern[start..start + length];
        self.at = start + length + 2;
        match kind {
            b'.' => collating::byte(name).map(Item::Byte).ok_or(Invalid::Syntax),
            b':' => self.class(name),
            _ => self.equivalents(name),
        }
    }

    fn equivalents(&mut self, name: &[u8]) -> Result<Item, Invalid> {
        let byte = collating::byte(name).ok_or(Invalid::Syntax)?;
        self.add(|other| other.eq_ignore_ascii_case(&byte));
        Ok(Item::Class)
    }

    fn class(&mut self, name: &[u8]) -> Result<Item, Invalid> {
        let member: fn(&u8) -> bool = match &name.to_ascii_lowercase()[..] {
            b"alnum" => u8::is_ascii_alphanumeric,
            b"alpha" => u8::is_ascii_alphabetic,
            b"blank" => |byte| matches!(byte, b' ' | b'\t'),
            b"cntrl" => u8::is_ascii_control,
            b"digit" | b"d" => u8::is_ascii_digit,
            b"graph" => u8::is_ascii_graphic,
            b"lower" => u8::is_ascii_lowercase,
            b"print" => |byte| byte.is_ascii_graphic() || *byte == b' ',
            b"punct" => u8::is_ascii_punctuation,
            b"space" | b"s" => |byte| matches!(byte, b' ' | b'\t'..=b'\r'),
            b"upper" => u8::is_ascii_uppercase,
            b"w" => |byte| byte.is_ascii_alphanumeric() || *byte == b'_',
            b"xdigit" => u8::is_ascii_hexdigit,
            _ => return Err(Invalid::Syntax),
        };
        self.add(member);
        Ok(Item::Class)
    }

    fn add(&mut self, member: impl Fn(&u8) -> bool) {
        for byte in 0..=255 {
            self.set[byte as usize] |= member(&byte);
        }
    }
}
