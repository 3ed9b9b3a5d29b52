//! Any text as a registry of flakes.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = fetch::Registry::parse(text);
});
