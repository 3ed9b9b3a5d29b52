//! Derivations: strictness, and the paths that Nix computes.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use nix_formats::content_address::{ContentAddress, Method};
use nix_formats::derivation::{Derivation, HashModulo, Kind, Output};
use nix_formats::hash::{Hash, HashAlgo};
use nix_formats::store_path::StorePath;
use proptest::prelude::*;

use crate::has_peer;

const SIMPLE: &str = concat!(
    r#"Derive([("out","/nix/store/5vyvcwah9l9kf07d52rcgdk70g2f4y13-foo","","")],[],[],"x86_64-linux","#,
    r#""/bin/sh",["-c","a\"b\\c\nd"],[("builder","/bin/sh"),("name","foo"),"#,
    r#"("out","/nix/store/5vyvcwah9l9kf07d52rcgdk70g2f4y13-foo"),("system","x86_64-linux")])"#
);

#[test]
fn what_is_accepted_prints_back() {
    let derivation = Derivation::parse("foo", SIMPLE.as_bytes()).unwrap();
    assert_eq!(derivation.args[1], "a\"b\\c\nd");
    assert_eq!(String::from_utf8(derivation.to_aterm().unwrap()).unwrap(), SIMPLE);
}

#[test]
fn malformed_text_is_refused() {
    for (from, to) in [
        ("Derive(", "derive("),
        ("Derive(", "DrvWithVersion(\"xp-dyn-drv\","),
        (r#"[("out","#, r#"[("out","/nix/store/5vyvcwah9l9kf07d52rcgdk70g2f4y13-foo","",""),("out","#),
        ("-foo\",\"\",\"\")", "-foo\",\"\",\"abc\")"),
        (
            "-foo\",\"\",\"\")",
            "-foo\",\"sha256\",\"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\")",
        ),
        ("/nix/store/5v", "/gnu/store/5v"),
        (r#"\\c"#, r#"\xc"#),
        (r#"\n"#, "\n"),
        (r#"("builder","/bin/sh"),("name","foo")"#, r#"("name","foo"),("builder","/bin/sh")"#),
        ("\"x86_64-linux\",\"/bin/sh\"", "\"x86_64-linux\", \"/bin/sh\""),
        ("[],[],\"x86", "[(\"/nix/store/5vyvcwah9l9kf07d52rcgdk70g2f4y13-foo.drv\",[])],[],\"x86"),
    ] {
        let text = SIMPLE.replacen(from, to, 1);
        assert_ne!(text, SIMPLE, "{from}");
        let error = Derivation::parse("foo", text.as_bytes()).unwrap_err();
        assert!(error.to_string().contains("malformed at byte"), "{error}");
    }
    for len in 0..SIMPLE.len() {
        assert!(Derivation::parse("foo", &SIMPLE.as_bytes()[..len]).is_err(), "{len} bytes");
    }
    assert!(Derivation::parse("foo", format!("{SIMPLE} ").as_bytes()).is_err());
}

#[test]
fn a_fixed_output_must_stand_alone() {
    let mut derivation = Derivation::parse("foo", SIMPLE.as_bytes()).unwrap();
    let fixed = Output::Fixed(ContentAddress { method: Method::Flat, hash: Hash::zero(HashAlgo::Sha256) });
    derivation.outputs.insert("dev".to_owned(), fixed.clone());
    assert!(derivation.kind().unwrap_err().to_string().contains("mixes outputs"));
    derivation.outputs = BTreeMap::from([("dev".to_owned(), fixed.clone())]);
    assert!(derivation.kind().unwrap_err().to_string().contains("single output 'out'"));
    derivation.outputs = BTreeMap::from([("out".to_owned(), fixed)]);
    assert_eq!(derivation.kind(), Ok(Kind::Fixed));
}

#[test]
fn what_depends_on_a_floating_output_is_deferred() {
    let mut derivation = Derivation::parse("foo", SIMPLE.as_bytes()).unwrap();
    let input = StorePath::from_base_name("5vyvcwah9l9kf07d52rcgdk70g2f4y13-in.drv").unwrap();
    derivation.input_derivations.insert(input, ["out".to_owned()].into());
    let deferred = |_: &StorePath| Ok::<_, String>(HashModulo::Deferred);
    assert_eq!(derivation.hash_modulo(deferred).unwrap(), HashModulo::Deferred);
    assert!(!derivation.fill_output_paths(deferred).unwrap());
}

proptest! {
    #[test]
    fn any_text_round_trips(
        args in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..20), 0..4),
        env in proptest::collection::btree_map(
            proptest::collection::vec(any::<u8>(), 1..8), proptest::collection::vec(any::<u8>(), 0..40), 0..5),
    ) {
        let mut derivation = Derivation::parse("foo", SIMPLE.as_bytes()).unwrap();
        derivation.args = args.into_iter().map(Into::into).collect();
        derivation.env = env.into_iter().map(|(key, value)| (key.into(), value.into())).collect();
        let text = derivation.to_aterm().unwrap();
        prop_assert_eq!(Derivation::parse("foo", &text).unwrap(), derivation);
    }
}

/// The derivations of a store, and their hashes as far as they were asked for.
struct Graph {
    derivations: BTreeMap<StorePath, Derivation>,
    hashes: RefCell<BTreeMap<StorePath, HashModulo>>,
}

impl Graph {
    fn hash(&self, path: &StorePath) -> Result<HashModulo, String> {
        if let Some(hash) = self.hashes.borrow().get(path) {
            return Ok(hash.clone());
        }
        let derivation = self.derivations.get(path).ok_or("an input is not there")?;
        let hash = derivation.hash_modulo(|input| self.hash(input)).map_err(|error| error.to_string())?;
        self.hashes.borrow_mut().insert(path.clone(), hash.clone());
        Ok(hash)
    }
}

fn check_against_nix(store_dir: &Path) -> usize {
    let mut graph = Graph { derivations: BTreeMap::new(), hashes: RefCell::default() };
    for entry in std::fs::read_dir(store_dir).unwrap() {
        let name = entry.as_ref().unwrap().file_name().into_string().unwrap();
        if !name.ends_with(".drv") {
            continue;
        }
        let path = StorePath::from_base_name(&name).unwrap();
        let text = std::fs::read(entry.unwrap().path()).unwrap();
        let derivation = Derivation::parse(path.derivation_name().unwrap(), &text).unwrap();
        assert_eq!(derivation.to_aterm().unwrap(), text, "{path}");
        assert_eq!(derivation.store_path(&text).unwrap(), path);
        graph.derivations.insert(path, derivation);
    }
    for (path, derivation) in &graph.derivations {
        let mut blank = derivation.clone();
        for (name, output) in &mut blank.outputs {
            if let Output::InputAddressed(_) = output {
                *output = Output::Deferred;
                blank.env.remove(name.as_bytes());
            }
        }
        assert!(blank.fill_output_paths(|input| graph.hash(input)).unwrap());
        assert_eq!(&blank, derivation, "{path}");
    }
    graph.derivations.len()
}

#[test]
fn output_paths_are_nix_s() {
    if !has_peer("nix-instantiate") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/formats/derivations.nix");
    let output = Command::new("nix-instantiate")
        .arg("--store")
        .arg(dir.path())
        .arg(file)
        .env("HOME", dir.path())
        .env_remove("NIX_REMOTE")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(check_against_nix(&dir.path().join("nix/store")), 15);
}

/// For a whole package set: point the variable at the `nix/store` of a chroot store that Nix has filled.
#[test]
fn output_paths_of_a_given_store_are_nix_s() {
    if let Some(store_dir) = std::env::var_os("WHARF_TEST_STORE") {
        println!("{} derivations are the same", check_against_nix(Path::new(&store_dir)));
    }
}
