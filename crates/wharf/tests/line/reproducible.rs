//! The same definition gives the same image, whoever builds it, where, when and with how many processors.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use peers::{available, is_root, succeed};
use tempfile::TempDir;

/// Everything that a careless builder would take from its surroundings goes into the image.
const DEFINITION: &str = r#"
{ pkgs, ... }:
pkgs.dockerTools.buildLayeredImage {
  name = "surroundings";
  contents = [
    (pkgs.runCommand "surroundings" { } ''
      mkdir -p $out/etc
      { umask; hostname; id -u; id -g; pwd; } >$out/etc/surroundings
      env | grep -v '^NIX_BUILD_CORES=' | sort >$out/etc/variables
      ls -l / | cut -d ' ' -f 1 >$out/etc/root
      seq 1 20000 >$out/etc/numbers
    '')
  ];
  config.Cmd = [ "/bin/sh" ];
}
"#;

/// A place to build in, which any user may write to.
fn place() -> TempDir {
    let dir = TempDir::new().expect("a temporary directory");
    fs::set_permissions(dir.path(), Permissions::from_mode(0o777)).expect("permissions");
    fs::write(dir.path().join("image.nix"), DEFINITION).expect("the definition");
    dir
}

/// Lets `command` build in `dir` and gives what it prints: the image as JSON, layers and digests included.
fn image(command: &mut Command, dir: &Path) -> String {
    let printed = succeed(
        command
            .args(["build", "--json", "--no-link", "./image.nix"])
            .current_dir(dir)
            .env_remove("WHARF_HOME")
            .env_remove("WHARF_CACHE")
            .env("HOME", dir.join("home"))
            .env("WHARF_STORE", "own"),
    );
    let printed: serde_json::Value = serde_json::from_str(&printed).expect("JSON");
    printed["results"][0]["image"].to_string()
}

#[test]
fn surroundings_do_not_show_in_an_image() {
    let wharf = env!("CARGO_BIN_EXE_wharf");
    let (here, there) = (place(), place());
    let first = image(Command::new(wharf).env("TZ", "UTC").env("LC_ALL", "C"), here.path());
    let mut elsewhere = Command::new("sh");
    elsewhere.args(["-c", "umask 077; exec \"$@\"", "sh", wharf, "--quiet"]);
    elsewhere.env("TZ", "Pacific/Kiritimati").env("LC_ALL", "de_DE.UTF-8").env("LANG", "tr_TR.UTF-8");
    assert_eq!(first, image(&mut elsewhere, there.path()), "another umask, time zone, locale and directory");
}

#[test]
fn the_number_of_processors_does_not_show_in_an_image() {
    if !available(&["taskset"]) {
        return;
    }
    let wharf = env!("CARGO_BIN_EXE_wharf");
    let (one, all) = (place(), place());
    let first = image(peers::command("taskset").args(["-c", "0", wharf]), one.path());
    assert_eq!(first, image(&mut Command::new(wharf), all.path()));
}

#[test]
fn user_and_host_name_do_not_show_in_an_image() {
    if !is_root() || !available(&["unshare", "hostname"]) {
        return;
    }
    // The user `nobody` may not be allowed to read where the tests were built.
    let copy = TempDir::new().expect("a temporary directory");
    fs::set_permissions(copy.path(), Permissions::from_mode(0o755)).expect("permissions");
    let wharf = copy.path().join("wharf");
    fs::copy(env!("CARGO_BIN_EXE_wharf"), &wharf).expect("a copy of the program");
    let (by_root, by_nobody, on_another_host) = (place(), place(), place());
    let first = image(&mut Command::new(&wharf), by_root.path());
    assert_eq!(first, image(Command::new(&wharf).uid(65534).gid(65534), by_nobody.path()), "another user");
    let mut renamed = peers::command("unshare");
    renamed.args(["--uts", "sh", "-c", "hostname another-host; exec \"$@\"", "sh"]).arg(&wharf);
    assert_eq!(first, image(&mut renamed, on_another_host.path()), "another host name");
}
