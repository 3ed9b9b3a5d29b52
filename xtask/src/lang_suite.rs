//! Nix's own language tests, run from a checkout of Nix: `cargo xtask lang-suite CHECKOUT/tests/functional/lang`.
//!
//! Each case is a process of its own, run as Nix's `tests/functional/lang.sh` runs `nix-instantiate`. Messages of errors
//! and warnings are not compared, only that there is an error and the exit code is 1.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, ensure};

/// What to run.
#[derive(clap::Args)]
pub struct LangSuite {
    /// The directory of the cases.
    directory: PathBuf,
    /// The program that takes the arguments of `nix-instantiate`: that itself, or a wharf binary, which is then called
    /// under that name.
    #[arg(long, default_value = "target/x86_64-unknown-linux-gnu/release/wharf")]
    program: PathBuf,
    /// Only cases whose names contain this.
    #[arg(long)]
    only: Option<String>,
    /// Show what each failing case printed.
    #[arg(short, long)]
    verbose: bool,
}

/// The kinds of case, by the beginning of their names.
const KINDS: [&str; 4] = ["parse-okay", "parse-fail", "eval-okay", "eval-fail"];

/// Runs all cases, prints the counts, and fails if a case does.
pub fn run(suite: &LangSuite) -> Result<()> {
    let directory =
        suite.directory.canonicalize().with_context(|| format!("no directory {}", suite.directory.display()))?;
    let around = directory.parent().context("the suite is expected in a directory of its own")?;
    let program = suite
        .program
        .canonicalize()
        .with_context(|| format!("there is no {}: build it, or name one with --program", suite.program.display()))?;
    // The binary looks at the name under which it is called; its store is to be nobody's.
    let scratch = tempfile::tempdir()?;
    let link = scratch.path().join("nix-instantiate");
    std::os::unix::fs::symlink(program, &link)?;
    let mut counts: BTreeMap<&str, (u32, u32)> = BTreeMap::new();
    for case in cases(&directory)? {
        if suite.only.as_ref().is_some_and(|only| !case.contains(only)) {
            continue;
        }
        let Some(kind) = KINDS.into_iter().find(|kind| case.starts_with(kind)) else {
            continue;
        };
        let (passed, all) = counts.entry(kind).or_default();
        *all += 1;
        let case = Case { suite, program: &link, directory: &directory, around, name: &case };
        match case.run(kind) {
            Ok(()) => *passed += 1,
            Err(error) => println!("FAIL {}: {error:#}", case.name),
        }
    }
    for (kind, (passed, all)) in &counts {
        println!("{kind}: {passed} of {all}");
    }
    ensure!(counts.values().all(|(passed, all)| passed == all), "some cases fail");
    Ok(())
}

fn cases(directory: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let is_disabled = |stem: &str| directory.join(format!("{stem}.exp-disabled")).exists();
        if let Some(stem) = name.strip_suffix(".nix").filter(|stem| !is_disabled(stem)) {
            names.push(stem.to_owned());
        }
    }
    names.sort();
    Ok(names)
}

struct Case<'a> {
    suite: &'a LangSuite,
    /// A link in a directory of its own.
    program: &'a Path,
    directory: &'a Path,
    around: &'a Path,
    name: &'a str,
}

impl Case<'_> {
    fn file(&self, suffix: &str) -> PathBuf {
        self.directory.join(format!("{}.{suffix}", self.name))
    }

    fn run(&self, kind: &str) -> Result<()> {
        let output = self.output(kind)?;
        let code = output.status.code();
        let stderr = String::from_utf8_lossy(&output.stderr);
        if kind.ends_with("fail") {
            ensure!(code == Some(1), "exit code {code:?} where it should fail{}", self.more(&output));
            ensure!(!stderr.trim().is_empty(), "it fails without a word");
            return Ok(());
        }
        ensure!(code == Some(0), "exit code {code:?}{}", self.more(&output));
        let xml = self.file("exp.xml");
        let expected = std::fs::read(if xml.exists() { xml } else { self.file("exp") })?;
        let here = self.around.to_string_lossy();
        let printed = String::from_utf8_lossy(&output.stdout).replace(&*here, "/pwd");
        let expected = String::from_utf8_lossy(&expected);
        ensure!(
            printed.trim_end() == expected.trim_end(),
            "prints something else{}",
            self.difference(&printed, &expected)
        );
        Ok(())
    }

    fn more(&self, output: &Output) -> String {
        let text = String::from_utf8_lossy(&output.stderr);
        let shown = if self.suite.verbose { text.trim_end() } else { text.lines().next().unwrap_or_default() };
        format!("\n{shown}")
    }

    fn difference(&self, printed: &str, expected: &str) -> String {
        if self.suite.verbose { format!("\nprinted:  {printed}\nexpected: {expected}") } else { String::new() }
    }

    fn output(&self, kind: &str) -> Result<Output> {
        let mut command = Command::new(self.program);
        let home = self.program.with_file_name("home");
        command.env("WHARF_HOME", &home).env("WHARF_CACHE", home.join("cache"));
        command.current_dir(self.around).env("TEST_VAR", "foo").env_remove("NIX_PATH");
        // Relative to the directory around, as the flags of the cases are.
        let file = format!("{}/{}.nix", self.directory.file_name().unwrap_or_default().to_string_lossy(), self.name);
        if kind.starts_with("parse") {
            command.args(["--parse", "-"]).stdin(File::open(self.file("nix"))?);
        } else {
            command.args(self.flags(kind)?).arg(file).stdin(Stdio::null());
        }
        if kind == "eval-okay" {
            command.env("NIX_PATH", "lang/dir3:lang/dir4").env("HOME", "/fake-home");
        }
        command.output().context("the evaluator cannot be run")
    }

    fn flags(&self, kind: &str) -> Result<Vec<OsString>> {
        let own = match std::fs::read_to_string(self.file("flags")) {
            Ok(text) => {
                let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
                let words: Vec<OsString> = lines.flat_map(str::split_whitespace).map(OsString::from).collect();
                Some(words)
            }
            Err(_) => None,
        };
        let fixed: &[&str] = match (kind, &own) {
            ("eval-okay", _) if self.file("exp.xml").exists() => &["--eval", "--xml", "--no-location", "--strict"],
            ("eval-okay", _) => &["--eval", "--strict"],
            (_, None) => &["--eval", "--strict", "--show-trace"],
            _ => &[],
        };
        Ok(own.unwrap_or_default().into_iter().chain(fixed.iter().map(OsString::from)).collect())
    }
}
