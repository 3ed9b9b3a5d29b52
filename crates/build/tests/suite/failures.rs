//! Builders that fail, in every way that a user can meet: a named error, nothing registered, nothing left behind.

use build::{BuildError, Options, Realise, Wanted, Watch};
use nix_formats::content_address::Method;
use nix_formats::hash::HashAlgo;
use std::time::{Duration, Instant};
use store::Store;

use crate::workshop::Workshop;

/// Builds what must fail, and returns the error.
fn fail(workshop: &Workshop, options: Options, recipe: crate::workshop::Recipe<'_>) -> BuildError {
    let derivation = recipe.add();
    let before = workshop.store.all_paths().unwrap();
    let error = workshop.builder(options).realise(&[Wanted::all(derivation)]).unwrap_err();
    assert_eq!(workshop.store.all_paths().unwrap(), before, "{error}");
    workshop.verify_clean();
    error
}

#[test]
fn failing_builders_show_their_last_lines() {
    let Some(workshop) = Workshop::new() else { return };
    let error = fail(&workshop, Options::new(), workshop.recipe("talkative", "seq 1 40; echo; exit 3")).to_string();
    assert!(error.contains("exited with status 3") && error.contains("The last 25 lines"), "{error}");
    assert!(
        error.contains("> 17\n") && !error.contains("> 16\n") && error.contains("\n  wharf log /nix/store/"),
        "{error}"
    );
    let error = fail(&workshop, Options::new(), workshop.recipe("silent", "exit 1")).to_string();
    assert!(error.contains("It wrote nothing."), "{error}");
    let error = fail(&workshop, Options::new(), workshop.recipe("killed", "kill -9 $$")).to_string();
    // Process 1 of a namespace cannot kill itself, so it goes on to the end of its script.
    assert!(error.contains("did not make") || error.contains("killed by signal 9"), "{error}");
}

#[test]
fn builders_that_cannot_start() {
    let Some(workshop) = Workshop::new() else { return };
    let recipe = workshop.recipe("missing", "").builder("/usr/bin/gcc");
    let error = fail(&workshop, Options::new(), recipe).to_string();
    assert!(
        error.contains("could not be executed: '/usr/bin/gcc'") && error.contains("must be in the store"),
        "{error}"
    );
    let recipe = workshop.recipe("relative", "").builder("gcc");
    assert!(fail(&workshop, Options::new(), recipe).to_string().contains("is not an absolute path"));
    let recipe = workshop.recipe("foreign", "").system("mips-linux");
    let error = fail(&workshop, Options::new(), recipe).to_string();
    assert!(error.contains("needs a 'mips-linux' machine"), "{error}");
    let recipe = workshop.recipe("demanding", "").set("requiredSystemFeatures", "quantum");
    let error = fail(&workshop, Options::new(), recipe).to_string();
    assert!(error.contains("needs the features 'quantum'"), "{error}");
}

#[test]
fn outputs_that_are_not_store_objects() {
    let Some(workshop) = Workshop::new() else { return };
    let cases = [
        ("true", "the builder did not make"),
        ("mkdir $out; mkfifo $out/pipe", "unsupported type"),
        ("mkfifo $out", "unsupported type"),
        ("mkdir $out; chmod 777 $out", "writable for its group or for everybody"),
    ];
    for (number, (script, message)) in cases.into_iter().enumerate() {
        let recipe = workshop.recipe(&format!("bad-{number}"), script);
        let error = fail(&workshop, Options::new(), recipe).to_string();
        assert!(error.contains(message), "{script}: {error}");
    }
}

#[test]
fn setuid_bits_cannot_be_set() {
    let Some(workshop) = Workshop::new() else { return };
    let derivation = workshop.recipe("setuid", "echo x > $out; ! chmod 4755 $out 2>/dev/null; chmod 755 $out").add();
    let realised = workshop.build(&derivation).unwrap();
    use std::os::unix::fs::PermissionsExt;
    let metadata = workshop.store.real_path(&realised.outputs["out"]).metadata().unwrap();
    assert_eq!(metadata.permissions().mode() & 0o7777, 0o555);
}

#[test]
fn fixed_outputs_must_be_what_they_are_said_to_be() {
    let Some(workshop) = Workshop::new() else { return };
    let cases = [
        ("printf other > $out", Method::Flat, "hash mismatch in fixed-output derivation"),
        ("mkdir $out", Method::Flat, "should be a regular file that is not executable"),
        ("printf hello > $out; chmod 755 $out", Method::Flat, "should be a regular file that is not executable"),
        ("printf other > $out", Method::Nar, "specified: sha256-"),
    ];
    for (number, (script, method, message)) in cases.into_iter().enumerate() {
        let recipe = workshop.recipe(&format!("wrong-{number}"), script).fixed(method, HashAlgo::Sha256, b"hello");
        let error = fail(&workshop, Options::new(), recipe).to_string();
        assert!(error.contains(message), "{script}: {error}");
    }
}

#[test]
fn forbidden_references() {
    let Some(workshop) = Workshop::new() else { return };
    let busybox = workshop.busybox.to_absolute();
    let cases = [
        ("allowedReferences", ""),
        ("allowedReferences", "out"),
        ("disallowedReferences", busybox.as_str()),
        ("allowedRequisites", "out"),
        ("disallowedRequisites", busybox.as_str()),
    ];
    for (number, (attribute, value)) in cases.into_iter().enumerate() {
        let recipe = workshop.recipe(&format!("referring-{number}"), "echo $PATH $out > $out").set(attribute, value);
        let error = fail(&workshop, Options::new(), recipe).to_string();
        assert!(
            error.contains(&format!("not allowed to refer to\n  {busybox}")) || error.contains(&busybox),
            "{error}"
        );
    }
    let fine = workshop
        .recipe("fine", "echo $PATH $out > $out")
        .set("allowedReferences", &format!("out {busybox}"))
        .set("disallowedRequisites", "")
        .add();
    workshop.build(&fine).unwrap();
    let unknown = workshop.recipe("unknown", "echo > $out").set("allowedReferences", "doc");
    assert!(fail(&workshop, Options::new(), unknown).to_string().contains("names the output 'doc'"));
}

#[test]
fn limits_of_time_and_talk() {
    let Some(workshop) = Workshop::new() else { return };
    let second = Some(Duration::from_millis(300));
    let with = |watch| Options { watch, ..Options::new() };
    let error = fail(&workshop, with(Watch { time: second, ..Watch::default() }), workshop.recipe("slow", "sleep 99"));
    assert!(error.to_string().contains("the limit for a build"), "{error}");
    let error =
        fail(&workshop, with(Watch { silence: second, ..Watch::default() }), workshop.recipe("mute", "sleep 99"));
    assert!(error.to_string().contains("of silence"), "{error}");
    let error = fail(&workshop, with(Watch { output: Some(9999), ..Watch::default() }), workshop.recipe("loud", "yes"));
    assert!(error.to_string().contains("after 9999 bytes of log"), "{error}");
}

#[test]
fn one_failure_stops_the_others_unless_told_not_to() {
    let Some(workshop) = Workshop::new() else { return };
    let slow = workshop.recipe("slow", "sleep 20; echo > $out").add();
    let failing = workshop.recipe("failing", "sleep 0.2; exit 1").add();
    let jobs = 2;
    let wanted = [Wanted::all(slow), Wanted::all(failing.clone())];
    let start = Instant::now();
    let error = workshop.builder(Options { jobs, ..Options::new() }).realise(&wanted).unwrap_err();
    assert!(matches!(error, BuildError::Failed(_)), "{error}");
    assert!(start.elapsed() < Duration::from_secs(10));

    let (fine, fine_out) = workshop.recipe("fine", "echo > $out").add_with_output("out");
    let other = workshop.recipe("other", "exit 2").add();
    let wanted = [Wanted::all(failing), Wanted::all(fine), Wanted::all(other)];
    let going = Options { keep_going: true, ..Options::new() };
    let error = workshop.builder(going).realise(&wanted).unwrap_err();
    assert!(matches!(&error, BuildError::Several(errors) if errors.len() == 2), "{error}");
    assert!(workshop.store.is_valid(&fine_out).unwrap());
}

#[test]
fn the_build_directory_can_be_kept() {
    let Some(workshop) = Workshop::new() else { return };
    let options = Options { keep_failed: true, ..Options::new() };
    let error = fail(&workshop, options, workshop.recipe("kept", "echo trace > file; exit 1"));
    let BuildError::Failed(failure) = error else { panic!("{error}") };
    assert_eq!(std::fs::read_to_string(failure.kept.unwrap().join("file")).unwrap(), "trace\n");
}

#[test]
fn derivations_that_make_no_sense() {
    let Some(workshop) = Workshop::new() else { return };
    let recipe = workshop.recipe("odd", "").set("exportReferencesGraph", "just-one");
    assert!(fail(&workshop, Options::new(), recipe).to_string().contains("odd number of words"));
    let recipe = workshop.recipe("broken", "").set("__json", "[]");
    assert!(fail(&workshop, Options::new(), recipe).to_string().contains("is not a JSON object"));
    let recipe = workshop.recipe("free", "echo > $out").set("__noChroot", "1");
    assert!(
        fail(&workshop, Options::new(), recipe)
            .to_string()
            .contains("everything is built in the sandbox; --sandbox=relaxed")
    );
    let derivation = workshop.recipe("plain", "echo > $out").add();
    let wanted = Wanted::some(derivation, ["doc".to_owned()].into());
    let error = workshop.builder(Options::new()).realise(&[wanted]).unwrap_err().to_string();
    assert!(error.contains("has no output 'doc'; it has out"), "{error}");
}
