//! The binary called under the name `nix-instantiate`: its arguments, and, where Nix is installed, that both print the
//! same and write the same derivations.

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::{text, wharf};

/// A home, with a link to the binary in it.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        symlink(env!("CARGO_BIN_EXE_wharf"), home.path().join("nix-instantiate")).unwrap();
        Self(home)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, file: &str, content: &str) {
        let file = self.path().join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, content).unwrap();
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.path().join("nix-instantiate"));
        let like = wharf(self.path());
        command.env_clear().envs(like.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.current_dir(self.path()).args(arguments);
        command
    }

    /// What is printed by a run that must succeed.
    fn prints(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let (stdout, stderr) = text(&output);
        assert!(output.status.success(), "{arguments:?}: {stderr}");
        stdout
    }

    /// The error of a run that must fail, with Nix's exit code.
    fn fails(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", text(&output).0);
        text(&output).1
    }
}

#[test]
fn values_are_printed_in_every_form() {
    let place = Place::new();
    for (arguments, expected) in [
        (&["--eval", "-E", "{ a = 1 + 1; }"][..], "{ a = <CODE>; }\n"),
        (&["--eval", "--strict", "-E", "{ a = 1 + 1; }"], "{ a = 2; }\n"),
        (&["--eval", "-E", "{ f = x: x; l = [ (x: x) ]; }.l"], "[ <CODE> ]\n"),
        (&["--eval", "--strict", "-E", "{ f = x: x; }"], "{ f = <LAMBDA>; }\n"),
        (&["--eval", "-E", "[ builtins.map map (-1) builtins.storeDir ]"], "[ <CODE> <PRIMOP> <CODE> <CODE> ]\n"),
        (
            &["--eval", "-E", "let n = -1; in builtins.seq n { inherit n; m = builtins.map; }"],
            "{ m = <CODE>; n = -1; }\n",
        ),
        (&["--eval", "<nix/fetchurl.nix>"], "<LAMBDA>\n"),
        (&["--eval", "-E", "<nix/fetchurl.nix>"], "<nix/fetchurl.nix>\n"),
        (&["--eval", "--json", "-E", "{ a = [ 1 null ]; }"], "{\"a\":[1,null]}\n"),
        (&["--eval", "--raw", "-E", "\"a\\nb\""], "a\nb"),
        (
            &["--eval", "--xml", "-E", "1"],
            "<?xml version='1.0' encoding='utf-8'?>\n<expr>\n  <int value=\"1\" />\n</expr>\n",
        ),
        (
            &["--eval", "--xml", "-E", "[ (x: x) ]"],
            "<?xml version='1.0' encoding='utf-8'?>\n<expr>\n  <list>\n    <unevaluated />\n  </list>\n</expr>\n",
        ),
        (&["--eval", "-E", "1", "2"], "1\n2\n"),
        (&["--eval", "-E", "{ a = 1; b.c = [ 2 ]; }", "-A", "a", "-A", "b.c.0"], "1\n2\n"),
        (&["--eval", "-E", "{ x ? 1 }: x"], "<LAMBDA>\n"),
        (&["--eval", "-E", "{ x ? 1 }: x", "--arg", "x", "1 + 1"], "2\n"),
        (&["--eval", "-E", "{ x }: { y = x; }", "--argstr", "x", "1 + 1", "-A", "y"], "\"1 + 1\"\n"),
        (&["--parse", "-E", "a: a + 1"], "(a: (a + 1))\n"),
        (&["--eval", "--extra-experimental-features", "pipe-operators", "-E", "1 |> (x: x + 1)"], "2\n"),
        (&["--eval", "--option", "extra-experimental-features", "flakes pipe-operators", "-E", "1 |> (x: x)"], "1\n"),
    ] {
        assert_eq!(place.prints(arguments), expected, "{arguments:?}");
    }
    let mut child = place.command(&["--eval", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"40 + 2").unwrap();
    assert_eq!(text(&child.wait_with_output().unwrap()).0, "42\n");
}

#[test]
fn files_are_found_as_nix_finds_them() {
    let place = Place::new();
    place.write("default.nix", "\"default\"");
    place.write("below/default.nix", "\"below\"");
    place.write("lib/a.nix", "\"a\"");
    assert_eq!(place.prints(&["--eval"]), "\"default\"\n");
    assert_eq!(place.prints(&["--eval", "./below", "lib/../lib/a.nix"]), "\"below\"\n\"a\"\n");
    assert_eq!(place.prints(&["--eval", "<l/a.nix>", "-I", "l=lib"]), "\"a\"\n");
    let found = place.prints(&["--find-file", "l/a.nix", "a.nix", "-I", "l=lib", "-I", "lib"]);
    let expected = place.path().join("lib/a.nix").display().to_string();
    assert_eq!(found, format!("{expected}\n{expected}\n"));
    assert!(place.fails(&["--eval", "none.nix"]).contains("none.nix"));
    assert!(place.fails(&["--find-file", "none"]).contains("'none'"));
    assert!(place.fails(&["--find-file", "nix/fetchurl.nix"]).contains("no physical path"));
    // The search path is shown as it was given.
    let shown = "[ { path = \"lib\"; prefix = \"l\"; } { path = \"./below/..\"; prefix = \"\"; } ]\n";
    assert_eq!(
        place.prints(&["--eval", "--strict", "-E", "builtins.nixPath", "-I", "l=lib", "-I", "./below/.."]),
        shown
    );
    place.write("position.nix", "builtins.unsafeGetAttrPos \"a\" { a = 1; }");
    let file = place.path().join("position.nix").display().to_string();
    let position = format!("{{ column = <CODE>; file = \"{file}\"; line = <CODE>; }}\n");
    assert_eq!(place.prints(&["--eval", "position.nix"]), position);
}

#[test]
fn settings_of_files_and_variables_count() {
    let place = Place::new();
    let with = |config: &str, arguments: &[&str]| {
        let output = place.command(arguments).env("NIX_CONFIG", config).output().unwrap();
        let (stdout, stderr) = text(&output);
        if output.status.success() { stdout } else { stderr }
    };
    let pipe = ["--eval", "-E", "1 |> (x: x + 1)"];
    assert_eq!(with("extra-experimental-features = pipe-operators levitation", &pipe), "2\n");
    let off = ["--eval", "--experimental-features", "flakes", "-E", "1 |> (x: x + 1)"];
    assert!(with("experimental-features = pipe-operators", &off).contains("pipe-operators"));
    let system = ["--eval", "-E", "builtins.currentSystem"];
    assert_eq!(with("system = riscv64-linux", &system), "\"riscv64-linux\"\n");
    let path = ["--eval", "--strict", "-E", "builtins.nixPath"];
    assert_eq!(with("nix-path = x=/y", &path), "[ { path = \"/y\"; prefix = \"x\"; } ]\n");
    assert!(with("pure-eval = perhaps", &path).contains("pure-eval"));
}

#[test]
fn reading_leaves_no_store_behind() {
    let place = Place::new();
    place.prints(&["--eval", "-E", "builtins.toFile \"x\" \"y\""]);
    place.prints(&["--dry-run", "-E", "derivation { name = \"x\"; system = \"s\"; builder = \"b\"; }"]);
    assert!(!place.path().join(".local").exists());
    place.prints(&["--eval", "--read-write-mode", "-E", "builtins.toFile \"x\" \"y\""]);
    assert!(place.path().join(".local").exists());
}

#[test]
fn reading_needs_no_home() {
    let place = Place::new();
    let run = |arguments: &[&str]| place.command(arguments).env_remove("HOME").output().unwrap();
    for arguments in [&["--eval", "-E", "1 + 1"][..], &["--parse", "-E", "1 + 1"]] {
        let output = run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", text(&output).1);
    }
}

#[test]
fn statistics_are_shown_as_nix_shows_them() {
    let place = Place::new();
    let with = |variables: &[(&str, &str)]| {
        let mut command = place.command(&["--eval", "-E", "let f = x: { a = x; }; in (f 2).a"]);
        let output = command.envs(variables.iter().copied()).output().unwrap();
        assert_eq!(text(&output).0, "2\n");
        text(&output).1
    };
    assert_eq!(with(&[]), "");
    assert_eq!(with(&[("NIX_SHOW_STATS", "0")]), "");
    let shown: serde_json::Value = serde_json::from_str(&with(&[("NIX_SHOW_STATS", "1")])).unwrap();
    assert_eq!((&shown["nrFunctionCalls"], &shown["nrLookups"]), (&1.into(), &1.into()));
    assert!(shown["cpuTime"].as_f64().unwrap() > 0.0 && shown["gc"]["totalBytes"].as_u64().unwrap() > 0);
    let file = place.path().join("statistics.json");
    let path = file.to_str().unwrap();
    assert_eq!(with(&[("NIX_SHOW_STATS", "1"), ("NIX_SHOW_STATS_PATH", path)]), "");
    let written: serde_json::Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(written["nrFunctionCalls"], 1);
}

#[test]
fn derivations_are_written_and_kept_by_roots() {
    let place = Place::new();
    let two = "{ b = mk \"b\"; a = (mk \"a\").dev; c = { d = mk \"d\"; }; e = { recurseForDerivations = true; f = mk \"f\"; }; }";
    let text_of = format!(
        "let mk = name: derivation {{ inherit name; system = \"s\"; builder = \"b\"; outputs = [ \"out\" \"dev\" ]; }}; in {two}"
    );
    let printed = place.prints(&["-E", &text_of]);
    let names: Vec<&str> = printed.lines().map(|line| line.split_once('-').unwrap().1).collect();
    assert_eq!(names, ["a.drv!dev", "b.drv", "f.drv"]);
    let kept = place.prints(&["-E", &text_of, "--add-root", "root", "--indirect"]);
    let root = place.path().join("root").display().to_string();
    assert_eq!(kept, format!("{root}!dev\n{root}-2\n{root}-3\n"));
    assert!(fs::read_link(&root).unwrap().to_string_lossy().ends_with("-a.drv"));
    assert!(place.fails(&["-E", "1"]).contains("a derivation"));
}

#[test]
fn pure_and_restricted_evaluation_hold_what_they_promise() {
    let place = Place::new();
    place.write("secret", "s");
    place.write("open/a", "a");
    symlink("../secret", place.path().join("open/link")).unwrap();
    let read = |path: &str| format!("builtins.readFile {}/{path}", place.path().display());
    assert_eq!(place.prints(&["--eval", "-E", &read("secret")]), "\"s\"\n");
    assert!(place.fails(&["--eval", "--pure-eval", "-E", &read("secret")]).contains("pure evaluation"));
    assert_eq!(place.prints(&["--eval", "--pure-eval", "--impure", "-E", &read("secret")]), "\"s\"\n");
    assert!(place.fails(&["--eval", "--pure-eval", "-E", "builtins.currentTime"]).contains("currentTime"));
    for flags in [&["--restrict-eval"][..], &["--option", "restrict-eval", "true"]] {
        let with = |rest: &'static [&str]| [&["--eval", "-I", "open"], flags, rest].concat();
        let reads =
            |path: &str| text_of_both(&place.run(&[&["--eval", "-I", "open"], flags, &["-E", &read(path)]].concat()));
        assert!(reads("secret").contains("restricted"), "{flags:?}");
        assert_eq!(reads("open/a"), "\"a\"\n");
        // A link does not lead out.
        assert!(reads("open/link").contains("restricted"));
        assert!(reads("open/../secret").contains("restricted"));
        assert!(place.fails(&with(&["-E", "builtins.readDir /."])).contains("restricted"));
        assert!(place.fails(&with(&["-E", "\"${./secret}\""])).contains("restricted"));
        assert!(place.fails(&with(&["./secret"])).contains("restricted"));
        assert_eq!(place.prints(&with(&["-E", "builtins.getEnv \"HOME\""])), "\"\"\n");
    }
    let fetch = format!("builtins.readFile (builtins.fetchurl \"file://{}/secret\")", place.path().display());
    let here = format!("file://{}", place.path().display());
    assert!(place.fails(&["--eval", "--restrict-eval", "-E", &fetch]).contains("restricted"));
    let allowed = ["--eval", "--restrict-eval", "--allowed-uris", &here, "-E", &fetch];
    assert_eq!(place.prints(&allowed), "\"s\"\n");
    let elsewhere = ["--eval", "--restrict-eval", "-E", "fetchTarball \"https://example.org/x.tar.gz\""];
    assert!(place.fails(&elsewhere).contains("allowed-uris"));
}

fn text_of_both(output: &Output) -> String {
    let (stdout, stderr) = text(output);
    stdout + &stderr
}

#[test]
fn a_wrong_command_line_says_what_is_wrong() {
    let place = Place::new();
    assert!(place.fails(&["--no-such-flag"]).contains("unrecognised flag '--no-such-flag'"));
    assert!(place.fails(&["--eval", "--option", "max-call-depth", "x", "-E", "1"]).contains("max-call-depth"));
    let output = place.run(&["--eval", "--option", "no-such-setting", "1", "-E", "1"]);
    assert_eq!(text(&output), ("1\n".to_owned(), "warning: unknown setting 'no-such-setting'\n".to_owned()));
    assert!(place.prints(&["--version"]).starts_with("nix-instantiate ("));
}

/// What both programs are given.
const PEER_PROGRAMS: &[(&str, &str)] = &[
    (
        "graph.nix",
        "let
           mk = name: attrs: derivation ({ inherit name; system = \"x86_64-linux\"; builder = \"/bin/sh\"; } // attrs);
           a = mk \"a\" { outputs = [ \"out\" \"dev\" ]; src = ./src; text = builtins.toFile \"t\" \"x\"; };
           fixed = mk \"f\" { outputHashMode = \"recursive\"; outputHashAlgo = \"sha256\";
             outputHash = \"0000000000000000000000000000000000000000000000000000\"; };
         in {
           inherit a;
           b = mk \"b\" { args = [ \"-c\" \"${a.dev} ${fixed}\" ]; list = [ 1 true null \"x y\" a ]; escaped = \"\\\"\\n\\t\\\\\"; };
           c = mk \"c\" { __structuredAttrs = true; deep = { x = [ a { y = 1.5; } ]; }; };
           d = mk \"d\" { passAsFile = [ \"big\" ]; big = \"${./src/inner}\"; drv = builtins.unsafeDiscardOutputDependency a.drvPath; };
           e = mk \"e\" { src = builtins.filterSource (path: type: baseNameOf path != \"inner\") ./src; };
         }",
    ),
    ("src/inner/file", "content"),
    ("src/top", "top"),
];

#[test]
fn nix_writes_the_same_derivations() {
    let nix = ["/usr/bin/nix-instantiate", "/run/current-system/sw/bin/nix-instantiate"];
    let Some(nix) = nix.iter().find(|path| Path::new(path).exists()) else { return crate::missing("nix-instantiate") };
    let place = Place::new();
    PEER_PROGRAMS.iter().for_each(|(file, content)| place.write(file, content));
    let ours = place.prints(&["./graph.nix"]);
    let store = place.path().join("peer");
    let output = Command::new(nix)
        .args(["--store", store.to_str().unwrap(), "./graph.nix"])
        .current_dir(place.path())
        .env_clear()
        .env("HOME", place.path())
        .output()
        .unwrap();
    let (theirs, stderr) = text(&output);
    assert!(output.status.success(), "{stderr}");
    assert_eq!(ours, theirs);
    let (ours, theirs) = (place.path().join(".local/share/wharf/nix/store"), store.join("nix/store"));
    let mut compared = 0;
    for entry in fs::read_dir(&theirs).unwrap() {
        let name = entry.unwrap().file_name();
        if name.to_string_lossy().ends_with(".drv") {
            assert_eq!(fs::read(ours.join(&name)).unwrap(), fs::read(theirs.join(&name)).unwrap(), "{name:?}");
            compared += 1;
        } else if name != ".links" {
            assert!(ours.join(&name).exists(), "{name:?} was not copied");
        }
    }
    assert!(compared >= 6, "{compared}");
}

#[test]
fn nix_prints_the_same() {
    let nix = ["/usr/bin/nix-instantiate", "/run/current-system/sw/bin/nix-instantiate"];
    let Some(nix) = nix.iter().find(|path| Path::new(path).exists()) else { return crate::missing("nix-instantiate") };
    let place = Place::new();
    place.write("lib/a.nix", "{ x = 1; y.z = [ 1 2.5 \"s\" ./a.nix (a: a) null true ]; f = { a, b ? 1 }: a; }");
    place.write("default.nix", "{ v ? 1, ... }: { inherit v; l = import ./lib/a.nix; }");
    let store = place.path().join("peer");
    for arguments in [
        &["--eval"][..],
        &["--eval", "--strict"],
        &["--eval", "--strict", "-A", "l"],
        &["--eval", "-A", "l"],
        &["--eval", "-E", "{ f = x: x; l = [ (x: x) 1 ]; }"],
        &["--eval", "-A", "v", "--argstr", "v", "x"],
        &["--eval", "-A", "v", "--arg", "v", "[ 1 ]"],
        &["--eval", "--json", "-A", "l.x"],
        &["--eval", "--xml", "-A", "l.y"],
        &["--eval", "--xml", "--strict", "--no-location", "-A", "l"],
        &["--eval", "-E", "import ./lib/a.nix", "-A", "y.z.1"],
        &["--eval", "--strict", "lib/a.nix", "default.nix"],
        &["--find-file", "a.nix", "-I", "lib"],
        &["--parse", "lib/a.nix"],
        &["--parse", "-E", "let a = 1; in a.b or (with x; y ++ [ z ])"],
        &["--eval", "-E", "{ x ? 2 }: x"],
        &["--eval", "--strict", "-E", "map (x: x + 1) [ 1 2 ]", "rec { a = 1; b = a; }"],
    ] {
        let theirs = Command::new(nix)
            .args(["--store", store.to_str().unwrap()])
            .args(arguments)
            .current_dir(place.path())
            .env_clear()
            .env("HOME", place.path())
            .output()
            .unwrap();
        let ours = place.run(arguments);
        // Newer ones end JSON with a line break.
        assert_eq!(
            text(&ours).0.trim_end(),
            text(&theirs).0.trim_end(),
            "{arguments:?}\n{}{}",
            text(&ours).1,
            text(&theirs).1
        );
        assert_eq!(ours.status.code(), theirs.status.code(), "{arguments:?}");
    }
}
