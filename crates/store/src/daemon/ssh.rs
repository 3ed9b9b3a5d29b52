//! A daemon on another machine, through the system's `ssh`.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tempfile::NamedTempFile;

use super::connection::{Peer, Streams};

/// How many of the last lines that `ssh` has written an error shows.
const LAST_LINES: usize = 8;
/// A longer line is taken in pieces of this many bytes.
const LONGEST_LINE: u64 = 4096;

/// A host, as `user@host` and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SshHost {
    destination: String,
    port: Option<u16>,
}

impl SshHost {
    /// Parses `[user@]host[:port]`. `None` for what `ssh` would not take for a host.
    pub fn parse(text: &str) -> Option<Self> {
        // After brackets, as around an IPv6 address, a colon separates the port; without, only a single one does.
        let (destination, port) = match text.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, Some(port.parse().ok()?)),
            _ => (text, None),
        };
        let destination = destination.replace(['[', ']'], "");
        let host = destination.rsplit('@').next().unwrap_or_default();
        // What begins with a dash would be an option.
        let fits = |part: &str| !part.is_empty() && !part.starts_with('-') && !part.contains(char::is_whitespace);
        (fits(&destination) && fits(host)).then_some(Self { destination, port })
    }
}

impl fmt::Display for SshHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => write!(f, "{}:{port}", self.destination),
            None => f.write_str(&self.destination),
        }
    }
}

/// How `ssh` is started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SshOptions {
    /// The file with the user's key.
    pub key: Option<PathBuf>,
    /// More options, as `NIX_SSHOPTS` has them.
    pub options: Vec<String>,
    /// The program to run there instead of `nix-daemon`.
    pub program: Option<String>,
    /// The store of that program, instead of its own.
    pub remote_store: Option<String>,
    /// The host's own public key, as `ssh-ed25519 AAAA…`; without it, the user's known hosts count.
    pub host_key: Option<String>,
    /// Whether what is sent is compressed on the way.
    pub compress: bool,
}

impl SshOptions {
    pub(super) fn start(&self, host: &SshHost) -> io::Result<Streams> {
        let mut ssh = Command::new("ssh");
        ssh.arg("-x").args(&self.options);
        if let Some(key) = &self.key {
            ssh.arg("-i").arg(key);
        }
        let known_hosts = self.host_key.as_deref().map(|key| host.known_as(key)).transpose()?;
        if let Some(file) = &known_hosts {
            ssh.arg(format!("-oUserKnownHostsFile={}", file.path().display()));
        }
        if self.compress {
            ssh.arg("-C");
        }
        if let Some(port) = host.port {
            ssh.arg("-p").arg(port.to_string());
        }
        ssh.arg("--").arg(&host.destination).arg(self.program.as_deref().unwrap_or("nix-daemon")).arg("--stdio");
        if let Some(store) = &self.remote_store {
            ssh.arg("--store").arg(store);
        }
        ssh.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child =
            ssh.spawn().map_err(|error| io::Error::new(error.kind(), format!("cannot start ssh: {error}")))?;
        let (output, input, errors) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let missing = || io::Error::other("ssh has no pipes");
        let errors = errors.ok_or_else(missing)?;
        Ok(Streams {
            input: Box::new(input.ok_or_else(missing)?),
            output: Box::new(output.ok_or_else(missing)?),
            peer: Peer::Ssh(SshProcess::new(child, errors, known_hosts)),
        })
    }
}

impl SshHost {
    /// A file of known hosts in which this one has a key.
    fn known_as(&self, key: &str) -> io::Result<NamedTempFile> {
        let host = self.destination.rsplit('@').next().unwrap_or_default();
        let name = match self.port {
            Some(port) => format!("[{host}]:{port}"),
            None => host.to_owned(),
        };
        let mut file = NamedTempFile::new()?;
        writeln!(file, "{name} {key}")?;
        file.flush()?;
        Ok(file)
    }
}

/// A running `ssh`, ended when it is dropped: the daemon at its other end sees that its input is closed.
pub(super) struct SshProcess {
    child: Child,
    said: Arc<Mutex<VecDeque<String>>>,
    listening: Option<JoinHandle<()>>,
    _known_hosts: Option<NamedTempFile>,
}

impl SshProcess {
    fn new(child: Child, errors: ChildStderr, known_hosts: Option<NamedTempFile>) -> Self {
        let said = Arc::new(Mutex::new(VecDeque::new()));
        let lines = Arc::clone(&said);
        let listening = std::thread::spawn(move || {
            let mut errors = BufReader::new(errors);
            let mut line = Vec::new();
            while (&mut errors).take(LONGEST_LINE).read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
                let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
                if lines.len() == LAST_LINES {
                    lines.pop_front();
                }
                lines.push_back(String::from_utf8_lossy(&line).trim_end().to_owned());
                line.clear();
            }
        });
        Self { child, said, listening: Some(listening), _known_hosts: known_hosts }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends it; the last lines that it, or the program that it has started, has complained with.
    pub fn end(&mut self) -> Vec<String> {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(listening) = self.listening.take() {
            let _ = listening.join();
        }
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.drain(..).filter(|line| !line.is_empty()).collect()
    }
}

impl Drop for SshProcess {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_no_options() {
        for (text, shown) in [("h", "h"), ("u@h:22", "u@h:22"), ("[::1]:22", "::1:22"), ("fe80::1", "fe80::1")] {
            assert_eq!(SshHost::parse(text).unwrap().to_string(), shown);
        }
        for text in ["", "-oProxyCommand=x", "u@-x", "h:port", "a b"] {
            assert_eq!(SshHost::parse(text), None, "{text}");
        }
    }
}
