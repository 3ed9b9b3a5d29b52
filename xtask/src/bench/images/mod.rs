//! `cargo xtask bench images`: a closure to layers at a registry and to an archive, beside a rendering of nixpkgs' script
//! with skopeo, and buildah.
//!
//! Both sides read the same store, which real Nix has made of Debian's packages, and push to the same kind of registry,
//! new for each cold run. Wharf evaluates, builds and pushes in one command; its caches are new when it is cold.

mod closure;
mod destination;
mod limits;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use store::fs_nar::remove;
use tempfile::TempDir;

use self::closure::{Closure, Packages};
use self::destination::{Destination, Kind};
use super::measure::{row, time};
use super::usage::{self, Usage};

/// Arguments of `cargo xtask bench images`.
#[derive(clap::Args)]
pub struct Arguments {
    /// The wharf binary to measure.
    #[arg(long, default_value = "target/x86_64-unknown-linux-gnu/release/wharf")]
    wharf: PathBuf,
    /// The size of the closure, and of the one large file, in MiB.
    #[arg(long, default_value_t = 1100)]
    size: u64,
    /// Only rows whose name holds this: limits, push, changed, nothing, archive, large.
    #[arg(long)]
    only: Option<String>,
    /// Where everything is made; it needs five times the closure's room.
    #[arg(long, default_value = "target")]
    scratch: PathBuf,
    /// How layers are compressed; the pushes of what has changed are made with the last.
    #[arg(long, value_delimiter = ',', default_value = "zstd:chunked,zstd,gzip")]
    compressions: Vec<String>,
    /// The registry that both sides push to.
    #[arg(long, value_enum, default_value = "wharf")]
    registry: Kind,
    /// Measure Wharf alone.
    #[arg(long)]
    no_peers: bool,
}

/// The definition that Wharf builds: an image of the closure, by its store path.
const DEFINITION: &str = "{ pkgs, top, tag, ... }:\npkgs.dockerTools.buildLayeredImage {\n  name = \"bench\";\n  inherit tag;\n  \
                          config.Env = [ \"CLOSURE=${builtins.storePath top}\" ];\n}\n";
const STREAM: &str = include_str!("stream.py");

/// One benchmark run.
struct Bench<'a> {
    wharf: PathBuf,
    work: TempDir,
    arguments: &'a Arguments,
}

/// What one run of Wharf's push came to.
struct Pushed {
    usage: Usage,
    sent: u64,
}

/// Runs the benchmark.
///
/// # Errors
/// When the binary or a peer is missing, or any measured command fails.
pub fn run(arguments: &Arguments) -> Result<()> {
    ensure!(
        arguments.wharf.is_file(),
        "{} is missing: run `cargo build --release -p wharf` first, or name another with --wharf",
        arguments.wharf.display()
    );
    let needed = ["nix-build", "skopeo", "buildah", "python3"];
    ensure!(peers::available(&needed), "not all programs are here that the benchmark needs");
    fs::create_dir_all(&arguments.scratch)?;
    let work = tempfile::Builder::new().prefix("bench-images-").tempdir_in(arguments.scratch.canonicalize()?)?;
    let bench = Bench { wharf: arguments.wharf.canonicalize()?, work, arguments };
    let result = bench.rows();
    // Stores hold directories that nobody may write to.
    remove(bench.work.path())?;
    result
}

impl Bench<'_> {
    fn path(&self, name: &str) -> PathBuf {
        self.work.path().join(name)
    }

    fn registry(&self) -> Result<Destination> {
        Destination::start(self.arguments.registry, &self.wharf)
    }

    fn wants(&self, name: &str) -> bool {
        self.arguments.only.as_deref().is_none_or(|only| name.contains(only))
    }

    fn rows(&self) -> Result<()> {
        let bytes = self.arguments.size << 20;
        fs::write(self.path("image.nix"), DEFINITION)?;
        fs::write(self.path("stream.py"), STREAM)?;
        if ["limits", "push", "changed", "nothing", "archive"].iter().any(|name| self.wants(name)) {
            let packages = Packages::installed(&self.path("packages"), bytes)?;
            let closure = packages.realise(&self.path("home"))?;
            println!("{} store paths with {} MB of files", closure.paths.len(), closure.bytes / 1_000_000);
            if self.wants("limits") {
                limits::print(self.work.path(), &sample(&closure)?)?;
            }
            self.pushes(&packages, &closure)?;
            if self.wants("archive") {
                self.archive(&closure)?;
            }
        }
        if self.wants("large") {
            let file = Packages::one_file(&self.path("one"), bytes)?.realise(&self.path("home"))?;
            for compression in &self.arguments.compressions {
                let registry = self.registry()?;
                let pushed = self.push(&file, &registry, compression, "cold")?;
                self.print_usage(&format!("one file of {} MB, {compression}", file.bytes / 1_000_000), &pushed, &file);
            }
        }
        Ok(())
    }

    /// Cold, with one small path changed, and with nothing changed.
    fn pushes(&self, packages: &Packages, closure: &Closure) -> Result<()> {
        if !["push", "changed", "nothing"].iter().any(|name| self.wants(name)) {
            return Ok(());
        }
        let theirs_at = self.registry()?;
        let theirs = if self.arguments.no_peers { None } else { Some(self.peer(closure, &theirs_at)?) };
        let mut last = None;
        for compression in &self.arguments.compressions {
            let registry = self.registry()?;
            let pushed = self.push(closure, &registry, compression, "cold")?;
            row(&format!("push of everything, cold, {compression}"), pushed.usage.wall, theirs.map(|t| ("skopeo", t)));
            self.print_usage("", &pushed, closure);
            last = Some((registry, compression));
        }
        let (ours_at, compression) = last.context("--compressions names none")?;
        if self.wants("nothing") {
            self.nothing(closure, &ours_at, compression)?;
        }
        if self.wants("changed") {
            let size = packages.change_smallest()?;
            let changed = packages.realise(&self.path("home"))?;
            let pushed = self.push(&changed, &ours_at, compression, "warm")?;
            let theirs = if self.arguments.no_peers { None } else { Some(self.peer(&changed, &theirs_at)?) };
            row("push with one small path changed", pushed.usage.wall, theirs.map(|t| ("skopeo", t)));
            println!("    {} bytes sent for a path of {size}", pushed.sent);
        }
        Ok(())
    }

    /// The same push again, as often as gives a median.
    fn nothing(&self, closure: &Closure, registry: &Destination, compression: &str) -> Result<()> {
        let mut runs =
            (0..11).map(|_| self.push(closure, registry, compression, "warm")).collect::<Result<Vec<_>>>()?;
        runs.sort_by_key(|pushed| pushed.usage.wall);
        row("push with nothing changed", runs[runs.len() / 2].usage.wall, None);
        println!("    {} bytes sent", runs.iter().map(|pushed| pushed.sent).sum::<u64>());
        Ok(())
    }

    fn print_usage(&self, what: &str, pushed: &Pushed, closure: &Closure) {
        let Usage { wall, cpu, peak } = pushed.usage;
        println!(
            "    {what} {:.0} MB/s of files, {:.1} s of processors, {} MB sent, at most {} MiB of memory",
            limits::rate(closure.bytes, wall),
            cpu.as_secs_f64(),
            pushed.sent / 1_000_000,
            peak >> 20
        );
    }

    /// Wharf's push; cold, it has packed nothing before.
    fn push(&self, closure: &Closure, registry: &Destination, compression: &str, state: &str) -> Result<Pushed> {
        let cache = self.path("cache");
        let marker = self.path("tag");
        if state == "cold" {
            if cache.exists() {
                remove(&cache)?;
            }
            // Another tag is another image, which is not in the store yet.
            fs::write(&marker, format!("t{}", unique()))?;
        }
        let tag = fs::read_to_string(&marker)?;
        let reference = format!("{}/bench/image:latest", registry.host());
        let arguments = self.arguments_of("push", closure, &tag);
        let more = ["--json", "--compression", compression, &reference].map(str::to_owned);
        let arguments: Vec<String> = arguments.into_iter().chain(more).collect();
        let (home, cache) = (closure.home.display().to_string(), cache.display().to_string());
        let set = [("WHARF_HOME", home.as_str()), ("WHARF_CACHE", &cache)];
        let (usage, printed) = usage::measure(&self.wharf, "wharf", &arguments, &set)?;
        let sent = printed.split_once("\"bytesSent\":").context("the push says what was sent")?.1;
        let digits: String = sent.chars().take_while(char::is_ascii_digit).collect();
        Ok(Pushed { usage, sent: digits.parse()? })
    }

    fn arguments_of(&self, verb: &str, closure: &Closure, tag: &str) -> Vec<String> {
        let file = self.path("image.nix").display().to_string();
        let words = [verb, &file, "--argstr", "top", &closure.top, "--argstr", "tag", tag, "--pkgs", "<wharf>"];
        words.map(str::to_owned).to_vec()
    }

    /// The script's archive, copied to the registry by skopeo, which does not read a docker archive from a pipe.
    fn peer(&self, closure: &Closure, registry: &Destination) -> Result<Duration> {
        let archive = self.path("stream.tar");
        let start = Instant::now();
        self.stream(closure, &archive)?;
        time(
            Command::new("skopeo")
                .args(["copy", "--insecure-policy", "--dest-tls-verify=false"])
                .arg(format!("docker-archive:{}", archive.display()))
                .arg(format!("docker://{}/bench/image:latest", registry.host()))
                // What it remembers of blobs is to be its own.
                .env("HOME", self.work.path())
                .env("XDG_DATA_HOME", self.path("skopeo")),
        )?;
        let took = start.elapsed();
        fs::remove_file(archive)?;
        Ok(took)
    }

    fn stream(&self, closure: &Closure, archive: &Path) -> Result<()> {
        let layers: Vec<String> = closure.paths.iter().map(|path| format!("[\"{path}\"]")).collect();
        let conf = format!(
            "{{\"store_layers\": [{}], \"config\": {{\"Env\": [\"CLOSURE={}\"]}}, \"repo_tag\": \"bench:1\", \
             \"created\": \"1970-01-01T00:00:01+00:00\"}}",
            layers.join(", "),
            closure.top
        );
        let file = self.path("conf.json");
        fs::write(&file, conf)?;
        let mut python = Command::new("python3");
        python.arg(self.path("stream.py")).arg(&file).arg(&closure.home).stdout(fs::File::create(archive)?);
        let status = python.stdin(Stdio::null()).status()?;
        ensure!(status.success(), "the rendering of the script fails");
        Ok(())
    }

    /// An archive on disk: both from the same objects, with nothing known from before.
    fn archive(&self, closure: &Closure) -> Result<()> {
        let cache = self.path("archive-cache");
        let mut ours = Command::new(&self.wharf);
        ours.args(self.arguments_of("build", closure, &format!("a{}", unique())));
        ours.args(["--format", "docker-archive", "--out-link"]).arg(self.path("result"));
        ours.env("WHARF_HOME", &closure.home).env("WHARF_CACHE", &cache);
        let ours = time(&mut ours)?;
        let theirs = if self.arguments.no_peers { None } else { Some(("buildah", self.buildah(closure)?)) };
        row("an archive on disk", ours, theirs);
        let written = fs::metadata(self.path("result"))?.len();
        println!("    {:.0} MB/s written", limits::rate(written, ours));
        Ok(())
    }

    fn buildah(&self, closure: &Closure) -> Result<Duration> {
        let buildah = |arguments: &[&str]| {
            let mut command = Command::new("buildah");
            command.arg("--root").arg(self.path("root")).arg("--runroot").arg(self.path("run"));
            command.args(["--storage-driver", "vfs"]).args(arguments);
            command
        };
        let store = closure.home.join("nix/store");
        let mut copy = buildah(&["copy", "bench"]);
        for path in &closure.paths {
            copy.arg(store.join(path.trim_start_matches("/nix/store/")));
        }
        let archive = self.path("buildah.tar");
        let target = format!("docker-archive:{}", archive.display());
        let mut total = time(&mut buildah(&["from", "--name", "bench", "scratch"]))?;
        total += time(copy.arg("/nix/store/"))?;
        total += time(&mut buildah(&["commit", "bench", &target]))?;
        time(&mut buildah(&["rm", "bench"]))?;
        fs::remove_file(archive)?;
        Ok(total)
    }
}

/// Another number each time.
fn unique() -> u128 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |time| time.as_nanos())
}

/// Some of the closure's bytes, as they are.
fn sample(closure: &Closure) -> Result<Vec<u8>> {
    let mut sample = Vec::new();
    for path in &closure.paths {
        if sample.len() < 64 << 20 {
            let mut command = Command::new("nix-store");
            let out = command.arg("--dump").arg(closure.home.join(path.trim_start_matches('/'))).output()?;
            sample.extend(out.stdout);
        }
    }
    Ok(sample)
}
