//! Any bytes as a NAR: what is read to its end is the only way to write what it holds.
#![no_main]

use std::io::Read;

use libfuzzer_sys::fuzz_target;
use nix_formats::nar::{Event, NarError, Reader, Writer};

fuzz_target!(|bytes: &[u8]| {
    if let Ok((written, rest)) = rewrite(bytes) {
        assert_eq!(written, bytes[..bytes.len() - rest]);
    }
});

/// Reads a NAR and writes what it holds; the bytes, and how many were left unread.
fn rewrite(bytes: &[u8]) -> Result<(Vec<u8>, usize), NarError> {
    let mut reader = Reader::new(bytes);
    let mut writer = Writer::new(Vec::new())?;
    while let Some(event) = reader.next()? {
        match event {
            Event::OpenDirectory => writer.open_directory()?,
            Event::Entry { name } => writer.entry(&name)?,
            Event::CloseDirectory => writer.close_directory()?,
            Event::Symlink { target } => writer.symlink(&target)?,
            Event::File { executable, size } => {
                writer.open_file(executable, size)?;
                let mut content = Vec::new();
                reader.content().read_to_end(&mut content)?;
                writer.content(&content)?;
                writer.close_file()?;
            }
        }
    }
    Ok((writer.finish()?, reader.into_inner().len()))
}
