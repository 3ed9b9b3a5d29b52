//! JSON text to a value. An explicit stack, so that no nesting can use up the machine's.

use thiserror::Error as ThisError;

use crate::heap::{AttrsBuilder, Value};
use crate::symbol::Symbol;

/// Why a text is not JSON that the language can hold.
#[derive(Clone, Debug, PartialEq, Eq, ThisError)]
#[error("{message}, at line {line}, column {column} of the JSON text")]
pub struct JsonError {
    /// What is wrong.
    pub message: String,
    /// The line, from 1.
    pub line: usize,
    /// The byte in the line, from 1.
    pub column: usize,
}

/// Reads a whole text. Of equal names in an object the last counts. Integers that do not fit in 64 bits and a sign
/// become floats; those above the signed range that fit without one are refused, as in Nix.
pub fn parse(text: &[u8]) -> Result<Value, JsonError> {
    let mut parser = Parser { text, at: 0 };
    if text.starts_with(b"\xef\xbb\xbf") {
        parser.at = 3;
    }
    let value = parser.document()?;
    parser.skip_blank();
    if parser.at < text.len() {
        return Err(parser.error("expected the end of the text after the value"));
    }
    Ok(value)
}

struct Parser<'t> {
    text: &'t [u8],
    at: usize,
}

/// A list or object that is not closed yet.
enum Open {
    List(Vec<Value>),
    Object(Vec<(Symbol, Value)>, Symbol),
}

/// What a token at the place of a value is.
enum Begun {
    Value(Value),
    Container(Open),
}

impl Parser<'_> {
    fn error(&self, message: impl Into<String>) -> JsonError {
        let before = &self.text[..self.at.min(self.text.len())];
        let line_start = memchr::memrchr(b'\n', before).map_or(0, |feed| feed + 1);
        JsonError {
            message: message.into(),
            line: memchr::memchr_iter(b'\n', before).count() + 1,
            column: before.len() - line_start + 1,
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn skip_blank(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn eat(&mut self, byte: u8) -> bool {
        self.skip_blank();
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn document(&mut self) -> Result<Value, JsonError> {
        let mut open: Vec<Open> = Vec::new();
        loop {
            let mut value = match self.begin()? {
                Begun::Value(value) => value,
                Begun::Container(container) => {
                    open.push(container);
                    continue;
                }
            };
            loop {
                let Some(top) = open.last_mut() else {
                    return Ok(value);
                };
                if self.add(top, value)? {
                    break;
                }
                value = match open.pop() {
                    Some(Open::List(items)) => Value::list(&items),
                    Some(Open::Object(members, _)) => object(members),
                    None => return Ok(value),
                };
            }
        }
    }

    /// Reads a value, or the opening of a container that is not empty.
    fn begin(&mut self) -> Result<Begun, JsonError> {
        self.skip_blank();
        let value = match self.peek() {
            Some(b'[') => {
                self.at += 1;
                if !self.eat(b']') {
                    return Ok(Begun::Container(Open::List(Vec::new())));
                }
                Value::list(&[])
            }
            Some(b'{') => {
                self.at += 1;
                if !self.eat(b'}') {
                    let key = self.key()?;
                    return Ok(Begun::Container(Open::Object(Vec::new(), key)));
                }
                object(Vec::new())
            }
            Some(b'"') => Value::string(self.string()?),
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(b't') => self.word("true", Value::TRUE)?,
            Some(b'f') => self.word("false", Value::FALSE)?,
            Some(b'n') => self.word("null", Value::NULL)?,
            Some(_) => return Err(self.error("expected a value")),
            None => return Err(self.error("expected a value, found the end of the text")),
        };
        Ok(Begun::Value(value))
    }

    /// Adds a value to a container. Says whether another value follows in it.
    fn add(&mut self, container: &mut Open, value: Value) -> Result<bool, JsonError> {
        let (more, closed, wanted) = match container {
            Open::List(items) => {
                items.push(value);
                (self.eat(b','), self.eat(b']'), "expected ',' or ']'")
            }
            Open::Object(members, key) => {
                members.push((*key, value));
                let more = self.eat(b',');
                if more {
                    *key = self.key()?;
                }
                (more, !more && self.eat(b'}'), "expected ',' or '}'")
            }
        };
        match (more, closed) {
            (true, true) => {
                self.at -= 1;
                Err(self.error("expected a value after ','"))
            }
            (false, false) => Err(self.error(wanted)),
            _ => Ok(more),
        }
    }

    fn key(&mut self) -> Result<Symbol, JsonError> {
        self.skip_blank();
        if self.peek() != Some(b'"') {
            return Err(self.error("expected the name of a member, in double quotes"));
        }
        let key = Symbol::intern(self.string()?);
        if !self.eat(b':') {
            return Err(self.error("expected ':' after the name of a member"));
        }
        Ok(key)
    }

    fn word(&mut self, word: &str, value: Value) -> Result<Value, JsonError> {
        if !self.text[self.at..].starts_with(word.as_bytes()) {
            return Err(self.error("expected a value"));
        }
        self.at += word.len();
        Ok(value)
    }

    fn digits(&mut self) -> usize {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        self.at - start
    }

    fn number(&mut self) -> Result<Value, JsonError> {
        let start = self.at;
        self.at += usize::from(self.peek() == Some(b'-'));
        let leading_zero = self.peek() == Some(b'0');
        let digits = self.digits();
        if digits == 0 || (leading_zero && digits > 1) {
            return Err(self.error(if digits == 0 { "expected a digit" } else { "a number cannot begin with 0" }));
        }
        let mut is_float = false;
        if self.peek() == Some(b'.') {
            self.at += 1;
            is_float = true;
            if self.digits() == 0 {
                return Err(self.error("expected a digit after the decimal point"));
            }
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            is_float = true;
            self.at += usize::from(matches!(self.peek(), Some(b'+' | b'-')));
            if self.digits() == 0 {
                return Err(self.error("expected a digit in the exponent"));
            }
        }
        let text = std::str::from_utf8(&self.text[start..self.at]).unwrap_or_default();
        if !is_float {
            if let Ok(value) = text.parse() {
                return Ok(Value::int(value));
            }
            if text.parse::<u64>().is_ok() {
                return Err(self.error(format!("the integer {text} does not fit in 64 bits with a sign")));
            }
        }
        match text.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(Value::float(value)),
            _ => Err(self.error(format!("the number {text} is too large"))),
        }
    }

    fn string(&mut self) -> Result<Vec<u8>, JsonError> {
        self.at += 1;
        let mut out = Vec::new();
        loop {
            let rest = &self.text[self.at..];
            let plain = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f)).unwrap_or(rest.len());
            if std::str::from_utf8(&rest[..plain]).is_err() {
                return Err(self.error("the string is not valid UTF-8"));
            }
            out.extend_from_slice(&rest[..plain]);
            self.at += plain;
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(out);
                }
                Some(b'\\') => {
                    self.at += 1;
                    self.escape(&mut out)?;
                }
                Some(_) => return Err(self.error("a control character in a string must be escaped")),
                None => return Err(self.error("the string is not closed")),
            }
        }
    }

    fn escape(&mut self, out: &mut Vec<u8>) -> Result<(), JsonError> {
        let byte = match self.peek() {
            Some(byte @ (b'"' | b'\\' | b'/')) => byte,
            Some(b'b') => 8,
            Some(b'f') => 12,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'u') => {
                self.at += 1;
                let char = self.unicode()?;
                out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(());
            }
            _ => return Err(self.error("a backslash must begin one of the escapes of JSON")),
        };
        out.push(byte);
        self.at += 1;
        Ok(())
    }

    /// The character of a `\u` escape, or of two that are a surrogate pair.
    fn unicode(&mut self) -> Result<char, JsonError> {
        let first = self.code_unit()?;
        let code = match first {
            0 => return Err(self.error("a string of the language cannot hold a NUL byte")),
            0xd800..=0xdbff if self.text[self.at..].starts_with(b"\\u") => {
                self.at += 2;
                let second = self.code_unit()?;
                match second {
                    0xdc00..=0xdfff => 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00),
                    _ => return Err(self.error("a high surrogate must be followed by a low one")),
                }
            }
            _ => first,
        };
        char::from_u32(code).ok_or_else(|| self.error("a surrogate cannot stand alone"))
    }

    fn code_unit(&mut self) -> Result<u32, JsonError> {
        let digits = self.text.get(self.at..self.at + 4).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let text = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        let unit = text.and_then(|text| u32::from_str_radix(text, 16).ok());
        let unit = unit.ok_or_else(|| self.error("'\\u' must be followed by four hexadecimal digits"))?;
        self.at += 4;
        Ok(unit)
    }
}

fn object(members: Vec<(Symbol, Value)>) -> Value {
    let mut attrs = AttrsBuilder::with_capacity(members.len());
    // The builder keeps the first of equal names.
    for (name, value) in members.into_iter().rev() {
        attrs.push(name, value);
    }
    attrs.finish().into()
}
