//! Any text as TOML.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    let _ = eval::toml::parse(text, true);
});
