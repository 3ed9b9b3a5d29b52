//! Derivations whose outputs' paths follow from their content, beside a real Nix with `ca-derivations`.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;

use build::{BuildError, Options, Realise, Realised, Wanted};
use nix_formats::content_address::Method;
use nix_formats::hash::HashAlgo;
use nix_formats::placeholder::upstream_output;
use nix_formats::store_path::StorePath;
use peers::NixDaemon;
use store::daemon::{DaemonAddress, DaemonOptions, Watching};
use store::progress::Silent;
use store::{PathInfo, Store, StoreError};

use crate::workshop::{Recipe, Workshop};

const SHA256: HashAlgo = HashAlgo::Sha256;

fn stands_for(derivation: &StorePath, output: &str) -> String {
    upstream_output(derivation, &output.to_owned()).unwrap()
}

/// What needs an output, under a name, of which only building tells the path.
fn needing<'a>(recipe: Recipe<'a>, name: &str, derivation: &StorePath, output: &str) -> Recipe<'a> {
    recipe.input(derivation, output).set(name, &stands_for(derivation, output))
}

/// A graph in which every kind of derivation needs every other.
pub fn graph(workshop: &Workshop) -> Vec<StorePath> {
    let a = workshop.recipe("a", "echo hello > $out; echo said").floating(Method::Nar, SHA256).add();
    let two = workshop.recipe("two", "mkdir $out; cat $a > $out/x; echo $dev > $out/dev; ln -s $a $dev");
    let two = needing(two.outputs(&["out", "dev"]), "a", &a, "out").floating(Method::Nar, SHA256).add();
    let ordinary =
        needing(workshop.recipe("ordinary", "cat $two/x > $out; echo $two >> $out"), "two", &two, "out").add();
    let fixed = workshop.recipe("fixed", "test -e $two/x; printf hello > $out").fixed(Method::Flat, SHA256, b"hello");
    let fixed = needing(fixed, "two", &two, "out").add();
    let fixed_out = workshop.store.read_derivation(&fixed).unwrap().output_path("out").unwrap();
    let plain =
        workshop.recipe("plain", "cat $fixed > $out").input(&fixed, "out").set("fixed", &fixed_out.to_absolute());
    let flat = workshop.recipe("flat", "printf flat > $out").floating(Method::Flat, HashAlgo::Md5).add();
    let sha1 =
        needing(workshop.recipe("sha1", "cat $a > $out"), "a", &a, "out").floating(Method::Nar, HashAlgo::Sha1).add();
    vec![ordinary, plain.add(), a, two, fixed, flat, sha1]
}

fn build(workshop: &Workshop, wanted: &[StorePath]) -> Vec<Realised> {
    let wanted: Vec<Wanted> = wanted.iter().cloned().map(Wanted::all).collect();
    workshop.builder(Options::new()).realise(&wanted).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn nix_finds_the_same_paths() {
    let (Some(workshop), Some(daemon)) = (Workshop::new(), NixDaemon::start(&[])) else { return };
    let mut derivations = graph(&workshop);
    let address = DaemonAddress::parse(&daemon.address(), None).unwrap().unwrap();
    let theirs = Arc::new(address.open(DaemonOptions::default(), Arc::new(Silent)).unwrap());
    let itself = workshop.recipe("itself", "mkdir $out; echo $out $out > $out/x; ln -s $out/x $out/y");
    let itself = itself.floating(Method::Nar, SHA256).add();
    let text = workshop.recipe("text", "echo text > $out").floating(Method::Text, SHA256).add();
    // Newer versions of Nix hash what mentions itself in another way (see `nix_formats::self_hash`); older ones know no
    // texts here.
    let is_old = theirs.nix_version().unwrap().starts_with("2.8");
    let (compared, not_compared) = if is_old { (itself, text) } else { (text, itself) };
    derivations.push(compared);
    build(&workshop, &[not_compared]);
    let accept = |_: &PathInfo| Ok::<_, StoreError>(());
    store::copy(&*workshop.store, &derivations, &*theirs, accept, &Silent).unwrap();
    let ours = build(&workshop, &derivations);
    let derived: Vec<String> = derivations.iter().map(|path| format!("{}!*", path.to_absolute())).collect();
    let watching = Watching { progress: &Silent, cancelled: None };
    for (what, result) in theirs.build_each(&derived, false, watching).unwrap() {
        assert!(result.is_done(), "{what}: {}", result.message);
    }
    for one in &ours {
        let known = theirs.derivation_outputs(&one.derivation).unwrap();
        for (name, path) in &one.outputs {
            assert_eq!(known[name].as_ref(), Some(path), "{} of {}", name, one.derivation);
            let (our, their) = (workshop.store.require(path).unwrap(), theirs.require(path).unwrap());
            assert_eq!((our.nar_hash, our.references), (their.nar_hash, their.references), "{path}");
            assert_eq!(our.content_address, their.content_address, "{path}");
        }
    }
    workshop.verify_clean();
}

#[test]
fn what_was_built_is_found_again_and_what_is_the_same_is_not_built_again() {
    let Some(workshop) = Workshop::new() else { return };
    let derivations = graph(&workshop);
    let outlook = workshop.builder(Options::new()).outlook(&[Wanted::all(derivations[0].clone())]).unwrap();
    assert_eq!(outlook.build, [derivations[2].clone(), derivations[3].clone(), derivations[0].clone()]);
    let first = build(&workshop, &derivations);
    let outlook = workshop.builder(Options::new()).outlook(&[Wanted::all(derivations[0].clone())]).unwrap();
    assert_eq!(outlook.build, []);
    assert_eq!(build(&workshop, &derivations), first);
    // Another derivation with the same result: what needs it has been built already, by the other's name.
    let other = workshop.recipe("a", "echo hello > $out; echo another way").floating(Method::Nar, SHA256).add();
    let two = workshop.recipe("two", "mkdir $out; cat $a > $out/x; echo $dev > $out/dev; ln -s $a $dev");
    let two = needing(two.outputs(&["out", "dev"]), "a", &other, "out").floating(Method::Nar, SHA256).add();
    let before: BTreeSet<StorePath> = workshop.store.all_paths().unwrap();
    let again = build(&workshop, std::slice::from_ref(&two));
    assert_eq!(again[0].outputs, first[3].outputs);
    let new: Vec<StorePath> = workshop.store.all_paths().unwrap().difference(&before).cloned().collect();
    assert_eq!(new, Vec::<StorePath>::new());
    let text = fs::read_to_string(workshop.store.real_path(&first[0].outputs["out"])).unwrap();
    assert_eq!(text, format!("hello\n{}\n", first[3].outputs["out"].to_absolute()));
    assert_eq!(workshop.text(&derivations[1]), "hello");
}

#[test]
fn what_mentions_itself_says_where_it_is() {
    let Some(workshop) = Workshop::new() else { return };
    let script = "mkdir $out; echo $out $dev > $out/x; ln -s $out/x $out/y; echo $dev > $dev";
    let itself = workshop.recipe("itself", script).outputs(&["out", "dev"]).floating(Method::Nar, SHA256).add();
    let built = build(&workshop, &[itself]).remove(0).outputs;
    let (out, dev) = (built["out"].to_absolute(), built["dev"].to_absolute());
    let real = workshop.store.real_path(&built["out"]);
    assert_eq!(fs::read_to_string(real.join("x")).unwrap(), format!("{out} {dev}\n"));
    assert_eq!(fs::read_link(real.join("y")).unwrap().to_str().unwrap(), format!("{out}/x"));
    let references = workshop.store.require(&built["out"]).unwrap().references;
    assert_eq!(references, built.values().cloned().collect());
    workshop.verify_clean();
    // It can be given to another store, which checks it.
    let Some(other) = Workshop::new() else { return };
    let accept = |_: &PathInfo| Ok::<_, StoreError>(());
    store::copy(&*workshop.store, &[built["out"].clone()], &*other.store, accept, &Silent).unwrap();
}

#[test]
fn failures_are_named_and_leave_nothing() {
    let Some(workshop) = Workshop::new() else { return };
    let bad = workshop.recipe("bad", "exit 4").floating(Method::Nar, SHA256).add();
    let top = needing(workshop.recipe("top", "echo > $out"), "bad", &bad, "out").add();
    let error = workshop.build(&top).unwrap_err();
    assert!(matches!(&error, BuildError::Failed(failure) if failure.derivation == bad), "{error}");
    let refers = workshop.recipe("refers", "echo $PATH > $out").floating(Method::Flat, SHA256).add();
    let error = workshop.build(&refers).unwrap_err().to_string();
    assert!(error.contains("cannot be a fixed output with references"), "{error}");
    let tree = workshop.recipe("tree", "mkdir $out").floating(Method::Flat, SHA256).add();
    assert!(matches!(workshop.build(&tree), Err(BuildError::Output { .. })));
    let circle = workshop.recipe("circle", "echo $dev > $out; echo $out > $dev").outputs(&["out", "dev"]);
    let error = workshop.build(&circle.floating(Method::Nar, SHA256).add()).unwrap_err().to_string();
    assert!(error.contains("refer to each other"), "{error}");
    let outside = workshop.recipe("outside", "echo $PATH > $out").set("allowedReferences", "");
    let error = workshop.build(&outside.floating(Method::Nar, SHA256).add()).unwrap_err().to_string();
    assert!(error.contains("not allowed to refer"), "{error}");
    let fickle =
        workshop.recipe("fickle", "cat /proc/sys/kernel/random/uuid > $out").floating(Method::Nar, SHA256).add();
    build(&workshop, std::slice::from_ref(&fickle));
    let options = Options { check: true, ..Options::new() };
    let error = workshop.builder(options).realise(&[Wanted::all(fickle)]).unwrap_err();
    assert!(matches!(error, BuildError::NotDeterministic { .. }), "{error}");
    workshop.verify_clean();
}
