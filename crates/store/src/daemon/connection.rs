//! One connection to a daemon: how it begins, and a question with its answer.

use std::io::{self, BufReader, BufWriter, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix_formats::worker::{
    CLIENT_MAGIC, DAEMON_MAGIC, Field, FrameWriter, Message, Version, WireError, WireReader, WireWriter,
};

use super::report::Reports;
use super::ssh::SshProcess;
use super::{DaemonOptions, Failure};
use crate::progress::{Progress, Silent};

pub(super) type Input = BufReader<Box<dyn Read + Send>>;
pub(super) type Output = BufWriter<Box<dyn Write + Send>>;

const BUFFER: usize = 64 * 1024;
const SET_OPTIONS: u64 = 19;
/// How much a daemon says: all that builds and substitutions report, and not what it debugs.
const VERBOSITY: u64 = 3;
const ONLY_ERRORS: u64 = 0;
/// What a daemon may say before it answers a question that is not about a build, in bytes.
const LONGEST_PREAMBLE: u64 = 64 * 1024 * 1024;

/// The two directions of a connection.
pub(super) struct Streams {
    pub input: Box<dyn Read + Send>,
    pub output: Box<dyn Write + Send>,
    pub peer: Peer,
}

/// Who is at the other end.
pub(super) enum Peer {
    Socket(UnixStream),
    /// A program that we have started.
    Ssh(SshProcess),
}

impl Peer {
    /// How long reading and writing may wait.
    fn set_patience(&self, patience: Option<Duration>) -> io::Result<()> {
        match self {
            Self::Socket(socket) => {
                socket.set_read_timeout(patience)?;
                socket.set_write_timeout(patience)
            }
            // It has its own.
            Self::Ssh(_) => Ok(()),
        }
    }
}

impl Streams {
    pub fn of_socket(socket: UnixStream) -> io::Result<Self> {
        let (input, output) = (socket.try_clone()?, socket.try_clone()?);
        Ok(Self { input: Box::new(input), output: Box::new(output), peer: Peer::Socket(socket) })
    }
}

/// Ends a connection that another thread waits on.
pub(super) enum Stopper {
    Socket(UnixStream),
    Process(rustix::process::Pid),
}

impl Stopper {
    pub fn stop(&self) {
        // One that is over already needs no end.
        match self {
            Self::Socket(socket) => drop(socket.shutdown(Shutdown::Both)),
            Self::Process(pid) => drop(rustix::process::kill_process(*pid, rustix::process::Signal::KILL)),
        }
    }
}

/// An open connection, on which nothing is under way.
pub(super) struct Connection {
    input: WireReader<Input>,
    output: WireWriter<Output>,
    pub version: Version,
    pub nix_version: String,
    pub trusts_us: Option<bool>,
    peer: Peer,
}

impl Connection {
    /// Greets the daemon, which must not be silent for longer than `patience` until [`Connection::wait_from_now_on`]. Of one
    /// that was started for it, the error tells what it has complained with.
    pub fn open(streams: Streams, patience: Duration) -> Result<Self, WireError> {
        let Streams { input, output, mut peer } = streams;
        peer.set_patience(Some(patience))?;
        match Self::greet(input, output) {
            Ok((input, output, greeting)) => {
                let Greeting { version, nix_version, trusts_us } = greeting;
                Ok(Self { input, output, version, nix_version, trusts_us, peer })
            }
            Err(error) => Err(with_complaints(error, &mut peer)),
        }
    }

    fn greet(
        input: Box<dyn Read + Send>,
        output: Box<dyn Write + Send>,
    ) -> Result<(WireReader<Input>, WireWriter<Output>, Greeting), WireError> {
        let mut input = WireReader::new(BufReader::with_capacity(BUFFER, input));
        let mut output = WireWriter::new(BufWriter::with_capacity(BUFFER, output));
        output.number(CLIENT_MAGIC)?;
        output.number(Version::NEWEST.to_wire())?;
        output.flush()?;
        if input.number()? != DAEMON_MAGIC {
            return Err(WireError::Malformed("its greeting is not a Nix daemon's".to_owned()));
        }
        let theirs = Version::from_wire(input.number()?);
        let version = theirs.min(Version::NEWEST);
        if theirs.major != Version::NEWEST.major || version < Version::OLDEST {
            return Err(WireError::Malformed(format!(
                "it speaks version {theirs}, but only {} to {} are spoken here",
                Version::OLDEST,
                Version::NEWEST
            )));
        }
        if version.minor >= 38 {
            // Of the features that there are, none is needed here.
            output.strings::<&str>(&[])?;
            output.flush()?;
            input.strings()?;
        }
        // Which processor to use, and whether to keep space for the database: both mean nothing any more.
        output.number(0)?;
        output.flag(false)?;
        output.flush()?;
        let nix_version = input.string()?;
        let trusts_us = match version.minor >= 35 {
            true => match input.number()? {
                1 => Some(true),
                2 => Some(false),
                _ => None,
            },
            false => None,
        };
        match wait(&mut input, &Silent, Some(LONGEST_PREAMBLE)) {
            Ok(()) => Ok((input, output, Greeting { version, nix_version, trusts_us })),
            Err(Failure::Said(message)) => Err(WireError::Malformed(message)),
            Err(Failure::Lost(error)) => Err(error),
        }
    }

    /// Lets the daemon be silent for as long as a build takes.
    pub fn wait_from_now_on(&self) -> io::Result<()> {
        self.peer.set_patience(None)
    }

    /// What ends this connection while another thread waits on it.
    pub fn stopper(&self) -> io::Result<Stopper> {
        match &self.peer {
            Peer::Socket(socket) => Ok(Stopper::Socket(socket.try_clone()?)),
            Peer::Ssh(process) => {
                let pid = rustix::process::Pid::from_raw(process.id() as i32);
                pid.map(Stopper::Process).ok_or_else(|| io::Error::other("ssh has no process id"))
            }
        }
    }

    /// Adds to an error what the program at the other end has complained with. The connection is over then.
    pub fn explain(mut self, error: WireError) -> WireError {
        with_complaints(error, &mut self.peer)
    }

    pub fn set_options(&mut self, options: &DaemonOptions) -> Result<(), Failure> {
        self.call(
            SET_OPTIONS,
            &Silent,
            |out| {
                out.flag(options.keep_failed)?;
                out.flag(options.keep_going)?;
                // Build what cannot be substituted.
                out.flag(true)?;
                out.number(VERBOSITY)?;
                out.number(options.jobs)?;
                out.number(options.silence)?;
                out.flag(true)?;
                out.number(ONLY_ERRORS)?;
                // The kind of log and the trace of the build mean nothing any more.
                out.number(0)?;
                out.number(0)?;
                out.number(options.cores)?;
                out.flag(options.substitute)?;
                out.number(options.settings.len() as u64)?;
                options.settings.iter().try_for_each(|(name, value)| {
                    out.string(name)?;
                    out.string(value)
                })
            },
            |_, _| Ok(()),
        )
    }

    /// Asks, reports what the daemon says, and reads the answer.
    pub fn call<T>(
        &mut self,
        operation: u64,
        progress: &dyn Progress,
        question: impl FnOnce(&mut WireWriter<Output>) -> io::Result<()>,
        answer: impl FnOnce(&mut WireReader<Input>, Version) -> Result<T, WireError>,
    ) -> Result<T, Failure> {
        self.ask(operation, progress, Some(LONGEST_PREAMBLE), question, answer)
    }

    /// The same where the daemon may say as much as builders do. Whoever asks can stop it.
    pub fn build<T>(
        &mut self,
        operation: u64,
        progress: &dyn Progress,
        question: impl FnOnce(&mut WireWriter<Output>) -> io::Result<()>,
        answer: impl FnOnce(&mut WireReader<Input>, Version) -> Result<T, WireError>,
    ) -> Result<T, Failure> {
        self.ask(operation, progress, None, question, answer)
    }

    fn ask<T>(
        &mut self,
        operation: u64,
        progress: &dyn Progress,
        limit: Option<u64>,
        question: impl FnOnce(&mut WireWriter<Output>) -> io::Result<()>,
        answer: impl FnOnce(&mut WireReader<Input>, Version) -> Result<T, WireError>,
    ) -> Result<T, Failure> {
        self.output.number(operation)?;
        question(&mut self.output)?;
        self.output.flush()?;
        wait(&mut self.input, progress, limit)?;
        Ok(answer(&mut self.input, self.version)?)
    }

    /// The same with a content, which the daemon may refuse while it is being sent. `content` says whether it is whole.
    pub fn send<T>(
        &mut self,
        operation: u64,
        progress: &dyn Progress,
        question: impl FnOnce(&mut WireWriter<Output>) -> io::Result<()>,
        content: impl FnOnce(&mut dyn Write) -> bool,
        answer: impl FnOnce(&mut WireReader<Input>, Version) -> Result<T, WireError>,
    ) -> Result<T, Failure> {
        self.output.number(operation)?;
        question(&mut self.output)?;
        let (input, output) = (&mut self.input, &mut self.output);
        let is_over = AtomicBool::new(false);
        // What the daemon says has to be read meanwhile, or both wait for each other.
        let said = std::thread::scope(|scope| {
            let listening = scope.spawn(|| {
                let said = wait(input, progress, Some(LONGEST_PREAMBLE));
                is_over.store(true, Ordering::Relaxed);
                said
            });
            let mut frames = Stoppable { inner: FrameWriter::new(output.inner()), is_over: &is_over };
            content(&mut frames);
            let sent = frames.inner.finish();
            let said = listening.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            said.and_then(|()| Ok(sent?))
        });
        said?;
        Ok(answer(&mut self.input, self.version)?)
    }
}

/// What a daemon says of itself.
struct Greeting {
    version: Version,
    nix_version: String,
    trusts_us: Option<bool>,
}

fn with_complaints(error: WireError, peer: &mut Peer) -> WireError {
    let Peer::Ssh(process) = peer else { return error };
    match &process.end()[..] {
        [] => error,
        lines => io::Error::other(format!("{error}; ssh says: {}", lines.join("; "))).into(),
    }
}

/// Hears what a daemon says until its answer follows, at most `limit` bytes.
fn wait(input: &mut WireReader<Input>, progress: &dyn Progress, limit: Option<u64>) -> Result<(), Failure> {
    let mut reports = Reports::new(progress);
    let mut said = 0;
    loop {
        match Message::read(input)? {
            Message::Last => return Ok(()),
            Message::Error(message) => return Err(Failure::Said(message)),
            other => {
                said += size(&other);
                if limit.is_some_and(|limit| said > limit) {
                    let what = format!("it says more than {LONGEST_PREAMBLE} bytes and does not answer");
                    return Err(WireError::Malformed(what).into());
                }
                reports.hear(other)?;
            }
        }
    }
}

/// About as long as a message is on its way.
fn size(message: &Message) -> u64 {
    let text = |text: &str| text.len() as u64 + 8;
    let fields = |fields: &[Field]| -> u64 {
        fields.iter().map(|field| if let Field::Text(field) = field { text(field) } else { 16 }).sum()
    };
    16 + match message {
        Message::Line(line) => text(line),
        Message::Start { text: line, fields: all, .. } => text(line) + fields(all),
        Message::Result { fields: all, .. } => fields(all),
        Message::Stop { .. } | Message::Last | Message::Error(_) => 0,
    }
}

/// Stops a content that the daemon does not want.
struct Stoppable<'a, W: Write> {
    inner: FrameWriter<W>,
    is_over: &'a AtomicBool,
}

impl<W: Write> Write for Stoppable<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.is_over.load(Ordering::Relaxed) {
            return Err(io::Error::new(io::ErrorKind::BrokenPipe, "the daemon wants no more"));
        }
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
