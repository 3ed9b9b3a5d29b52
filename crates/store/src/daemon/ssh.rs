//! A daemon on another machine, through the system's `ssh`.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::connection::Streams;

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
#[derive(Clone, Debug, Default)]
pub struct SshOptions {
    /// The file with the user's key.
    pub key: Option<PathBuf>,
    /// More options, as `NIX_SSHOPTS` has them.
    pub options: Vec<String>,
    /// The program to run there instead of `nix-daemon`.
    pub program: Option<String>,
    /// The store of that program, instead of its own.
    pub remote_store: Option<String>,
}

impl SshOptions {
    pub(super) fn start(&self, host: &SshHost) -> io::Result<Streams> {
        let mut ssh = Command::new("ssh");
        ssh.arg("-x").args(&self.options);
        if let Some(key) = &self.key {
            ssh.arg("-i").arg(key);
        }
        if let Some(port) = host.port {
            ssh.arg("-p").arg(port.to_string());
        }
        ssh.arg("--").arg(&host.destination).arg(self.program.as_deref().unwrap_or("nix-daemon")).arg("--stdio");
        if let Some(store) = &self.remote_store {
            ssh.arg("--store").arg(store);
        }
        let mut child = ssh.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (output, input) = (child.stdin.take(), child.stdout.take());
        let missing = || io::Error::other("ssh has no pipes");
        Ok(Streams {
            input: Box::new(input.ok_or_else(missing)?),
            output: Box::new(output.ok_or_else(missing)?),
            child: Some(child),
        })
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
