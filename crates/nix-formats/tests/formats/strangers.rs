//! Text from strangers: whatever it is, it is read or refused, and what is read prints back to what means the same.

use nix_formats::content_address::ContentAddress;
use nix_formats::derivation::Derivation;
use nix_formats::flake_lock::LockFile;
use nix_formats::flake_ref::{FlakeRef, Reference};
use nix_formats::hash::Hash;
use nix_formats::narinfo::NarInfo;
use nix_formats::signature::PublicKey;
use nix_formats::store_path::StorePath;
use proptest::prelude::*;

/// Text that looks like what is expected, for a while.
fn likely() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("sha256"),
        Just("sha256:"),
        Just("sha256-"),
        Just("fixed:r:"),
        Just("text:"),
        Just("/nix/store/"),
        Just("7h7qgvs4kgzsn8a6rb273saxyqh4jxlz"),
        Just("-"),
        Just("47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="),
        Just("github:"),
        Just("git+"),
        Just("https://"),
        Just("path:"),
        Just("flake:"),
        Just("a/b"),
        Just("?ref="),
        Just("&dir="),
        Just("#"),
        Just("%2F"),
        Just("%"),
        Just("NarSize: 1\n"),
        Just("References: "),
        Just("Sig: a:"),
        Just("Derive([("),
        Just("\"out\","),
        Just("\\"),
        Just("],["),
        Just("{\"nodes\":{\"root\":{}}"),
        Just(",\"root\":"),
        Just("\"root\",\"version\":7}"),
        Just("\n"),
        Just("é"),
        Just("\0"),
    ];
    proptest::collection::vec(prop_oneof![piece.prop_map(str::to_owned), ".{0,8}"], 0..9)
        .prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(250))]

    #[test]
    fn hashes_paths_and_addresses(text in likely()) {
        if let Ok(hash) = Hash::parse(&text, None) {
            prop_assert_eq!(Hash::parse(&hash.to_sri(), None), Ok(hash));
        }
        if let Ok(path) = StorePath::from_absolute(&text) {
            prop_assert_eq!(path.to_absolute(), text.clone());
        }
        if let Ok(address) = ContentAddress::parse(&text) {
            prop_assert_eq!(ContentAddress::parse(&address.to_string()), Ok(address));
        }
        let _ = StorePath::split_absolute(text.as_bytes());
        let _ = PublicKey::parse(&text);
    }

    #[test]
    fn references(text in likely()) {
        let _ = Reference::parse(&text);
        if let Ok(reference) = FlakeRef::parse(&text) {
            // An address may be spelled in several ways, but printing settles on one of them.
            let printed = reference.to_string();
            if let Ok(again) = FlakeRef::parse(&printed) {
                prop_assert_eq!(again.to_string(), printed);
            }
        }
    }

    #[test]
    fn files(text in likely()) {
        if let Ok(info) = NarInfo::parse(&text) {
            prop_assert_eq!(NarInfo::parse(&info.to_string()), Ok(info));
        }
        if let Ok(lock) = LockFile::parse(&text) {
            prop_assert_eq!(LockFile::parse(&lock.print()).unwrap().print(), lock.print());
        }
        let _ = Derivation::parse("name", text.as_bytes());
    }
}
