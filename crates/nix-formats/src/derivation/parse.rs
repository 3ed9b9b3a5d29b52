//! ATerm → derivation, strictly: what is accepted prints back to the same bytes.

use std::collections::{BTreeMap, BTreeSet};

use bstr::BString;
use thiserror::Error;

use super::{Derivation, Output};
use crate::content_address::{ContentAddress, Method};
use crate::hash::{Hash, HashAlgo};
use crate::store_path::{self, StorePath};

/// Why a text is no derivation.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("derivation '{name}' is malformed at byte {offset}: {reason}")]
pub struct ParseError {
    /// The derivation's name as the caller gave it.
    pub name: String,
    /// Where in the text.
    pub offset: usize,
    /// What was expected there.
    pub reason: String,
}

impl Derivation {
    /// Parses the text of a `.drv` file; `name` is the file's name without hash part and `.drv`.
    pub fn parse(name: &str, aterm: &[u8]) -> Result<Self, ParseError> {
        let mut parser = Parser { text: aterm, position: 0 };
        parser.derivation(name).map_err(|reason| ParseError { name: name.to_owned(), offset: parser.position, reason })
    }
}

struct Parser<'a> {
    text: &'a [u8],
    position: usize,
}

type Parsed<T> = Result<T, String>;

impl Parser<'_> {
    fn derivation(&mut self, name: &str) -> Parsed<Derivation> {
        store_path::check_name(name).map_err(|error| error.to_string())?;
        if self.rest().starts_with(b"DrvWithVersion(") {
            return Err("it depends on the outputs of dynamic derivations, which are not supported".to_owned());
        }
        self.expect("Derive(")?;
        let outputs = self.map(|parser| parser.output(name))?;
        self.expect(",")?;
        let input_derivations = self.map(Self::input_derivation)?;
        self.expect(",")?;
        let input_sources = self.set(Self::store_path)?;
        self.expect(",")?;
        let system = self.utf8()?;
        self.expect(",")?;
        let builder = self.string()?;
        self.expect(",")?;
        let mut args = Vec::new();
        self.list(|parser| {
            args.push(parser.string()?);
            Ok(())
        })?;
        self.expect(",")?;
        let env = self.map(|parser| {
            let key = parser.string()?;
            parser.expect(",")?;
            Ok((key, parser.string()?))
        })?;
        self.expect(")")?;
        if !self.rest().is_empty() {
            return Err("there is more text after the derivation's end".to_owned());
        }
        Ok(Derivation { name: name.to_owned(), outputs, input_derivations, input_sources, system, builder, args, env })
    }

    fn output(&mut self, derivation_name: &str) -> Parsed<(String, Output)> {
        let name = self.utf8()?;
        self.expect(",")?;
        let path = self.utf8()?;
        self.expect(",")?;
        let algo = self.utf8()?;
        self.expect(",")?;
        let hash = self.utf8()?;
        store_path::check_name(&store_path::output_path_name(derivation_name, &name))
            .map_err(|error| error.to_string())?;
        let output = parse_output(&path, &algo, &hash)?;
        let computed = output.path(derivation_name, &name).map_err(|error| error.to_string())?;
        if computed.map_or(String::new(), |path| path.to_absolute()) != path {
            return Err(format!("output '{name}' has path '{path}', which does not match its content address"));
        }
        Ok((name, output))
    }

    fn input_derivation(&mut self) -> Parsed<(StorePath, BTreeSet<String>)> {
        let path = self.store_path()?;
        if !path.is_derivation() {
            return Err(format!("input '{path}' is not the path of a derivation"));
        }
        self.expect(",")?;
        let outputs = self.set(Self::utf8)?;
        if outputs.is_empty() {
            return Err(format!("input derivation '{path}' is named without outputs"));
        }
        Ok((path, outputs))
    }

    fn rest(&self) -> &[u8] {
        &self.text[self.position..]
    }

    fn expect(&mut self, literal: &str) -> Parsed<()> {
        if !self.rest().starts_with(literal.as_bytes()) {
            return Err(format!("expected '{literal}'"));
        }
        self.position += literal.len();
        Ok(())
    }

    fn list(&mut self, mut item: impl FnMut(&mut Self) -> Parsed<()>) -> Parsed<()> {
        self.expect("[")?;
        if self.expect("]").is_ok() {
            return Ok(());
        }
        loop {
            item(self)?;
            if self.expect(",").is_err() {
                return self.expect("]").map_err(|_| "expected ',' or ']'".to_owned());
            }
        }
    }

    /// A list of `(key,…)` in strictly ascending order of the keys.
    fn map<K: Ord, V>(&mut self, mut entry: impl FnMut(&mut Self) -> Parsed<(K, V)>) -> Parsed<BTreeMap<K, V>> {
        let mut map = BTreeMap::new();
        self.list(|parser| {
            parser.expect("(")?;
            let (key, value) = entry(parser)?;
            parser.expect(")")?;
            if map.last_key_value().is_some_and(|(last, _)| *last >= key) {
                return Err("the entries are not in ascending order".to_owned());
            }
            map.insert(key, value);
            Ok(())
        })?;
        Ok(map)
    }

    fn set<T: Ord>(&mut self, mut item: impl FnMut(&mut Self) -> Parsed<T>) -> Parsed<BTreeSet<T>> {
        let mut set = BTreeSet::new();
        self.list(|parser| {
            let value = item(parser)?;
            if set.last().is_some_and(|last| *last >= value) {
                return Err("the entries are not in ascending order".to_owned());
            }
            set.insert(value);
            Ok(())
        })?;
        Ok(set)
    }

    fn store_path(&mut self) -> Parsed<StorePath> {
        let text = self.string()?;
        StorePath::from_absolute(&text).map_err(|error| error.to_string())
    }

    fn utf8(&mut self) -> Parsed<String> {
        String::from_utf8(self.string()?.into()).map_err(|_| "expected UTF-8 text".to_owned())
    }

    fn string(&mut self) -> Parsed<BString> {
        self.expect("\"")?;
        let mut value = Vec::new();
        loop {
            let rest = &self.text[self.position..];
            let run = rest
                .iter()
                .position(|byte| matches!(byte, b'"' | b'\\' | b'\n' | b'\r' | b'\t'))
                .ok_or("the string does not end")?;
            value.extend_from_slice(&rest[..run]);
            self.position += run;
            match rest[run..] {
                [b'"', ..] => {
                    self.position += 1;
                    return Ok(value.into());
                }
                [b'\\', escaped, ..] => {
                    value.push(match escaped {
                        b'n' => b'\n',
                        b'r' => b'\r',
                        b't' => b'\t',
                        b'"' | b'\\' => escaped,
                        _ => return Err("unknown escape in a string".to_owned()),
                    });
                    self.position += 2;
                }
                [b'\\'] => return Err("the string does not end".to_owned()),
                _ => return Err("a line break or tab in a string must be escaped".to_owned()),
            }
        }
    }
}

fn parse_output(path: &str, algo: &str, hash: &str) -> Parsed<Output> {
    if algo.is_empty() {
        if !hash.is_empty() {
            return Err("an output has a hash but no algorithm".to_owned());
        }
        if path.is_empty() {
            return Ok(Output::Deferred);
        }
        return StorePath::from_absolute(path).map(Output::InputAddressed).map_err(|error| error.to_string());
    }
    let (method, algo) = Method::split_prefix(algo);
    let algo = HashAlgo::parse(algo).map_err(|error| error.to_string())?;
    match hash {
        "" => Ok(Output::Floating { method, algo }),
        "impure" => Ok(Output::Impure { method, algo }),
        _ => {
            let parsed = Hash::parse(hash, Some(algo)).map_err(|error| error.to_string())?;
            if parsed.to_hex() != hash {
                return Err(format!("the output's hash '{hash}' is not in lower-case base 16"));
            }
            Ok(Output::Fixed(ContentAddress { method, hash: parsed }))
        }
    }
}
