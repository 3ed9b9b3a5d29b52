//! Any bytes as the ATerm of a derivation: what is read and can be written means the same when it is read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nix_formats::derivation::Derivation;

fuzz_target!(|aterm: &[u8]| {
    let Ok(derivation) = Derivation::parse("name", aterm) else { return };
    if let Ok(written) = derivation.to_aterm() {
        assert_eq!(Derivation::parse("name", &written).as_ref(), Ok(&derivation));
    }
    let _ = derivation.kind();
    derivation.output_paths().for_each(drop);
});
