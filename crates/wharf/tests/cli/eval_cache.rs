//! The evaluation cache from outside: what is taken from it, and that a change of anything that was read is seen.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::{text, wharf};

/// A home with a project in it.
struct Place {
    home: tempfile::TempDir,
}

/// What one run gave.
struct Run {
    /// Whether something was evaluated, and not taken from the cache.
    evaluated: bool,
    stdout: String,
    stderr: String,
}

impl Place {
    /// A project whose derivation depends on the value of an expression.
    fn with(expression: &str) -> Self {
        let place = Self { home: tempfile::tempdir().unwrap() };
        place.write("x.nix", &derivation(expression));
        place
    }

    fn path(&self) -> &Path {
        self.home.path()
    }

    fn write(&self, file: &str, content: &str) {
        let file = self.path().join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, content).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = wharf(self.path());
        command.current_dir(self.path()).args(arguments);
        command
    }

    fn run(&self) -> Run {
        Run::of(&mut self.command(&["instantiate", "--stats", "./x.nix"]))
    }

    /// Holds that a change of the world is seen, and that nothing else is evaluated.
    fn sees(&self, what: &str, change: impl FnOnce(&Self)) {
        let first = self.run();
        assert!(first.evaluated, "{what}: nothing was known before");
        let second = self.run();
        assert!(!second.evaluated, "{what}: nothing has changed\n{}", second.stderr);
        assert_eq!(first.stdout, second.stdout, "{what}");
        change(self);
        let third = self.run();
        assert!(third.evaluated, "{what}: the change was not seen");
        assert_ne!(first.stdout, third.stdout, "{what}: the change makes another derivation");
        assert!(!self.run().evaluated, "{what}: the new result is known");
    }
}

impl Run {
    fn of(command: &mut Command) -> Self {
        let output = command.output().unwrap();
        let (stdout, stderr) = text(&output);
        assert!(output.status.success(), "{stderr}");
        let counters = stderr.lines().find(|line| line.starts_with('{')).unwrap_or_else(|| panic!("{stderr}"));
        let counters: serde_json::Value = serde_json::from_str(counters).unwrap();
        Self { evaluated: counters["evaluated"].as_bool().unwrap(), stdout, stderr }
    }
}

fn derivation(expression: &str) -> String {
    format!(
        "let system = \"x86_64-linux\"; in\n\
         derivation {{ name = \"x\"; inherit system; builder = \"/bin/sh\"; value = {expression}; }}"
    )
}

#[test]
fn files_directories_and_links_are_looked_at_again() {
    let place = Place::with("import ./a.nix");
    place.write("a.nix", "\"1\"");
    place.sees("an imported file", |place| place.write("a.nix", "\"2\""));

    let place = Place::with("builtins.readFile ./a.txt");
    place.write("a.txt", "one");
    place.sees("a file that is read", |place| place.write("a.txt", "two"));

    let place = Place::with("toString (builtins.attrNames (builtins.readDir ./d))");
    place.write("d/a", "");
    place.sees("a new entry of a directory", |place| place.write("d/b", ""));

    let place = Place::with("if builtins.pathExists ./absent then \"there\" else \"absent\"");
    place.sees("a file that was absent", |place| place.write("absent", ""));

    let place = Place::with("builtins.readFileType ./t");
    place.write("t", "");
    place.sees("the type of a file", |place| {
        fs::remove_file(place.path().join("t")).unwrap();
        fs::create_dir(place.path().join("t")).unwrap();
    });

    let place = Place::with("import ./link");
    place.write("one.nix", "\"1\"");
    place.write("two.nix", "\"2\"");
    symlink("one.nix", place.path().join("link")).unwrap();
    place.sees("where a link leads", |place| {
        fs::remove_file(place.path().join("link")).unwrap();
        symlink("two.nix", place.path().join("link")).unwrap();
    });

    let place = Place::with("import ./dir");
    place.write("dir/default.nix", "import ./other.nix");
    place.write("dir/other.nix", "\"1\"");
    place.sees("a file imported by another", |place| place.write("dir/other.nix", "\"2\""));
}

#[test]
fn sources_are_looked_at_again() {
    let place = Place::with("\"${./src}\"");
    place.write("src/a/b.c", "int x;");
    place.sees("a file of a source", |place| place.write("src/a/b.c", "int y;"));

    let place = Place::with("\"${./src}\"");
    place.write("src/a", "");
    place.sees("a new file of a source", |place| place.write("src/b", ""));

    let place = Place::with("\"${./src}\"");
    place.write("src/run", "#!/bin/sh");
    place.sees("a file that becomes executable", |place| {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(place.path().join("src/run"), mode).unwrap();
    });

    let filtered = "builtins.path { path = ./src; filter = path: _: baseNameOf path != \"out\"; }";
    let place = Place::with(filtered);
    place.write("src/a", "1");
    place.write("src/out/log", "");
    place.sees("a file of a filtered source", |place| place.write("src/a", "2"));

    let place = Place::with(filtered);
    place.write("src/a", "1");
    place.sees("a new file of a filtered source", |place| place.write("src/b", ""));

    let place = Place::with("builtins.hashFile \"sha256\" ./f");
    place.write("f", "1");
    place.sees("a file that is hashed", |place| place.write("f", "2"));
}

#[test]
fn what_a_filter_refused_does_not_matter() {
    let place = Place::with("builtins.path { path = ./src; filter = path: _: baseNameOf path != \"out\"; }");
    place.write("src/a", "1");
    place.write("src/out/log", "1");
    assert!(place.run().evaluated);
    place.write("src/out/log", "2");
    place.write("src/out/more", "2");
    assert!(!place.run().evaluated);
}

#[test]
fn variables_and_the_search_path_count() {
    let place = Place::with("builtins.getEnv \"COLOUR\"");
    let with = |colour: &str| Run::of(place.command(&["instantiate", "--stats", "./x.nix"]).env("COLOUR", colour));
    assert!(with("red").evaluated && !with("red").evaluated);
    assert!(with("blue").evaluated && place.run().evaluated && !place.run().evaluated);

    let place = Place::with("import <lib/a.nix>");
    place.write("one/lib/a.nix", "\"1\"");
    let with = |path: &str| Run::of(&mut place.command(&["instantiate", "--stats", "./x.nix", "-I", path]));
    place.write("two/lib/a.nix", "\"2\"");
    let first = with("one");
    assert!(first.evaluated && !with("one").evaluated);
    assert_ne!(with("two").stdout, first.stdout);
    // An entry before the one that had it.
    let both = || Run::of(&mut place.command(&["instantiate", "--stats", "./x.nix", "-I", "none", "-I", "one"]));
    assert!(both().evaluated && !both().evaluated);
    place.write("none/lib/a.nix", "\"3\"");
    assert!(both().evaluated);
}

#[test]
fn arguments_and_settings_count() {
    let place = Place::with("1");
    place.write("x.nix", &format!("{{ v ? \"0\" }}: {}", derivation("v")));
    let with = |arguments: &[&str]| Run::of(place.command(&["instantiate", "--stats", "./x.nix"]).args(arguments));
    assert!(with(&[]).evaluated && !with(&[]).evaluated);
    assert!(with(&["--argstr", "v", "1"]).evaluated && !with(&["--argstr", "v", "1"]).evaluated);
    assert!(with(&["--argstr", "v", "2"]).evaluated);
    assert!(with(&["--option", "max-call-depth", "5000"]).evaluated);
    assert!(with(&["--no-eval-cache"]).evaluated && with(&["--option", "eval-cache", "false"]).evaluated);
    assert!(!with(&[]).evaluated);
}

#[test]
fn programs_that_ask_for_the_time_or_fail_are_not_kept() {
    let place = Place::with("toString builtins.currentTime");
    assert!(place.run().evaluated && place.run().evaluated);
    let place = Place::with("throw \"no\"");
    for _ in 0..2 {
        let output = place.command(&["instantiate", "./x.nix"]).output().unwrap();
        assert!(!output.status.success() && text(&output).1.contains("no"));
    }
}

#[test]
fn messages_are_said_again() {
    let place = Place::with("builtins.warn \"old\" (builtins.trace \"here\" \"1\")");
    let (first, second) = (place.run(), place.run());
    assert!(first.evaluated && !second.evaluated);
    for run in [first, second] {
        assert!(run.stderr.contains("warning: old") && run.stderr.contains("trace: here"), "{}", run.stderr);
    }
}

#[test]
fn what_was_built_during_the_evaluation_is_had_again() {
    let built = "builtins.readFile (derivation { name = \"y\"; inherit system; builder = \"/bin/sh\"; \
                 args = [ \"-c\" \"read v < ${./v}; echo $v > $out\" ]; })";
    let place = Place::with(built);
    place.write("v", "one\n");
    place.sees("what a build made of a file", |place| place.write("v", "two\n"));
    // Nothing keeps the output: collected, it is built again.
    let output = place.command(&["store", "gc"]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output).1);
    assert!(place.run().evaluated && !place.run().evaluated);
}

#[test]
fn derivations_that_were_collected_are_written_again() {
    let place = Place::with("\"${./src}\"");
    place.write("src", "1");
    let first = place.run();
    let output = place.command(&["store", "gc"]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output).1);
    let written = place.path().join(format!(".local/share/wharf{}", first.stdout.trim()));
    assert!(!written.exists());
    assert_eq!(place.run().stdout, first.stdout);
    assert!(written.exists());
}

#[test]
fn a_damaged_entry_is_as_good_as_none() {
    let place = Place::with("import ./a.nix");
    place.write("a.nix", "\"1\"");
    assert!(place.run().evaluated && !place.run().evaluated);
    let mut entries = 0;
    for entry in fs::read_dir(place.path().join(".cache/wharf/eval/v1")).unwrap() {
        let file = entry.unwrap().path();
        let mut content = fs::read(&file).unwrap();
        let middle = content.len() / 2;
        content[middle] ^= 1;
        fs::write(&file, content).unwrap();
        entries += 1;
    }
    assert_eq!(entries, 1);
    assert!(place.run().evaluated && !place.run().evaluated);
}

/// A file of the same length, written within the same tick or given its old time: only the change time tells.
#[test]
fn times_that_were_set_back_deceive_nobody() {
    let place = Place::with("import ./a.nix");
    place.write("a.nix", "\"1\"");
    let first = place.run();
    place.write("a.nix", "\"2\"");
    assert_ne!(place.run().stdout, first.stdout, "the file is too young to be trusted");
    std::thread::sleep(Duration::from_secs(4));
    assert!(!place.run().evaluated && !place.run().evaluated);
    let file = place.path().join("a.nix");
    let old = fs::metadata(&file).unwrap().modified().unwrap();
    fs::write(&file, "\"3\"").unwrap();
    fs::File::options().write(true).open(&file).unwrap().set_modified(old).unwrap();
    assert!(place.run().evaluated);
    // Touched and not changed.
    std::thread::sleep(Duration::from_millis(20));
    fs::File::options().write(true).open(&file).unwrap().set_modified(old + Duration::from_secs(1)).unwrap();
    assert!(!place.run().evaluated);
}

#[test]
fn flakes_and_git_trees_are_looked_at_again() {
    if !has_git() {
        return crate::missing("git");
    }
    let place = Place::with("1");
    let flake =
        format!("{{ outputs = {{ self }}: {{ packages.x86_64-linux.default = {}; }}; }}", derivation("import ./v.nix"));
    place.write("flake/flake.nix", &flake);
    place.write("flake/v.nix", "\"1\"");
    let run = || Run::of(&mut place.command(&["instantiate", "--stats", "./flake"]));
    // Without git, a directory.
    let first = run();
    assert!(first.evaluated && !run().evaluated);
    place.write("flake/v.nix", "\"2\"");
    assert!(run().evaluated && !run().evaluated);
    // With git: what is tracked, whether committed or not.
    git(&place, &["init", "-q"]);
    git(&place, &["add", "flake.nix", "v.nix"]);
    assert!(run().evaluated && !run().evaluated);
    place.write("flake/untracked", "");
    assert!(!run().evaluated);
    git(&place, &["commit", "-qm", "one"]);
    assert!(run().evaluated, "the tree is clean now, and the flake may say so");
    assert!(!run().evaluated);
    place.write("flake/v.nix", "\"3\"");
    let dirty = run();
    assert!(dirty.evaluated && !run().evaluated);
    place.write("flake/v.nix", "\"4\"");
    let other = run();
    assert!(other.evaluated && other.stdout != dirty.stdout);
    git(&place, &["add", "untracked"]);
    assert!(run().evaluated);
}

#[test]
fn fetches_that_are_not_fixed_are_made_again() {
    if !has_git() {
        return crate::missing("git");
    }
    let place = Place::with("(builtins.fetchGit ./flake).rev");
    place.write("flake/a", "1");
    git(&place, &["init", "-q"]);
    git(&place, &["add", "."]);
    git(&place, &["commit", "-qm", "one"]);
    place.sees("a commit", |place| git(place, &["commit", "-q", "--allow-empty", "-m", "two"]));

    let place = Place::with("builtins.readFile (builtins.fetchurl (\"file://\" + toString ./f))");
    place.write("f", "1");
    place.sees("a file that is fetched", |place| place.write("f", "2"));
}

fn has_git() -> bool {
    Command::new("git").arg("--version").output().is_ok()
}

fn git(place: &Place, arguments: &[&str]) {
    let settings = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main"];
    let output =
        Command::new("git").args(settings).args(arguments).current_dir(place.path().join("flake")).output().unwrap();
    assert!(output.status.success(), "{}", text(&output).1);
}
