//! Any text as a narinfo: what is read prints back to what means the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nix_formats::narinfo::NarInfo;

fuzz_target!(|text: &str| {
    if let Ok(info) = NarInfo::parse(text) {
        assert_eq!(NarInfo::parse(&info.to_string()), Ok(info.clone()));
        info.fingerprint();
    }
});
