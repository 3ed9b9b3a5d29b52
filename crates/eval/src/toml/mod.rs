//! TOML to a value, for `builtins.fromTOML`.

mod reopened;
mod version;

use toml::Value as Toml;
use toml::value::{Date, Datetime, Offset, Time};
use toml_parser::Source;

use crate::error::{Error, Result};
use crate::heap::{AttrsBuilder, Value};
use crate::symbol::Symbol;

/// Reads a document. Dates and times become `{ _type = "timestamp"; value = "…"; }` where `timestamps` are enabled
/// (Nix's experimental feature `parse-toml-timestamps`), and are errors elsewhere.
pub fn parse(text: &[u8], timestamps: bool) -> Result<Value> {
    let text = std::str::from_utf8(text)
        .map_err(|error| Error::other(format!("the TOML text is not UTF-8 from byte {} on", error.valid_up_to())))?;
    let table: toml::Table = toml::from_str(text)
        .map_err(|error| Error::other(format!("the text is not TOML: {}", error.to_string().trim_end())))?;
    let line = |at: usize| text[..at].matches('\n').count() + 1;
    let source = Source::new(text);
    let tokens = source.lex().into_vec();
    if let Some(at) = reopened::reopening_key(source, &tokens) {
        let line = line(at);
        return Err(Error::other(format!(
            "the text is not TOML: line {line} has a dotted key that adds to a table with a header of its own"
        )));
    }
    if let Some((what, at)) = version::newer_than_1_0(text, &tokens) {
        let line = line(at);
        return Err(Error::other(format!(
            "the text is not TOML 1.0: line {line} has {what}, which is new in TOML 1.1"
        )));
    }
    convert(Toml::Table(table), timestamps)
}

fn convert(toml: Toml, timestamps: bool) -> Result<Value> {
    Ok(match toml {
        Toml::String(text) => Value::string(without_nul(&text)?),
        Toml::Integer(value) => Value::int(value),
        Toml::Float(value) => Value::float(value),
        Toml::Boolean(value) => Value::bool(value),
        Toml::Datetime(Datetime { time: Some(Time { second: None, .. }), .. }) => {
            return Err(Error::other("the TOML text has a time without seconds, which is new in TOML 1.1"));
        }
        Toml::Datetime(time) if timestamps => {
            let mut attrs = AttrsBuilder::with_capacity(2);
            attrs.push(Symbol::intern("_type"), Value::string("timestamp"));
            attrs.push(Symbol::intern("value"), Value::string(print_time(&time)));
            attrs.finish().into()
        }
        Toml::Datetime(time) => {
            return Err(Error::other(format!("the TOML text has the time {time}; dates and times are not supported")));
        }
        Toml::Array(items) => {
            let items = items.into_iter().map(|item| convert(item, timestamps));
            Value::list(&items.collect::<Result<Vec<Value>>>()?)
        }
        Toml::Table(table) => {
            let mut attrs = AttrsBuilder::with_capacity(table.len());
            for (name, item) in table {
                attrs.push(Symbol::intern(without_nul(&name)?), convert(item, timestamps)?);
            }
            attrs.finish().into()
        }
    })
}

fn without_nul(text: &str) -> Result<&str> {
    if text.contains('\0') {
        return Err(Error::other("a string of the TOML text has a NUL byte, which no string of the language can hold"));
    }
    Ok(text)
}

/// A time as RFC 3339 writes it, with 0, 3, 6 or 9 digits of the second's fraction.
fn print_time(datetime: &Datetime) -> String {
    let date = datetime.date.map(|Date { year, month, day }| format!("{year:04}-{month:02}-{day:02}"));
    let time = datetime.time.map(print_clock);
    let offset = match datetime.offset {
        None => String::new(),
        Some(Offset::Z | Offset::Custom { minutes: 0 }) => "Z".to_owned(),
        Some(offset) => offset.to_string(),
    };
    let joined: Vec<String> = date.into_iter().chain(time).collect();
    joined.join("T") + &offset
}

fn print_clock(time: Time) -> String {
    let nanos = time.nanosecond.unwrap_or(0);
    let fraction = match nanos {
        0 => String::new(),
        _ if nanos.is_multiple_of(1_000_000) => format!(".{:03}", nanos / 1_000_000),
        _ if nanos.is_multiple_of(1_000) => format!(".{:06}", nanos / 1_000),
        _ => format!(".{nanos:09}"),
    };
    format!("{:02}:{:02}:{:02}{fraction}", time.hour, time.minute, time.second.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn times_are_those_of_toml_1_0() {
        assert!(parse(b"a = 07:32:00", true).is_ok());
        for text in ["a = 07:32", "a = 1979-05-27T07:32Z"] {
            let error = parse(text.as_bytes(), true).expect_err(text);
            assert!(error.message.contains("TOML 1.1"), "{}", error.message);
        }
    }
}
