//! What is sent along with a question.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

use reqwest::blocking::Body;

/// The body of a request. It can be sent more than once: a server that was busy is asked again.
#[derive(Clone, Copy)]
pub(crate) enum Payload<'a> {
    /// A whole file.
    File(&'a File),
    /// Some bytes of a file.
    Part { file: &'a File, from: u64, length: u64 },
    /// A text.
    Text { text: &'a str, media_type: &'static str },
}

impl Payload<'_> {
    pub fn media_type(&self) -> &'static str {
        match self {
            Self::File(_) | Self::Part { .. } => "application/octet-stream",
            Self::Text { media_type, .. } => media_type,
        }
    }

    pub fn body(&self) -> io::Result<Body> {
        Ok(match *self {
            Self::File(file) => {
                let mut file = file.try_clone()?;
                file.seek(SeekFrom::Start(0))?;
                Body::from(file)
            }
            Self::Part { file, from, length } => {
                Body::sized(Part { file: file.try_clone()?, position: from, end: from + length }, length)
            }
            Self::Text { text, .. } => Body::from(text.to_owned()),
        })
    }
}

/// Reads some bytes of a file, whose own position others may move.
struct Part {
    file: File,
    position: u64,
    end: u64,
}

impl Read for Part {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let rest = usize::try_from(self.end - self.position).unwrap_or(usize::MAX);
        let length = buffer.len().min(rest);
        let count = self.file.read_at(&mut buffer[..length], self.position)?;
        self.position += count as u64;
        Ok(count)
    }
}
