//! Any text as a narinfo, and as a realisation: what is read prints back to what means the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nix_formats::narinfo::NarInfo;
use nix_formats::realisation::Realisation;

fuzz_target!(|text: &str| {
    if let Ok(info) = NarInfo::parse(text) {
        assert_eq!(NarInfo::parse(&info.to_string()), Ok(info.clone()));
        info.fingerprint();
    }
    if let Ok(realisation) = Realisation::parse(text) {
        assert_eq!(Realisation::parse(&realisation.to_string()).ok(), Some(realisation.clone()));
        assert!(!realisation.id.file_name()["realisations/".len()..].contains('/'));
    }
});
