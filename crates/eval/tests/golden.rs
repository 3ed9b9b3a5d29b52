//! Golden programs: `golden/**/NAME.nix` beside what it gives, `NAME.exp`, or the error it ends in, `NAME.err`.
//!
//! Set `WHARF_UPDATE_GOLDEN=1` to write what the evaluator gives now, and read the difference before it is committed.
//! Where Nix is installed, it must give the same; `golden/newer-than-2.8` lists the programs that need a newer one than
//! Debian has, and why.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use eval::print::plain;
use eval::read_only::ReadOnlyHost;
use eval::report::{ReportOptions, report};
use eval::{Evaluator, Origin, SearchPathEntry, Settings};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// All programs, sorted. What is in `data` is read by programs, and is none.
fn programs() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root()).expect("the golden directory is there") {
        let directory = entry.expect("it can be listed").path();
        if !directory.is_dir() || directory.ends_with("data") {
            continue;
        }
        for file in fs::read_dir(directory).expect("it can be listed") {
            let file = file.expect("it can be listed").path();
            if file.extension().is_some_and(|extension| extension == "nix") {
                found.push(file);
            }
        }
    }
    found.sort();
    found
}

/// What a program gives: its value, or its error.
fn run(program: &Path) -> Result<String, String> {
    let settings = Settings {
        search_path: vec![SearchPathEntry { prefix: "data".into(), path: root().join("data").display().to_string() }],
        home: Some(PathBuf::from("/home/golden")),
        pipe_operators: program.ends_with("pipes.nix"),
        toml_timestamps: program.ends_with("toml-timestamps.nix"),
        ..Settings::default()
    };
    let evaluator = Evaluator::new(Box::new(ReadOnlyHost { quiet: true }), settings);
    let text = fs::read(program).expect("the program can be read");
    let outcome = evaluator.run(|interp| {
        let value =
            interp.eval_source(Origin::File(program.to_owned()), text, program.parent().unwrap_or(program), &[]);
        let printed = value.and_then(|value| interp.force_deep(value)).and_then(|value| {
            let mut out = Vec::new();
            plain(value, true, 10_000, &mut out).map(|()| out)
        });
        printed.map_err(|error| report(&error, ReportOptions::default()))
    });
    let portable = |text: &str| text.replace(&root().display().to_string(), "GOLDEN");
    outcome.map(|bytes| portable(&String::from_utf8_lossy(&bytes))).map_err(|text| portable(&text))
}

#[test]
fn programs_give_what_is_written() {
    let update = std::env::var("WHARF_UPDATE_GOLDEN").is_ok_and(|value| value == "1");
    let mut failures = Vec::new();
    for program in programs() {
        let (exp, err) = (program.with_extension("exp"), program.with_extension("err"));
        let outcome = run(&program);
        let (file, other, text) = match &outcome {
            Ok(text) => (&exp, &err, text),
            Err(text) => (&err, &exp, text),
        };
        if update {
            fs::write(file, format!("{text}\n")).expect("the expectation can be written");
            let _ = fs::remove_file(other);
        } else if fs::read_to_string(file).ok().as_deref().map(str::trim_end) != Some(text.trim_end()) || other.exists()
        {
            failures.push(format!("{} gives\n{text}", program.display()));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

#[test]
fn nix_gives_the_same() {
    if !peer("nix-instantiate") {
        return;
    }
    let newer = fs::read_to_string(root().join("newer-than-2.8")).expect("the list is there");
    let is_newer = |program: &Path| {
        let name = program.strip_prefix(root()).unwrap_or(program).with_extension("");
        newer.lines().any(|line| line.split(':').next() == name.to_str())
    };
    let mut failures = Vec::new();
    for program in programs() {
        if is_newer(&program) {
            continue;
        }
        let output = Command::new("nix-instantiate")
            .args(["--eval", "--strict", "-I"])
            .arg(format!("data={}", root().join("data").display()))
            .arg(&program)
            .env("HOME", "/home/golden")
            .env("NIX_PATH", "")
            .output()
            .expect("it was just found");
        let theirs = String::from_utf8_lossy(&output.stdout).replace(&root().display().to_string(), "GOLDEN");
        let ours = fs::read_to_string(program.with_extension("exp")).ok();
        let same = match &ours {
            // Releases before 2.20 escape every dollar sign in a string.
            Some(ours) => {
                output.status.success() && theirs.replace("\\$", "$").trim_end() == ours.replace("\\$", "$").trim_end()
            }
            None => !output.status.success(),
        };
        if !same {
            let stderr = String::from_utf8_lossy(&output.stderr);
            failures.push(format!("{}: Nix gives\n{theirs}{stderr}", program.display()));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

#[test]
fn what_nix_refuses_is_refused() {
    let text = fs::read_to_string(root().join("edges/refused.txt")).expect("the list is there");
    let evaluator = Evaluator::new(Box::new(ReadOnlyHost { quiet: true }), Settings::default());
    let accepted = |line: &&str| {
        evaluator.run(|interp| {
            let origin = Origin::Text("«refused»".to_owned());
            let value = interp.eval_source(origin, line.as_bytes().to_vec(), Path::new("/"), &[]);
            value.and_then(|value| interp.force_deep(value)).is_ok()
        })
    };
    let accepted: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).filter(accepted).collect();
    assert!(accepted.is_empty(), "accepted:\n{}", accepted.join("\n"));
}

#[test]
fn every_builtin_has_a_program() {
    let evaluator = Evaluator::new(Box::new(ReadOnlyHost { quiet: true }), Settings::default());
    let names = evaluator.run(|interp| {
        let text = b"builtins.concatStringsSep \" \" (builtins.attrNames builtins)".to_vec();
        let origin = Origin::Text("«test»".to_owned());
        let value = interp.eval_source(origin, text, Path::new("/"), &[]).expect("builtins has names");
        interp.force_string(value).expect("they are a string").text().into_owned()
    });
    let missing: Vec<&str> =
        names.split(' ').filter(|name| !root().join("builtins").join(format!("{name}.nix")).exists()).collect();
    assert!(missing.is_empty(), "without a golden program: {}", missing.join(" "));
}

#[test]
fn no_expectation_is_left_over() {
    for program in programs() {
        let (exp, err) = (program.with_extension("exp"), program.with_extension("err"));
        assert!(exp.exists() != err.exists(), "{} needs one expectation", program.display());
    }
}

/// Whether a program is installed. In the project's own checks it must be.
fn peer(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success());
    let required = std::env::var("WHARF_REQUIRE_PEERS").is_ok_and(|value| value == "1");
    assert!(found || !required, "this test needs {program}, and WHARF_REQUIRE_PEERS is set");
    if !found {
        eprintln!("skipped: needs {program}");
    }
    found
}
