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
