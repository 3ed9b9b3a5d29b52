//! Any bytes as what a daemon says: it ends, and room is only made for what comes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nix_formats::worker::{BuildResult, Message, Version, WireReader};

fuzz_target!(|bytes: &[u8]| {
    let mut reader = WireReader::new(bytes);
    while let Ok(message) = Message::read(&mut reader) {
        if matches!(message, Message::Last | Message::Error(_)) {
            break;
        }
    }
    for minor in [34, 38] {
        let _ = BuildResult::read(&mut WireReader::new(bytes), Version { major: 1, minor });
    }
    let mut reader = WireReader::new(bytes);
    let _ = reader.paths();
    let _ = reader.optional_path();
});
