//! `cargo xtask bench store`: binary caches, hashing and small builds, beside real Nix.
//!
//! Everything is made here: objects, caches, and a server on loopback that answers each request after a given time. Each
//! run of either program has a store, a home and caches of its own.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use nix_formats::content_address::Method;
use nix_formats::hash::HashAlgo;
use nix_formats::store_path::StorePath;
use store::cache::{Directory, ExportOptions, export};
use store::fs_nar::{everything, remove};
use store::progress::Silent;
use store::{LocalStore, Store};
use tempfile::TempDir;

use super::measure::{median, median_of, row, time};
use super::server::Server;

/// Arguments of `cargo xtask bench store`.
#[derive(clap::Args)]
pub struct Arguments {
    /// The wharf binary to measure.
    #[arg(long, default_value = "target/x86_64-unknown-linux-gnu/release/wharf")]
    wharf: PathBuf,
    /// How many times each command is run; the median counts.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Only rows whose name holds this.
    #[arg(long)]
    only: Option<String>,
    /// The size of the closure that is substituted and of the tree that is hashed, in MiB.
    #[arg(long, default_value_t = 1024)]
    size: usize,
}

/// Measures one thing and prints its row.
type Measure = fn(&Bench) -> Result<()>;

/// One benchmark run.
struct Bench {
    wharf: PathBuf,
    runs: usize,
    size: usize,
    has_nix: bool,
    work: TempDir,
    /// How many commands were given a home.
    homes: Cell<usize>,
}

/// So many homes are kept. A file system that has just deleted thousands of files may be slow to create others: ext4 looks at
/// each place that became free within the last minute, which took a quarter of our time and a tenth of Nix's.
const HOMES: usize = 6;

/// Runs the benchmark.
///
/// # Errors
/// When the binary is missing or any measured command fails.
pub fn run(arguments: &Arguments) -> Result<()> {
    ensure!(
        arguments.wharf.is_file(),
        "{} is missing: run `cargo build --release -p wharf` first, or name another with --wharf",
        arguments.wharf.display()
    );
    let has_nix = Command::new("nix").arg("--version").output().is_ok();
    if !has_nix {
        println!("no comparison: needs nix");
    }
    let bench = Bench {
        wharf: arguments.wharf.canonicalize()?,
        runs: arguments.runs,
        size: arguments.size,
        has_nix,
        work: TempDir::new()?,
        homes: Cell::new(0),
    };
    let rows: [(&str, Measure); 5] = [
        ("substitute", Bench::substitute),
        ("narinfo", Bench::narinfos),
        ("hash", Bench::hash),
        ("derivations", Bench::derivations),
        ("nothing", Bench::nothing),
    ];
    for (name, measure) in rows {
        if arguments.only.as_deref().is_none_or(|only| name.contains(only)) {
            measure(&bench)?;
        }
    }
    // Stores hold directories that nobody may write to.
    remove(bench.work.path())?;
    Ok(())
}

impl Bench {
    fn path(&self, name: &str) -> PathBuf {
        self.work.path().join(name)
    }

    /// A command of ours, or of theirs, with a new home each time.
    fn command(&self, program: &Path) -> Result<Command> {
        let number = self.homes.replace(self.homes.get() + 1);
        let home = self.path(&format!("home-{number}"));
        let old = self.path(&format!("home-{}", number.wrapping_sub(HOMES)));
        if old.exists() {
            remove(&old)?;
        }
        fs::create_dir_all(&home)?;
        let mut command = Command::new(program);
        command.env_remove("NIX_REMOTE").env_remove("NIX_PATH").current_dir(&home);
        command.env("HOME", &home).env("WHARF_HOME", home.join("store")).env("WHARF_CACHE", home.join("cache"));
        command.env("NIX_CONFIG", "experimental-features = nix-command");
        Ok(command)
    }

    /// Measures both sides in turn and prints the row. What is measured is made anew each time.
    fn compare(
        &self,
        what: &str,
        peer: &str,
        ours: impl Fn(&mut Command),
        theirs: impl Fn(&mut Command),
        program: &str,
    ) -> Result<()> {
        let measure = |program: &Path, arguments: &dyn Fn(&mut Command)| {
            let mut command = self.command(program)?;
            arguments(&mut command);
            // Nobody shall wait for what others wrote.
            ensure!(Command::new("sync").status()?.success(), "sync failed");
            time(&mut command)
        };
        let (mut our_times, mut their_times) = (Vec::new(), Vec::new());
        for _ in 0..self.runs {
            if self.has_nix {
                their_times.push(measure(Path::new(program), &theirs)?);
            }
            our_times.push(measure(&self.wharf, &ours)?);
        }
        row(what, median_of(our_times), self.has_nix.then(|| (peer, median_of(their_times))));
        Ok(())
    }

    /// A store with objects of this size each and one that refers to all of them.
    fn closure(&self, name: &str, count: usize, size: usize) -> Result<(LocalStore, StorePath)> {
        let store = LocalStore::open(&self.path(name))?;
        let mut references = BTreeSet::new();
        for number in 0..count {
            let tree = self.path(&format!("tree-{number}"));
            fs::create_dir_all(&tree)?;
            for (part, content) in content(number as u64, size).chunks(1 << 20).enumerate() {
                fs::write(tree.join(format!("part-{part}")), content)?;
            }
            let object = format!("object-{number}");
            references.insert(store.add_tree(&object, &tree, Method::Nar, HashAlgo::Sha256, &mut everything)?);
        }
        let text: Vec<String> = references.iter().map(StorePath::to_absolute).collect();
        let top = store.add_text("top", text.join("\n").as_bytes(), &references)?;
        Ok((store, top))
    }

    fn substitute(&self) -> Result<()> {
        const OBJECTS: usize = 64;
        let (store, top) = self.closure("full", OBJECTS, self.size * (1 << 20) / OBJECTS)?;
        for compression in [nix_formats::narinfo::Compression::Zstd, nix_formats::narinfo::Compression::Xz] {
            let directory = self.path("cache");
            // As quick as xz goes: it is unpacking that is measured.
            let level = Some(1);
            let options = ExportOptions { compression, level, ..ExportOptions::default() };
            export(&store, std::slice::from_ref(&top), &Directory::new(&directory), &options, &Silent)?;
            let server = Server::start(&directory, Duration::ZERO)?;
            let copy = |command: &mut Command, verb: &[&str]| {
                command.args(verb).args(["--from", &server.address, "--to", "./into", "--no-check-sigs"]);
                command.arg(top.to_absolute());
            };
            self.compare(
                &format!("substitute {} MiB in {} objects, {}", self.size, OBJECTS + 1, compression.name()),
                "nix copy",
                |command| copy(command, &["store", "copy"]),
                |command| copy(command, &["copy"]),
                "nix",
            )?;
            fs::remove_dir_all(&directory)?;
        }
        Ok(())
    }

    fn narinfos(&self) -> Result<()> {
        let store = LocalStore::open(&self.path("texts"))?;
        let paths = (0..2000).map(|number| store.add_text(&format!("t{number}"), b"", &BTreeSet::new()));
        let paths = paths.collect::<Result<Vec<_>, _>>()?;
        let directory = self.path("texts-cache");
        export(&store, &paths, &Directory::new(&directory), &ExportOptions::default(), &Silent)?;
        let server = Server::start(&directory, Duration::from_millis(20))?;
        let names: Vec<String> = paths.iter().map(StorePath::to_absolute).collect();
        self.compare(
            "2,000 narinfo queries at 20 ms",
            "nix-store",
            |command| {
                command.args(["store", "copy", "--dry-run", "--from", &server.address]).args(&names);
            },
            |command| {
                command.args(["--realise", "--dry-run", "--store", "./into"]).args(&names);
                command.args(["--option", "substituters", &server.address, "--option", "require-sigs", "false"]);
            },
            "nix-store",
        )
    }

    fn hash(&self) -> Result<()> {
        const FILES: usize = 50_000;
        let tree = self.path("files");
        let size = self.size * (1 << 20) / FILES;
        for number in 0..FILES {
            let directory = tree.join(format!("{:02}", number % 100));
            if number < 100 {
                fs::create_dir_all(&directory)?;
            }
            fs::write(directory.join(format!("{number}")), content(number as u64, size))?;
        }
        let result = self.compare(
            &format!("NAR hash of {} MiB in 50,000 files", self.size),
            "nix-store",
            |command| {
                command.args(["store", "hash"]).arg(&tree);
            },
            |command| {
                command.arg("-c").arg(format!("nix-store --dump {} | sha256sum", tree.display()));
            },
            "sh",
        );
        fs::remove_dir_all(&tree)?;
        result
    }

    fn derivations(&self) -> Result<()> {
        let file = self.path("graph.nix");
        let mut text = String::from("let\n  make = name: inputs: derivation { inherit name inputs; ");
        text.push_str(
            "system = builtins.currentSystem; builder = \"/bin/sh\"; args = [ \"-c\" \"echo $name > $out\" ]; };\n",
        );
        // Rows of ten, each of which needs three of the row before.
        for number in 0..300_usize {
            let needed = |step: usize| (number / 10).checked_sub(1).map(|row| row * 10 + (number + step) % 10);
            let inputs: Vec<String> = (0..3).filter_map(needed).map(|input| format!("d{input}")).collect();
            writeln!(text, "  d{number} = make \"d{number}\" [ {} ];", inputs.join(" "))?;
        }
        let last: Vec<String> = (290..300).map(|number| format!("d{number}")).collect();
        writeln!(text, "in make \"top\" [ {} ]", last.join(" "))?;
        fs::write(&file, text)?;
        self.compare(
            "301 trivial derivations",
            "nix-build",
            |command| {
                command.args(["build", "--no-link", "-f"]).arg(&file);
            },
            |command| {
                nix_build(command).arg(&file);
            },
            "nix-build",
        )
    }

    fn nothing(&self) -> Result<()> {
        let file = self.path("closure.nix");
        let text = "derivation { name = \"top\"; system = builtins.currentSystem; builder = \"/bin/sh\"; \
                    args = [ \"-c\" \"echo $inputs > $out\" ]; \
                    inputs = builtins.genList (n: builtins.toFile \"f${toString n}\" (toString n)) 1000; }\n";
        fs::write(&file, text)?;
        let mut ours = self.command(&self.wharf)?;
        ours.args(["build", "--no-link", "-f"]).arg(&file);
        time(&mut ours)?;
        let again = median(self.runs * 3, || time(&mut ours))?;
        let theirs = match self.has_nix {
            true => {
                let mut theirs = self.command(Path::new("nix-build"))?;
                nix_build(&mut theirs).arg(&file);
                time(&mut theirs)?;
                Some(("nix-build", median(self.runs * 3, || time(&mut theirs))?))
            }
            false => None,
        };
        row("a build with nothing to do, closure of 1,001", again, theirs);
        Ok(())
    }
}

fn nix_build(command: &mut Command) -> &mut Command {
    command.args(["--no-out-link", "--store", "./into", "-j", "2"]);
    command.args(["--option", "sandbox-paths", "/bin/sh=/bin/busybox", "--option", "build-users-group", ""]);
    command.args(["--option", "substituters", ""])
}

/// Bytes of which half can be compressed, the same for the same number.
fn content(number: u64, size: usize) -> Vec<u8> {
    let mut content = Vec::with_capacity(size + 64);
    let mut state = number.wrapping_mul(2) + 1;
    while content.len() < size {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        content.extend_from_slice(&state.to_le_bytes());
        content.extend_from_slice(b"and text");
    }
    content.truncate(size);
    content
}
