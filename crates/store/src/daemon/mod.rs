//! The store of a machine's own Nix, through its daemon: by the worker protocol, over a Unix socket or through ssh.
//!
//! [`DaemonStore`] speaks every version of the protocol from 1.34 (Nix 2.8) to 1.38, with its negotiation of features. It
//! opens connections as they are needed and keeps them: temporary roots last as long as the connection on which they
//! were made.

mod address;
mod builds;
mod collect;
mod connection;
mod objects;
mod operations;
mod report;
mod source;
mod ssh;

use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix_formats::worker::{Version, WireError, WireReader, WireWriter};

use crate::StoreError;
use crate::progress::Progress;
use connection::{Connection, Streams};

pub use address::DaemonAddress;
pub use builds::Watching;
pub use operations::{DaemonRoot, Outlook};
pub use source::DaemonSource;
pub use ssh::{SshHost, SshOptions};

/// Where a daemon listens if nothing else is said.
pub const DEFAULT_SOCKET: &str = "/nix/var/nix/daemon-socket/socket";

/// What a daemon is told of how to work.
#[derive(Clone, Debug)]
pub struct DaemonOptions {
    /// Go on with what does not depend on a failed build.
    pub keep_going: bool,
    /// Keep the directory of a failed build.
    pub keep_failed: bool,
    /// How many derivations are built at the same time.
    pub jobs: u64,
    /// How many processors each build may use; 0 for all.
    pub cores: u64,
    /// Take what binary caches have.
    pub substitute: bool,
    /// After how many seconds of silence a builder is killed; 0 for what the daemon does without being told.
    pub silence: u64,
    /// Settings of Nix by name. Of most of them the daemon heeds only what users say whom it trusts.
    pub settings: Vec<(String, String)>,
    /// Take objects that nobody has signed. The daemon heeds it only from users whom it trusts.
    pub take_unsigned: bool,
    /// How long a daemon of this machine may take to greet. One that is stuck must not keep everybody waiting; afterwards it
    /// may be silent for as long as a build takes.
    pub patience: Duration,
}

impl Default for DaemonOptions {
    fn default() -> Self {
        Self {
            keep_going: false,
            keep_failed: false,
            jobs: 1,
            cores: 0,
            substitute: true,
            silence: 0,
            settings: Vec::new(),
            take_unsigned: false,
            patience: Duration::from_secs(20),
        }
    }
}

/// A way to a daemon.
enum Way {
    Socket(PathBuf),
    Ssh(SshHost, SshOptions),
}

/// The store behind a daemon.
pub struct DaemonStore {
    way: Way,
    address: String,
    options: DaemonOptions,
    progress: Arc<dyn Progress>,
    /// Where `/nix/store` lies in this machine's file system; `None` if the daemon is elsewhere.
    store_dir: Option<PathBuf>,
    idle: Mutex<Vec<Connection>>,
}

impl DaemonStore {
    /// The daemon that listens at a socket of this machine, whose objects lie in `store_dir`.
    ///
    /// # Errors
    /// Nobody answers there, or not in a version that is spoken here.
    pub fn open(
        socket: &Path,
        store_dir: &Path,
        options: DaemonOptions,
        progress: Arc<dyn Progress>,
    ) -> Result<Self, StoreError> {
        let address = socket.display().to_string();
        Self::connect_first(Way::Socket(socket.to_owned()), address, Some(store_dir.to_owned()), options, progress)
    }

    /// The daemon of another machine, started through the system's `ssh`.
    ///
    /// # Errors
    /// As with [`DaemonStore::open`].
    pub fn open_ssh(
        host: SshHost,
        ssh: SshOptions,
        options: DaemonOptions,
        progress: Arc<dyn Progress>,
    ) -> Result<Self, StoreError> {
        let address = format!("ssh-ng://{host}");
        Self::connect_first(Way::Ssh(host, ssh), address, None, options, progress)
    }

    fn connect_first(
        way: Way,
        address: String,
        store_dir: Option<PathBuf>,
        options: DaemonOptions,
        progress: Arc<dyn Progress>,
    ) -> Result<Self, StoreError> {
        let store = Self { way, address, options, progress, store_dir, idle: Mutex::default() };
        let first = store.connect()?;
        store.put_back(first);
        Ok(store)
    }

    /// How the daemon is named: its socket, or `ssh-ng://` and the host.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Where `/nix/store` lies in this machine's file system; `None` if the daemon is elsewhere.
    pub fn store_dir(&self) -> Option<&Path> {
        self.store_dir.as_deref()
    }

    /// The version of the protocol that both sides speak.
    pub fn version(&self) -> Result<Version, StoreError> {
        let connection = self.take()?;
        let version = connection.version;
        self.put_back(connection);
        Ok(version)
    }

    /// The version of the daemon's Nix, as it says.
    pub fn nix_version(&self) -> Result<String, StoreError> {
        let connection = self.take()?;
        let version = connection.nix_version.clone();
        self.put_back(connection);
        Ok(version)
    }

    /// Whether the daemon believes what we say of objects; `None` if it does not tell (before 1.35).
    pub fn trusts_us(&self) -> Result<Option<bool>, StoreError> {
        let connection = self.take()?;
        let trusts = connection.trusts_us;
        self.put_back(connection);
        Ok(trusts)
    }

    fn connect(&self) -> Result<Connection, StoreError> {
        let streams = match &self.way {
            Way::Socket(path) => UnixStream::connect(path).and_then(Streams::of_socket),
            Way::Ssh(host, options) => options.start(host),
        };
        let streams = streams.map_err(|error| self.lost(error.into()))?;
        let patience = self.options.patience;
        let of_greeting = |error| self.lost(of_greeting(error, patience));
        let mut connection = Connection::open(streams, patience).map_err(of_greeting)?;
        connection.set_options(&self.options).map_err(|failure| match failure {
            Failure::Lost(error) => of_greeting(error),
            said => self.explain(said),
        })?;
        connection.wait_from_now_on().map_err(|error| self.lost(error.into()))?;
        Ok(connection)
    }

    fn take(&self) -> Result<Connection, StoreError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.map_or_else(|| self.connect(), Ok)
    }

    fn put_back(&self, connection: Connection) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
    }

    /// Asks, and reads the answer. A connection that has failed is not used again.
    fn call<T>(
        &self,
        operation: u64,
        question: impl FnOnce(&mut WireWriter<connection::Output>) -> io::Result<()>,
        answer: impl FnOnce(&mut WireReader<connection::Input>, Version) -> Result<T, WireError>,
    ) -> Result<T, StoreError> {
        let mut connection = self.take()?;
        let result = connection.call(operation, &*self.progress, question, answer);
        self.settle(connection, result)
    }

    /// The same of what makes builders run, who may say much.
    fn call_build<T>(
        &self,
        operation: u64,
        question: impl FnOnce(&mut WireWriter<connection::Output>) -> io::Result<()>,
        answer: impl FnOnce(&mut WireReader<connection::Input>, Version) -> Result<T, WireError>,
    ) -> Result<T, StoreError> {
        let mut connection = self.take()?;
        let result = connection.build(operation, &*self.progress, question, answer);
        self.settle(connection, result)
    }

    /// Asks and sends a content with it. If `content` fails, its error is returned.
    fn send<T>(
        &self,
        operation: u64,
        question: impl FnOnce(&mut WireWriter<connection::Output>) -> io::Result<()>,
        content: impl FnOnce(&mut dyn Write) -> Result<(), StoreError>,
        answer: impl FnOnce(&mut WireReader<connection::Input>, Version) -> Result<T, WireError>,
    ) -> Result<T, StoreError> {
        let mut connection = self.take()?;
        let mut content_error = None;
        let result = connection.send(
            operation,
            &*self.progress,
            question,
            |out| content(out).map_err(|error| content_error = Some(error)).is_ok(),
            answer,
        );
        let result = self.settle(connection, result);
        match content_error {
            // The daemon complains too, of a content that ends too early.
            Some(error) if !matches!(result, Err(StoreError::DaemonLost { .. })) => Err(error),
            _ => result,
        }
    }

    fn settle<T>(&self, connection: Connection, result: Result<T, Failure>) -> Result<T, StoreError> {
        match result {
            Ok(answer) => {
                self.put_back(connection);
                Ok(answer)
            }
            Err(Failure::Said(message)) => {
                self.put_back(connection);
                Err(self.explain(Failure::Said(message)))
            }
            Err(Failure::Lost(error)) => Err(self.lost(connection.explain(error))),
        }
    }

    fn explain(&self, failure: Failure) -> StoreError {
        match failure {
            Failure::Said(message) => {
                StoreError::DaemonSaid { address: self.address.clone(), message: without_colours(&message) }
            }
            Failure::Lost(error) => self.lost(error),
        }
    }

    fn lost(&self, source: WireError) -> StoreError {
        StoreError::DaemonLost { address: self.address.clone(), source }
    }
}

/// What it means when a connection breaks off before the daemon has greeted.
fn of_greeting(error: WireError, patience: Duration) -> WireError {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof, WouldBlock};
    let WireError::Io(inner) = &error else { return error };
    let text = match inner.kind() {
        WouldBlock => format!("it does not answer, for {patience:?} now; is it stuck? --store own does without it"),
        UnexpectedEof | ConnectionReset | BrokenPipe => {
            "it hung up without a greeting; perhaps its setting 'allowed-users' leaves you out".to_owned()
        }
        _ => return error,
    };
    io::Error::other(text).into()
}

/// A text without the colours that a daemon gives it for a terminal.
pub fn without_colours(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for (index, piece) in text.split("\x1b[").enumerate() {
        // A sequence ends with its first letter.
        let rest =
            if index == 0 { piece } else { piece.split_once(|c: char| c.is_ascii_alphabetic()).map_or("", |p| p.1) };
        plain.push_str(rest);
    }
    plain
}

/// Why an operation has failed.
enum Failure {
    /// The daemon says so; the connection is as it was.
    Said(String),
    /// The connection is of no use any more.
    Lost(WireError),
}

impl From<WireError> for Failure {
    fn from(error: WireError) -> Self {
        Self::Lost(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Lost(error.into())
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn messages_are_plain() {
        assert_eq!(super::without_colours("a \x1b[31;1mred\x1b[0m b"), "a red b");
        assert_eq!(super::without_colours("plain\x1b["), "plain");
    }
}
