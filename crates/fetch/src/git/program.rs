//! The machine's `git` program. It is what fetches, since it knows the user's keys, helpers, proxies and rewritten
//! addresses; what it has fetched is read without it.

use std::collections::VecDeque;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use store::progress::Task;
use url::Url;

use super::transfer::received;
use crate::{FetchError, Fetcher};

/// Variables that say where a repository is: they are meant for another one, as when this runs in a hook.
const FOREIGN: [&str; 9] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_NAMESPACE",
    "GIT_SHALLOW_FILE",
    "GIT_PREFIX",
];
/// How many of the last lines of git's own words an error has.
const LINES_IN_ERROR: usize = 12;

/// How git is run.
#[derive(Clone, Debug)]
pub struct GitProgram {
    /// Its name, which is looked for in `PATH`, or its path.
    pub program: PathBuf,
    /// Whether it, and the ssh that it runs, may ask the user for passwords.
    pub interactive: bool,
}

impl Default for GitProgram {
    fn default() -> Self {
        Self { program: "git".into(), interactive: false }
    }
}

/// An address as git gets it, and what it must not show.
#[derive(Clone)]
pub(super) struct Remote {
    /// The address without a password.
    pub url: String,
    /// The header that says who the user is, and for which addresses.
    header: Option<(String, String)>,
}

impl Remote {
    /// Takes the password out of an address: command lines are for everybody on the machine to see.
    pub fn new(url: &str) -> Self {
        let Ok(mut parsed) = Url::parse(url) else { return Self { url: url.to_owned(), header: None } };
        let Some(password) = parsed.password().map(str::to_owned) else {
            return Self { url: url.to_owned(), header: None };
        };
        let user = parsed.username().to_owned();
        let _ = parsed.set_password(None);
        let is_http = matches!(parsed.scheme(), "http" | "https");
        if is_http {
            let _ = parsed.set_username("");
        }
        let scope = format!("http.{}.extraHeader", parsed.origin().ascii_serialization());
        let header = is_http.then(|| (scope, crate::network::basic_header(&user, &password)));
        Self { url: parsed.to_string(), header }
    }
}

impl GitProgram {
    /// Runs git and returns what it prints.
    pub(super) fn run(
        &self,
        directory: Option<&Path>,
        arguments: &[&str],
        remote: &Remote,
        task: &Task<'_>,
    ) -> Result<String, FetchError> {
        let mut command = self.command(directory, remote);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().map_err(|error| self.absent(&remote.url, &error))?;
        let failed = |message: String| FetchError::GitFetch { url: remote.url.clone(), message };
        let (output, said, succeeded) = attend(child, task).map_err(|error| failed(error.to_string()))?;
        match succeeded {
            true => Ok(String::from_utf8_lossy(&output).into_owned()),
            false => Err(failed(self.explain(said))),
        }
    }

    fn command(&self, directory: Option<&Path>, remote: &Remote) -> Command {
        let mut command = Command::new(&self.program);
        if let Some(directory) = directory {
            command.arg("-C").arg(directory).args(["--git-dir", "."]);
        }
        // What tidies up in the background would outlive this program.
        command.args(["-c", "gc.autoDetach=false", "-c", "maintenance.autoDetach=false"]);
        for name in FOREIGN {
            command.env_remove(name);
        }
        // Messages are read here too.
        command.env("LC_ALL", "C");
        if !self.interactive {
            command.env("GIT_TERMINAL_PROMPT", "0").env("GIT_ASKPASS", "").env("SSH_ASKPASS_REQUIRE", "never");
            if !self.has_own_ssh() {
                command.env("GIT_SSH_COMMAND", "ssh -oBatchMode=yes");
            }
        }
        if let Some((name, value)) = &remote.header {
            let count: usize = std::env::var("GIT_CONFIG_COUNT").ok().and_then(|count| count.parse().ok()).unwrap_or(0);
            command.env("GIT_CONFIG_COUNT", (count + 1).to_string());
            command.env(format!("GIT_CONFIG_KEY_{count}"), name).env(format!("GIT_CONFIG_VALUE_{count}"), value);
        }
        command
    }

    /// Whether the user has said how ssh is run.
    fn has_own_ssh(&self) -> bool {
        let is_set = |name| std::env::var_os(name).is_some();
        let configured = || {
            let mut command = Command::new(&self.program);
            let output = command.args(["config", "--get", "core.sshCommand"]).stderr(Stdio::null()).output();
            output.is_ok_and(|output| output.status.success())
        };
        is_set("GIT_SSH") || is_set("GIT_SSH_COMMAND") || configured()
    }

    fn absent(&self, url: &str, error: &io::Error) -> FetchError {
        let program = self.program.display().to_string();
        let problem = match error.kind() {
            io::ErrorKind::NotFound => "is not installed".to_owned(),
            _ => format!("cannot be started: {error}"),
        };
        FetchError::NoGit { url: url.to_owned(), program, problem }
    }

    /// What git said, and what may be done about it.
    fn explain(&self, said: VecDeque<String>) -> String {
        let mut text = Vec::from(said).join("; ");
        let asks = ["could not read Username", "could not read Password", "Permission denied (", "terminal prompts"];
        if !self.interactive && asks.iter().any(|words| text.contains(words)) {
            text.push_str(
                " (nothing can be asked without a terminal: give git a credential helper, or ssh a key that an agent holds)",
            );
        }
        if text.is_empty() { "git failed and said nothing".to_owned() } else { text }
    }
}

impl Fetcher {
    /// Tells git of a file in a working tree, so that it is one of the tree's: as `git add --intent-to-add`, unless git is
    /// to ignore it. Without git it can only be said.
    pub fn track(&self, file: &Path) {
        let directory = file.parent().unwrap_or(Path::new("."));
        let run = |arguments: &[&str]| {
            let mut command = Command::new(&self.settings.git.program);
            command.arg("-C").arg(directory).args(arguments).arg("--").arg(file).env("LC_ALL", "C");
            for name in FOREIGN {
                command.env_remove(name);
            }
            command.stdin(Stdio::null()).output().is_ok_and(|output| output.status.success())
        };
        if !run(&["check-ignore", "--quiet"]) && !run(&["add", "--intent-to-add"]) {
            let message = format!("git does not know '{}' yet; run `git add {0}`", file.display());
            self.progress.warn(&message);
        }
    }
}

/// Reads what git prints and says until it ends: its output, the last lines of what it said, whether it succeeded.
fn attend(mut child: Child, task: &Task<'_>) -> io::Result<(Vec<u8>, VecDeque<String>, bool)> {
    let stdout = child.stdout.take();
    let reader = std::thread::spawn(move || {
        let mut output = Vec::new();
        if let Some(mut stdout) = stdout {
            let _ = stdout.read_to_end(&mut output);
        }
        output
    });
    let said = child.stderr.take().map(|stderr| listen(stderr, task)).unwrap_or_default();
    let status = child.wait()?;
    let output = reader.join().unwrap_or_default();
    Ok((output, said, status.success()))
}

/// Follows what git says: how much has come, and the last other lines.
fn listen(stderr: impl Read, task: &Task<'_>) -> VecDeque<String> {
    let mut said = VecDeque::new();
    let mut total = 0;
    let mut line = Vec::new();
    for byte in BufReader::new(stderr).bytes().map_while(Result::ok) {
        if !matches!(byte, b'\r' | b'\n') {
            // Nobody writes lines this long; what is longer is cut.
            if line.len() < 4096 {
                line.push(byte);
            }
            continue;
        }
        let text = String::from_utf8_lossy(&line).trim().to_owned();
        line.clear();
        if let Some(bytes) = received(&text) {
            task.advance(bytes.saturating_sub(total));
            total = total.max(bytes);
        } else if !text.is_empty() && !text.contains("% (") && !text.ends_with(", done.") {
            task.log(&text);
            if said.len() == LINES_IN_ERROR {
                said.pop_front();
            }
            said.push_back(text);
        }
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_not_for_command_lines() {
        let remote = Remote::new("https://me:hu%20sh@e.org:8443/r.git?x=y");
        assert_eq!(remote.url, "https://e.org:8443/r.git?x=y");
        let (name, value) = remote.header.unwrap();
        assert_eq!(
            (name.as_str(), value.as_str()),
            ("http.https://e.org:8443.extraHeader", "Authorization: Basic bWU6aHUgc2g=")
        );
        let remote = Remote::new("ssh://git:p@e.org/r");
        assert_eq!((remote.url.as_str(), remote.header), ("ssh://git@e.org/r", None));
        assert_eq!(Remote::new("https://me@e.org/r").url, "https://me@e.org/r");
    }
}
