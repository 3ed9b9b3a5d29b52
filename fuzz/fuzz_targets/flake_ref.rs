//! Any text as a flake reference: what is read prints as something that means the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nix_formats::flake_ref::{FlakeRef, git_url, submodule_url};

fuzz_target!(|text: &str| {
    if let Ok(reference) = FlakeRef::parse(text) {
        let printed = reference.to_string();
        if let Ok(again) = FlakeRef::parse(&printed) {
            assert_eq!(again.to_string(), printed, "{text}");
        }
    }
    if let Ok(url) = git_url(text) {
        let _ = submodule_url(&url, text);
    }
    let (base, url) = text.split_once('\n').unwrap_or((text, "../x"));
    let _ = submodule_url(base, url);
});
