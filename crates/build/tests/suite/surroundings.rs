//! What builders see of the machine, and how much of it they may have.

use std::fs;

use build::{BuildError, Isolation, Limits, Options, Realise, Wanted};
use sandbox::Cgroups;
use store::Store;

use crate::workshop::{Recipe, Workshop};

fn build(workshop: &Workshop, options: Options, recipe: Recipe<'_>) -> Result<String, BuildError> {
    let derivation = recipe.add();
    let realised = workshop.builder(options).realise(&[Wanted::all(derivation)])?.remove(0);
    Ok(fs::read_to_string(workshop.store.real_path(&realised.outputs["out"])).unwrap())
}

fn with(isolation: Isolation) -> Options {
    Options { isolation, ..Options::new() }
}

#[test]
fn a_builder_may_be_let_see_the_machine() {
    let Some(workshop) = Workshop::new() else { return };
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("marker"), "of the machine\n").unwrap();
    let script = format!("cat {}/marker > $out", outside.path().display());
    let closed = |name: &str| workshop.recipe(name, &script);
    let free = |name: &str| closed(name).set("__noChroot", "1");
    assert_eq!(build(&workshop, with(Isolation::Relaxed), free("free")).unwrap(), "of the machine\n");
    for isolation in [Isolation::Full, Isolation::Relaxed] {
        let error = build(&workshop, with(isolation), closed("closed")).unwrap_err();
        assert!(matches!(error, BuildError::Failed(_)), "{error}");
    }
    let error = build(&workshop, with(Isolation::Full), free("refused")).unwrap_err().to_string();
    assert!(error.contains("--sandbox=relaxed"), "{error}");
    assert_eq!(build(&workshop, with(Isolation::Off), closed("open")).unwrap(), "of the machine\n");
    // What it leaves outside of its output is its own affair; what it makes is as clean as any other.
    let odd = workshop.recipe("odd", "echo $out > $out; chmod 600 $out; ls /nix/store | grep -c odd >> $out");
    let text = build(&workshop, with(Isolation::Off), odd).unwrap();
    assert!(text.ends_with("-odd\n1\n"), "{text}");
    workshop.verify_clean();
}

/// Whether this machine lets us set such a limit.
fn can_be_set(limits: Limits) -> bool {
    let mut refused = false;
    drop(Cgroups::new("limits-of-test", limits, &mut |_, _| refused = true));
    if refused {
        println!("not tested: there is no control group that may be written");
    }
    !refused
}

#[test]
fn a_builder_gets_no_more_memory_and_processes_than_it_may_have() {
    let Some(workshop) = Workshop::new() else { return };
    let memory = Limits { memory: Some(64 << 20), processes: None };
    if can_be_set(memory) {
        let options = || Options { limits: memory, ..Options::new() };
        let hungry = workshop.recipe("hungry", "dd if=/dev/zero of=/dev/null bs=300M count=1; echo > $out");
        let error = build(&workshop, options(), hungry).unwrap_err();
        assert!(matches!(error, BuildError::Failed(_)), "{error}");
        assert_eq!(build(&workshop, options(), workshop.recipe("modest", "echo m > $out")).unwrap(), "m\n");
    }
    let processes = Limits { memory: None, processes: Some(8) };
    if can_be_set(processes) {
        let options = || Options { limits: processes, ..Options::new() };
        let many = workshop.recipe("many", "for i in $(seq 30); do sleep 1 & done; wait; echo > $out");
        let error = build(&workshop, options(), many).unwrap_err();
        assert!(matches!(error, BuildError::Failed(_)), "{error}");
        assert_eq!(build(&workshop, options(), workshop.recipe("few", "echo f > $out")).unwrap(), "f\n");
    }
    workshop.verify_clean();
}
