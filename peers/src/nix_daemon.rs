//! A `nix-daemon` over a store of its own.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::{Daemon, available, command, find, succeed};

/// A directory with a whole system in which there is another version of Nix, to be tested instead of the installed one.
const OTHER_SYSTEM: &str = "WHARF_NIX_ROOT";

/// Makes `$0` the root directory and runs the rest of the words. With chroot(2), the kernel would allow no sandbox in it. What
/// lies below it keeps its path too, since links are roots by their paths.
const ENTER: &str = "mount --rbind \"$0\" \"$0\" && cd \"$0\" && mkdir -p mnt/old \".$0\" && mount --rbind \"$0\" \".$0\" \
     && pivot_root . mnt/old && cd / && exec \"$@\"";

/// The name of the sandbox's shell: busybox is what its own name says.
const SHELL: &str = "sh";

/// A running daemon, and its store.
pub struct NixDaemon {
    daemon: Daemon,
    dir: TempDir,
    system: Option<PathBuf>,
    /// The settings as words of a shell.
    settings: String,
}

impl NixDaemon {
    /// Starts one that anybody may ask, or says what is missing. `options` are settings by name and value.
    ///
    /// # Panics
    /// When it does not come up, or is missing and required.
    pub fn start(options: &[(&str, &str)]) -> Option<Self> {
        let system = std::env::var_os(OTHER_SYSTEM).map(PathBuf::from);
        let there = match &system {
            Some(system) => system.join("usr/bin/nix-daemon").exists() || crate::missing("nix-daemon"),
            None => available(&["nix-daemon"]),
        };
        if !there || find("busybox").is_none() && !crate::missing("busybox") {
            return None;
        }
        let parent = system.as_ref().map_or_else(std::env::temp_dir, |system| system.join("tmp"));
        let dir = tempfile::tempdir_in(parent).expect("a temporary directory");
        // Also for another user than the one who runs the test.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("its mode");
        let shell = dir.path().join(SHELL);
        fs::copy(find("busybox").expect("busybox"), &shell).expect("a shell for the sandbox");
        // The daemon has a process per connection, the one that only looks whether it is up included; two that make the same
        // store at once are in each other's way, and one of them ends.
        succeed(Self::nix(&dir, system.as_deref(), "nix-store").arg("--init"));
        let mut nix = Self::nix(&dir, system.as_deref(), "nix-daemon");
        nix.env("NIX_DAEMON_SOCKET_PATH", inside(&dir.path().join("socket"), system.as_deref()));
        nix.args(settings(&inside(&shell, system.as_deref())));
        for (name, value) in options {
            nix.args(["--option", name, value]);
        }
        let mut daemon = Daemon::start(&mut nix, &dir.path().join("log"));
        let socket = dir.path().join("socket");
        daemon.wait_until(|| UnixStream::connect(&socket).is_ok());
        let settings = options.iter().map(|(name, value)| format!(" --option {name} '{value}'")).collect();
        Some(Self { daemon, dir, system, settings })
    }

    fn nix(dir: &TempDir, system: Option<&Path>, program: &str) -> Command {
        let mut nix = match system {
            Some(system) => {
                let mut enter = command("unshare");
                enter.args(["--mount", "sh", "-c", ENTER]).arg(system).arg(format!("/usr/bin/{program}"));
                enter
            }
            None => command(program),
        };
        let root = inside(&dir.path().join("root"), system);
        nix.env("NIX_REMOTE", format!("local?root={}", root.display())).env("HOME", "/tmp").env_remove("NIX_PATH");
        nix.env("NIX_CONFIG", "experimental-features = nix-command ca-derivations dynamic-derivations");
        nix
    }

    /// Where it listens.
    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("socket")
    }

    /// The directory below which its `/nix` lies.
    pub fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    /// How its store is named.
    pub fn address(&self) -> String {
        format!("unix://{}?root={}", self.socket().display(), self.root().display())
    }

    /// A directory that everybody may write to, gone with the daemon.
    pub fn shared(&self, name: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::create_dir_all(&path).expect("a directory");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).expect("its mode");
        path
    }

    /// What it has complained with.
    pub fn log(&self) -> String {
        self.daemon.log()
    }

    /// A program of Nix that works on the same store without the daemon.
    pub fn program(&self, name: &str) -> Command {
        Self::nix(&self.dir, self.system.as_deref(), name)
    }

    /// The directory that is `/` for its programs.
    pub fn system(&self) -> &Path {
        self.system.as_deref().unwrap_or(Path::new("/"))
    }

    /// The arguments with which a program builds as the daemon does.
    pub fn settings(&self) -> Vec<String> {
        settings(&inside(&self.dir.path().join(SHELL), self.system.as_deref()))
    }

    /// A script that is a daemon for standard input and output: what `ssh` starts. Without `trusted`, it is this daemon
    /// that decides whom it trusts.
    pub fn script(&self, trusted: bool) -> PathBuf {
        let script = self.dir.path().join(if trusted { "trusting" } else { "asking" });
        let system = self.system.as_deref();
        // A newer daemon that is asked through its socket does not find the archives of a store that is below a directory;
        // it can be told not to trust, instead.
        let (remote, more) = match (trusted, system) {
            (false, None) => (format!("unix://{}", self.socket().display()), ""),
            (false, _) => (format!("local?root={}", inside(&self.root(), system).display()), " --force-untrusted"),
            (true, _) => (format!("local?root={}", inside(&self.root(), system).display()), ""),
        };
        let enter = system.map(|system| format!("unshare --mount sh -c '{ENTER}' {} /usr/bin/", system.display()));
        let enter = enter.unwrap_or_default();
        let quoted: Vec<String> = self.settings().iter().map(|word| format!("'{word}'")).collect();
        let settings = format!("{}{}{more}", quoted.join(" "), self.settings);
        let text = format!(
            "#!/bin/sh\nexport PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp NIX_REMOTE='{remote}'\n\
             export NIX_CONFIG='experimental-features = nix-command ca-derivations dynamic-derivations daemon-trust-override'\n\
             exec {enter}nix-daemon \"$@\" {settings}\n"
        );
        fs::write(&script, text).expect("a script");
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("its mode");
        script
    }
}

/// How builds are made, with this program as `/bin/sh`.
fn settings(shell: &Path) -> Vec<String> {
    let shell = format!("/bin/sh={}", shell.display());
    let pairs = [("build-users-group", ""), ("substituters", ""), ("sandbox", "true"), ("sandbox-paths", &shell)];
    pairs.iter().flat_map(|(name, value)| ["--option", name, value].map(str::to_owned)).collect()
}

/// Where a path is for a program in another system.
fn inside(path: &Path, system: Option<&Path>) -> PathBuf {
    match system.and_then(|system| path.strip_prefix(system).ok()) {
        Some(rest) => Path::new("/").join(rest),
        None => path.to_owned(),
    }
}
