//! `cargo xtask bench quick`: the time from a definition to an image, cold and warm.
//!
//! Cold is an empty store and empty caches; warm is the same command again, which has nothing to do. The peer packs the very
//! tree that our image holds: `buildah` copies it into an empty container and commits that as an archive.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use super::measure::{median, row, time};

const WARM_RUNS: usize = 21;
const COLD_RUNS: usize = 3;

/// Arguments of `cargo xtask bench quick`.
#[derive(clap::Args)]
pub struct Arguments {
    /// The wharf binary to measure.
    #[arg(long, default_value = "target/x86_64-unknown-linux-gnu/release/wharf")]
    wharf: PathBuf,
    /// Definitions to build: files or directories.
    #[arg(default_value = "examples/registry")]
    definitions: Vec<PathBuf>,
}

/// A Wharf with a home and caches of its own.
struct Wharf<'a> {
    binary: &'a Path,
    home: TempDir,
}

impl<'a> Wharf<'a> {
    fn new(binary: &'a Path) -> Result<Self> {
        Ok(Self { binary, home: TempDir::new()? })
    }

    fn command(&self, verb: &str, definition: &Path) -> Command {
        let mut command = Command::new(self.binary);
        command.env("WHARF_HOME", self.home.path().join("home")).env("WHARF_CACHE", self.home.path().join("cache"));
        command.arg(verb).arg(definition);
        command
    }

    fn build(&self, definition: &Path) -> Command {
        let mut command = self.command("build", definition);
        command.arg("--out-link").arg(self.home.path().join("result"));
        command
    }
}

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
    let binary = arguments.wharf.canonicalize()?;
    for definition in &arguments.definitions {
        let definition = definition.canonicalize().with_context(|| format!("{}", definition.display()))?;
        println!("{}", definition.display());
        measure_definition(&binary, &definition)?;
    }
    Ok(())
}

fn measure_definition(binary: &Path, definition: &Path) -> Result<()> {
    let cold = median(COLD_RUNS, || time(&mut Wharf::new(binary)?.build(definition)))?;
    let warm = Wharf::new(binary)?;
    time(&mut warm.build(definition))?;
    let peer = buildah(&warm.home.path().join("result"))?;
    row("cold: evaluate, build, pack, archive", cold, peer.map(|t| ("buildah", t)));
    let evaluate = median(WARM_RUNS, || time(&mut warm.command("instantiate", definition)))?;
    row("warm: evaluate to a derivation path", evaluate, None);
    let again = median(WARM_RUNS, || time(&mut warm.build(definition)))?;
    row("warm: build with nothing to do", again, None);
    Ok(())
}

/// The time that buildah takes to make an archive of the tree in `archive`; `None` where skopeo, umoci or buildah is missing.
fn buildah(archive: &Path) -> Result<Option<Duration>> {
    let missing =
        ["skopeo", "umoci", "buildah"].iter().find(|peer| Command::new(peer).arg("--version").output().is_err());
    if let Some(peer) = missing {
        println!("no comparison: needs {peer}");
        return Ok(None);
    }
    let work = TempDir::new()?;
    let layout = format!("{}:image", work.path().join("layout").display());
    time(
        Command::new("skopeo")
            .args(["copy", "--insecure-policy"])
            .arg(format!("oci-archive:{}", archive.display()))
            .arg(format!("oci:{layout}")),
    )?;
    let bundle = work.path().join("bundle");
    time(Command::new("umoci").args(["unpack", "--rootless", "--image", &layout]).arg(&bundle))?;
    let buildah = |args: &[&str]| {
        let mut command = Command::new("buildah");
        command.arg("--root").arg(work.path().join("root")).arg("--runroot").arg(work.path().join("run"));
        command.args(["--storage-driver", "vfs"]).args(args);
        command
    };
    let tree = bundle.join("rootfs").display().to_string();
    let target = format!("docker-archive:{}", work.path().join("out.tar").display());
    let mut total = Duration::ZERO;
    total += time(&mut buildah(&["from", "--name", "wharf-bench", "scratch"]))?;
    total += time(&mut buildah(&["copy", "wharf-bench", &tree, "/"]))?;
    total += time(&mut buildah(&["commit", "wharf-bench", &target]))?;
    time(&mut buildah(&["rm", "wharf-bench"]))?;
    Ok(Some(total))
}
