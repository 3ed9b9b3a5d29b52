//! How a build that a daemon was asked for has ended.

use std::collections::BTreeMap;
use std::io::Read;

use super::Version;
use super::wire::{WireError, WireReader};
use crate::derivation::OutputName;
use crate::store_path::StorePath;

/// How a build has ended, as `BuildResult::Status` in `libstore/build-result.hh`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BuildStatus {
    /// The outputs are there.
    Done,
    /// The builder has failed, or what it made was refused; doing it again would end the same.
    Failed,
    /// It may be otherwise the next time: the machine has failed, not the builder.
    Transient,
    /// The builder has run, or was silent, for too long.
    TimedOut,
    /// Something that it needs could not be built.
    DependencyFailed,
    /// Building again has given something else.
    NotDeterministic,
}

impl BuildStatus {
    fn from_wire(number: u64) -> Result<Self, WireError> {
        Ok(match number {
            // Built, substituted, there already, the same as a resolved one that is there.
            0 | 1 | 2 | 13 => Self::Done,
            // The builder's, the input's or the output's fault, one known from before, too long a log, no substituter, a
            // wrong hash.
            3 | 4 | 5 | 7 | 11 | 14 | 15 => Self::Failed,
            // Transient, not said, given up.
            6 | 9 | 16 => Self::Transient,
            8 => Self::TimedOut,
            10 => Self::DependencyFailed,
            12 => Self::NotDeterministic,
            other => return Err(WireError::Malformed(format!("the build status {other}"))),
        })
    }
}

/// How a build has ended, and what it made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildResult {
    /// How it ended.
    pub status: BuildStatus,
    /// Why it failed; empty if it did not.
    pub message: String,
    /// The outputs whose paths only the build tells.
    pub outputs: BTreeMap<OutputName, StorePath>,
}

impl BuildResult {
    /// Reads one as it is sent in this version.
    pub fn read<R: Read>(reader: &mut WireReader<R>, version: Version) -> Result<Self, WireError> {
        let status = BuildStatus::from_wire(reader.number()?)?;
        let message = reader.string()?;
        // How often it was built, whether that differed, when it began and when it ended.
        for _ in 0..4 {
            reader.number()?;
        }
        if version.minor >= 37 {
            // The processor time of the builder and of the kernel for it, each only if it is known.
            for _ in 0..2 {
                if reader.flag()? {
                    reader.number()?;
                }
            }
        }
        let outputs = reader.list(read_output)?;
        Ok(Self { status, message, outputs: outputs.into_iter().collect() })
    }

    /// Whether the outputs are there.
    pub fn is_done(&self) -> bool {
        self.status == BuildStatus::Done
    }
}

/// `sha256:…!out`, and JSON of which the path is of interest here.
fn read_output<R: Read>(reader: &mut WireReader<R>) -> Result<(OutputName, StorePath), WireError> {
    let id = reader.string()?;
    let text = reader.string()?;
    let malformed = |what: &str| WireError::Malformed(format!("of the output '{id}': {what}"));
    let (_, output) = id.split_once('!').ok_or_else(|| malformed("it has no name"))?;
    let json: serde_json::Value = serde_json::from_str(&text).map_err(|error| malformed(&error.to_string()))?;
    let path = json["outPath"].as_str().ok_or_else(|| malformed("it has no path"))?;
    let path = match path.starts_with('/') {
        true => StorePath::from_absolute(path)?,
        false => StorePath::from_base_name(path)?,
    };
    Ok((output.to_owned(), path))
}

#[cfg(test)]
mod tests {
    use super::super::WireWriter;
    use super::*;

    #[test]
    fn results_of_every_version() {
        for minor in [34, 37, 38] {
            let mut bytes = Vec::new();
            let mut writer = WireWriter::new(&mut bytes);
            writer.number(13).unwrap();
            writer.string("").unwrap();
            (0..4).for_each(|_| writer.number(1).unwrap());
            if minor >= 37 {
                [1, 77, 0].into_iter().for_each(|number| writer.number(number).unwrap());
            }
            writer.number(1).unwrap();
            writer.string("sha256:aa!dev").unwrap();
            writer.string(r#"{"id":"x","outPath":"0c6rn30q4frawknapgwq386zq358m8r6-m","signatures":[]}"#).unwrap();
            let result = BuildResult::read(&mut WireReader::new(&bytes[..]), Version { major: 1, minor }).unwrap();
            assert!(result.is_done());
            assert_eq!(result.outputs["dev"].name(), "m");
        }
        let unknown = 99_u64.to_le_bytes();
        assert!(BuildResult::read(&mut WireReader::new(&unknown[..]), Version::NEWEST).is_err());
    }
}
