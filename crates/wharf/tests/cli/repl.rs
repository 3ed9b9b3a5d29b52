//! `wharf repl` over a pipe.

use std::io::Write;
use std::process::Stdio;

use crate::{text, wharf};

/// What a session prints on standard output and standard error.
fn session(files: &[(&str, &str)], lines: &str) -> (String, String) {
    let home = tempfile::tempdir().unwrap();
    for (name, content) in files {
        std::fs::write(home.path().join(name), content).unwrap();
    }
    let mut child = wharf(home.path())
        .current_dir(home.path())
        .args(["repl"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let (stdout, stderr) = text(&output);
    // Each answer is followed by an empty line.
    (stdout.replace("\n\n", "\n"), stderr)
}

#[test]
fn values_are_printed_as_nix_repl_prints_them() {
    let (stdout, stderr) = session(
        &[],
        "1 + 1\n{ a = { b = 1; }; l = [ 1 ]; e = throw \"no\"; f = x: x; }\n:p { a = { b = 1; }; }\n:p \"a\\nb\"\n\"a\\nb\"\n",
    );
    assert_eq!(
        stdout,
        "2\n{\n  a = { ... };\n  e = «error: no»;\n  f = «lambda f @ «repl»:1:50»;\n  l = [ ... ];\n}\n\
         {\n  a = { b = 1; };\n}\na\nb\n\"a\\nb\"\n"
    );
    assert_eq!(stderr, "");
}

#[test]
fn names_stay_and_lines_go_on_where_an_expression_does() {
    let (stdout, stderr) = session(&[], "x = 5\ny = x + 1;\nlet\n  z = y;\nin z\nx = 7\ny\n{\n  a = 1;\n}.a\n");
    assert_eq!((stdout.as_str(), stderr.as_str()), ("\n6\n\n6\n1\n", ""));
}

#[test]
fn errors_show_the_line_and_the_session_goes_on() {
    let (stdout, stderr) = session(&[], "{ abc = 1; }.abd\n1 +* 2\n:nope\n3\n");
    assert!(stdout.trim_end().ends_with('3'), "{stdout}");
    for part in ["{ abc = 1; }.abd", "did you mean 'abc'?", "1 +* 2", "unknown command ':nope'"] {
        assert!(stderr.contains(part), "{part}: {stderr}");
    }
}

#[test]
fn types_and_documentation_are_told() {
    let (stdout, stderr) = session(
        &[("f.nix", "{\n  /** Adds one. */\n  inc = x: x + 1;\n}")],
        ":t 1\n:t { }\n:t map\n:t \"x\"\n:doc builtins.map\n:l ./f.nix\n:doc inc\n",
    );
    for part in ["an integer\n", "a set\n", "the built-in function 'map'", "a string\n", "function list", "Adds one."] {
        assert!(stdout.contains(part), "{part}: {stdout}{stderr}");
    }
}

#[test]
fn files_are_loaded_and_read_again() {
    let (stdout, stderr) = session(
        &[("a.nix", "{ one ? 1 }: { inherit one; two = 2; }"), ("b.nix", "{ three = 3; }")],
        ":l ./a.nix\n:l ./b.nix\none + two + three\n:a { four = 4; }\nfour\n:r\none + three\n:ll\n:l ./none.nix\n",
    );
    assert!(
        stdout.contains("Added 2 variables.") && stdout.contains("6\n") && stdout.contains("4\n"),
        "{stdout}{stderr}"
    );
    assert!(stderr.contains("none.nix"), "{stderr}");
}

#[test]
fn a_derivation_is_built() {
    let (stdout, stderr) = session(
        &[],
        ":b derivation { name = \"x\"; system = \"x86_64-linux\"; builder = \"/bin/sh\"; args = [ \"-c\" \"echo > $out\" ]; }\n:b 1\n",
    );
    assert!(stdout.contains("  out -> /nix/store/"), "{stdout}{stderr}");
    assert!(stderr.contains("a derivation is needed"), "{stderr}");
}

#[test]
fn targets_become_names() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("a.nix"), "{ one = 1; }").unwrap();
    let mut child = wharf(home.path())
        .current_dir(home.path())
        .args(["repl", "./a.nix"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"one + 1\n").unwrap();
    assert!(text(&child.wait_with_output().unwrap()).0.contains("2\n"));
}
