//! Any text as a lock file: what is read prints in one way.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nix_formats::flake_lock::LockFile;

fuzz_target!(|text: &str| {
    if let Ok(lock) = LockFile::parse(text) {
        let printed = lock.print();
        let again = LockFile::parse(&printed).expect("what is printed can be read");
        assert_eq!(again.print(), printed);
    }
});
