//! A build that fails shows its last lines and where the whole log is.

use crate::place::Place;

const DEFINITION: &str = r#"{ pkgs, ... }:
pkgs.runCommand "noisy" { } ''
  for i in $(seq 60); do echo "line $i"; done
  echo "cannot go on" >&2
  exit 3
''
"#;

#[test]
fn the_whole_log_of_a_failed_build_can_be_printed() {
    let place = Place::new(DEFINITION);
    let failed = place.output(["build", "./image.nix"]);
    let message = String::from_utf8_lossy(&failed.stderr).into_owned();
    assert_eq!(failed.status.code(), Some(1), "{message}");
    assert!(message.contains("cannot go on") && !message.contains("line 20\n"), "the last lines only: {message}");
    let named = message.split_once("wharf log ").expect("the message names the log").1;
    let derivation = named.split_whitespace().next().expect("a derivation").trim_end_matches(['`', '\'']);
    let by_derivation = place.output(["log", derivation]);
    let log = String::from_utf8_lossy(&by_derivation.stdout).into_owned();
    assert!(log.starts_with("line 1\nline 2\n") && log.ends_with("line 60\ncannot go on\n"), "{log}");
    assert_eq!(place.output(["log", "./image.nix"]).stdout, by_derivation.stdout, "a target leads to the same log");
}

#[test]
fn no_log_is_an_error_that_says_so() {
    let place = Place::new("{ pkgs, ... }: pkgs.writeText \"quiet\" \"x\"");
    let output = place.output(["log", "./image.nix"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(peers::printed(&output).contains("there is no log of"), "{}", peers::printed(&output));
}
