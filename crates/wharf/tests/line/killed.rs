//! `kill -9` at any moment leaves nothing half done: the next run succeeds, and nothing is left running or mounted.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use peers::succeed;
use tempfile::TempDir;

/// Builds for a second, with a process whose arguments no other program has.
fn definition(mark: &str) -> String {
    format!(
        r#"
{{ pkgs, ... }}:
pkgs.dockerTools.buildLayeredImage {{
  name = "killed";
  contents = [
    pkgs.userland
    (pkgs.runCommand "slow" {{ }} ''
      mkdir -p $out/share
      for i in 1 2 3 4 5 6 7 8 9 10; do seq $i 40000 >$out/share/$i; sleep 0.1{mark}; done
    '')
  ];
  config.Cmd = [ "${{pkgs.userland}}/bin/sleep" "60{mark}" ];
}}
"#
    )
}

struct Place {
    dir: TempDir,
    mark: String,
}

impl Place {
    fn new() -> Self {
        let dir = TempDir::new().expect("a temporary directory");
        // Digits that make an argument of `sleep` unique to this run and change nothing else.
        let mark = format!("000{}", std::process::id());
        fs::write(dir.path().join("image.nix"), definition(&mark)).expect("the definition");
        Self { dir, mark }
    }

    fn wharf(&self, verb: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wharf"));
        command.current_dir(self.dir.path()).env("HOME", self.dir.path()).env("WHARF_STORE", "own");
        command.env_remove("WHARF_HOME").env_remove("WHARF_CACHE").arg(verb);
        command
    }

    fn start(&self, arguments: &[&str]) -> Child {
        let mut command = self.wharf(arguments[0]);
        command.args(&arguments[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().expect("wharf starts")
    }

    /// Processes below this one's builds and containers that still run.
    fn left_running(&self) -> Vec<String> {
        let processes = fs::read_dir("/proc").expect("/proc").filter_map(Result::ok);
        let commands = processes.filter_map(|process| fs::read(process.path().join("cmdline")).ok());
        commands
            .map(|command| String::from_utf8_lossy(&command).replace('\0', " "))
            .filter(|command| command.contains("sleep") && command.contains(&self.mark))
            .collect()
    }

    /// Nothing runs and nothing is mounted, at the latest after a few seconds.
    fn is_clean(&self) {
        let start = Instant::now();
        while !self.left_running().is_empty() {
            assert!(start.elapsed() < Duration::from_secs(5), "still running: {:?}", self.left_running());
            sleep(Duration::from_millis(20));
        }
        let below = self.dir.path().display().to_string();
        let mounts = fs::read_to_string("/proc/self/mounts").expect("the mounts");
        assert!(!mounts.contains(&below), "still mounted:\n{mounts}");
    }
}

fn kill(mut child: Child) {
    child.kill().expect("SIGKILL");
    child.wait().expect("the end of the process");
}

fn is_empty(dir: &Path) -> bool {
    fs::read_dir(dir).map_or(true, |mut entries| entries.next().is_none())
}

#[test]
fn a_killed_build_leaves_nothing_half_done() {
    let place = Place::new();
    for milliseconds in [30, 150, 400, 800, 1200, 1700, 2500] {
        let child = place.start(&["build", "./image.nix"]);
        sleep(Duration::from_millis(milliseconds));
        kill(child);
        place.is_clean();
    }
    succeed(place.wharf("build").arg("./image.nix"));
    succeed(place.wharf("store").arg("verify"));
    assert!(place.dir.path().join("result").exists());
}

#[test]
fn a_killed_container_leaves_nothing_behind() {
    let place = Place::new();
    succeed(place.wharf("build").args(["--no-link", "./image.nix"]));
    for milliseconds in [50, 150, 400, 900] {
        let child = place.start(&["run", "./image.nix"]);
        sleep(Duration::from_millis(milliseconds));
        kill(child);
        place.is_clean();
    }
    // The next run tidies up what a killed one could not, and leaves nothing itself.
    let printed = succeed(place.wharf("run").args(["./image.nix", "--", "echo", "alive"]));
    assert_eq!(printed, "alive\n");
    let containers = place.dir.path().join(".cache/wharf/containers");
    assert!(is_empty(&containers), "{} is not empty", containers.display());
}
