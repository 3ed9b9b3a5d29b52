//! What holds for every command: help, exit codes, suggestions, streams.

use crate::{text, wharf};

fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let home = tempfile::tempdir().unwrap();
    let output = wharf(home.path()).args(arguments).output().unwrap();
    let (stdout, stderr) = text(&output);
    (output.status.code(), stdout, stderr)
}

#[test]
fn help_goes_to_standard_output_and_a_wrong_command_line_is_code_2() {
    let (code, stdout, stderr) = run(&["--help"]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert!(stdout.contains("Examples:") && stdout.contains("Exit codes:"), "{stdout}");
    let (code, stdout, stderr) = run(&["userlan"]);
    assert_eq!((code, stdout.as_str()), (Some(2), ""));
    assert!(stderr.contains("'userland'"), "{stderr}");
}

#[test]
fn completions_and_manual_pages_name_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let (code, stdout, _) = run(&["completions", shell]);
        assert!(code == Some(0) && stdout.contains("userland"), "{shell}");
    }
    let (code, stdout, _) = run(&["man"]);
    assert!(code == Some(0) && stdout.contains("WHARF_HOME"), "{stdout}");
}

#[test]
fn nothing_is_coloured_where_nobody_looks() {
    let (_, _, stderr) = run(&["userland", "no-such-program"]);
    assert_eq!(
        stderr,
        "error: the binary carries no program named 'no-such-program'\nhelp: `wharf userland --list` names them all\n"
    );
    let (_, _, stderr) = run(&["--color=always", "userland", "no-such-program"]);
    assert!(stderr.contains('\u{1b}'));
}

#[test]
fn a_reader_that_has_seen_enough_is_no_mistake() {
    use std::io::Read;
    use std::process::Stdio;
    let home = tempfile::tempdir().unwrap();
    let mut command = wharf(home.path());
    // More than a pipe holds, so that it must be noticed.
    command.args([
        // How long it takes is said of what takes long.
        "--quiet",
        "eval",
        "--raw",
        "-E",
        "builtins.concatStringsSep \"\" (builtins.genList (x: \"0123456789\") 100000)",
    ]);
    let mut printing = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = [0; 10];
    printing.stdout.take().unwrap().read_exact(&mut first).unwrap();
    let output = printing.wait_with_output().unwrap();
    assert_eq!((&first, output.status.code()), (b"0123456789", Some(141)), "{}", text(&output).1);
    assert_eq!(text(&output).1, "");
}

#[test]
fn a_build_of_which_nobody_reads_the_progress_ends_well() {
    use std::process::Stdio;
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("text.nix");
    std::fs::write(&file, "{ pkgs, ... }: pkgs.runCommand \"text\" { } \"echo said; echo hello > $out\"\n").unwrap();
    let mut command = wharf(home.path());
    command.args(["build", "--no-link"]).arg(&file);
    let mut building = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    drop(building.stderr.take());
    assert_eq!(building.wait().unwrap().code(), Some(0));
}
