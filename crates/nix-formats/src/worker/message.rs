//! What a daemon says while it works, before it gives its answer.

use std::io::Read;

use super::wire::{WireError, WireReader};

const NEXT: u64 = 0x6f6c_6d67;
const LAST: u64 = 0x616c_7473;
const ERROR: u64 = 0x6378_7470;
const START_ACTIVITY: u64 = 0x5354_5254;
const STOP_ACTIVITY: u64 = 0x5354_4f50;
const RESULT: u64 = 0x5253_4c54;

/// A part of what is said of an activity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Field {
    /// A number.
    Number(u64),
    /// A text.
    Text(String),
}

/// What a daemon says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// The answer follows.
    Last,
    /// It has failed; no answer follows.
    Error(String),
    /// A line for people.
    Line(String),
    /// Something begins.
    Start {
        /// Its number.
        id: u64,
        /// What kind it is of: 105 a build, 108 a substitution, 100 a copy.
        kind: u64,
        /// A line about it.
        text: String,
        /// More about it, by its kind.
        fields: Vec<Field>,
    },
    /// It has ended.
    Stop {
        /// Its number.
        id: u64,
    },
    /// Something about one that runs.
    Result {
        /// Its number.
        id: u64,
        /// What it is: 101 a line of a builder's log, 105 how far it is.
        kind: u64,
        /// The thing itself, by its kind.
        fields: Vec<Field>,
    },
}

impl Message {
    /// Reads one message.
    pub fn read<R: Read>(reader: &mut WireReader<R>) -> Result<Self, WireError> {
        Ok(match reader.number()? {
            NEXT => Self::Line(reader.string()?),
            LAST => Self::Last,
            ERROR => Self::Error(read_error(reader)?),
            START_ACTIVITY => {
                let id = reader.number()?;
                let _level = reader.number()?;
                let kind = reader.number()?;
                let text = reader.string()?;
                let fields = read_fields(reader)?;
                let _parent = reader.number()?;
                Self::Start { id, kind, text, fields }
            }
            STOP_ACTIVITY => Self::Stop { id: reader.number()? },
            RESULT => {
                let (id, kind) = (reader.number()?, reader.number()?);
                Self::Result { id, kind, fields: read_fields(reader)? }
            }
            other => return Err(WireError::Malformed(format!("the message {other:#x}"))),
        })
    }
}

fn read_error<R: Read>(reader: &mut WireReader<R>) -> Result<String, WireError> {
    let _type = reader.string()?;
    let _level = reader.number()?;
    let _name = reader.string()?;
    let message = reader.string()?;
    let _position = reader.number()?;
    reader.list(|reader| {
        let _position = reader.number()?;
        reader.string()
    })?;
    Ok(message)
}

fn read_fields<R: Read>(reader: &mut WireReader<R>) -> Result<Vec<Field>, WireError> {
    reader.list(|reader| match reader.number()? {
        0 => Ok(Field::Number(reader.number()?)),
        1 => Ok(Field::Text(reader.string()?)),
        other => Err(WireError::Malformed(format!("a field of the kind {other}"))),
    })
}
