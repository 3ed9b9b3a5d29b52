//! The carried shell and utilities do what bash and coreutils do: scripts with the output that real bash gives.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::{missing, text, wharf};

/// Runs a script in an empty directory; what it printed, and its exit code in the last line.
fn run(shell: &Path, script: &Path, programs: &Path) -> String {
    let work = tempfile::tempdir().unwrap();
    let output = Command::new(shell)
        .arg(script)
        .args(["a1", "a 2"])
        .env_clear()
        .env("PATH", programs)
        .env("LANG", "C")
        .stdin(Stdio::null())
        .current_dir(work.path())
        .output()
        .unwrap();
    format!("{}rc={}\n", String::from_utf8_lossy(&output.stdout), output.status.code().unwrap_or(-1))
}

/// Links to the binary for every program it carries.
fn programs() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let status = wharf(dir.path()).args(["userland", "--install"]).arg(dir.path()).status().unwrap();
    assert!(status.success());
    let bin = dir.path().join("bin");
    (dir, bin)
}

fn scripts() -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/userland");
    let mut scripts: Vec<PathBuf> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    scripts.retain(|file| file.extension().is_some_and(|extension| extension == "sh"));
    scripts.sort();
    scripts
}

#[test]
fn scripts_give_what_bash_gives() {
    let (_dir, bin) = programs();
    let bash = Path::new("/bin/bash");
    if !bash.exists() {
        missing("bash");
    }
    let mut wrong = Vec::new();
    for script in scripts() {
        let expected = std::fs::read_to_string(script.with_extension("out")).unwrap();
        let got = run(&bin.join("bash"), &script, &bin);
        if got != expected {
            wrong.push(format!("{}:\n--- expected\n{expected}--- got\n{got}", script.display()));
        }
        if bash.exists() {
            assert_eq!(run(bash, &script, &bin), expected, "real bash, {}", script.display());
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_shell_reads_commands_from_an_argument_a_file_and_standard_input() {
    let (dir, bin) = programs();
    let sh = bin.join("sh");
    let of = |command: &mut Command| text(&command.env("PATH", &bin).output().unwrap()).0;
    assert_eq!(of(Command::new(&sh).args(["-c", "echo $0 $1", "name", "one"])), "name one\n");
    let script = dir.path().join("script");
    std::fs::write(&script, "echo file $1 | tr a-z A-Z\n").unwrap();
    assert_eq!(of(Command::new(&sh).arg(&script).arg("x")), "FILE X\n");
    assert_eq!(of(Command::new(&sh).stdin(std::fs::File::open(&script).unwrap())), "FILE\n");
    assert_eq!(of(Command::new(&sh).args(["-s", "y"]).stdin(std::fs::File::open(&script).unwrap())), "FILE Y\n");
}

#[test]
fn messages_are_words_and_not_their_keys() {
    let (_dir, bin) = programs();
    for (name, arguments, words) in [
        ("ls", &["/nonexistent"][..], "No such file or directory"),
        ("cp", &["/nonexistent", "/x"], "No such file or directory"),
        ("sort", &["/nonexistent"], "No such file or directory"),
        ("mkdir", &["/"], "File exists"),
    ] {
        let (_, stderr) = text(&Command::new(bin.join(name)).args(arguments).output().unwrap());
        assert!(stderr.contains(words) && stderr.starts_with(name), "{name}: {stderr}");
    }
}
