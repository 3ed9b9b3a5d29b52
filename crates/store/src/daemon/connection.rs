//! One connection to a daemon: how it begins, and a question with its answer.

use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::Child;
use std::sync::atomic::{AtomicBool, Ordering};

use nix_formats::worker::{
    CLIENT_MAGIC, DAEMON_MAGIC, FrameWriter, Message, Version, WireError, WireReader, WireWriter,
};

use super::report::Reports;
use super::{DaemonOptions, Failure};
use crate::progress::{Progress, Silent};

pub(super) type Input = BufReader<Box<dyn Read + Send>>;
pub(super) type Output = BufWriter<Box<dyn Write + Send>>;

const BUFFER: usize = 64 * 1024;
const SET_OPTIONS: u64 = 19;
/// How much a daemon says: all that builds and substitutions report, and not what it debugs.
const VERBOSITY: u64 = 3;
const ONLY_ERRORS: u64 = 0;

/// The two directions of a connection.
pub(super) struct Streams {
    pub input: Box<dyn Read + Send>,
    pub output: Box<dyn Write + Send>,
    /// The program at the other end, if we have started it.
    pub child: Option<Child>,
}

impl Streams {
    pub fn of_socket(socket: UnixStream) -> io::Result<Self> {
        Ok(Self { input: Box::new(socket.try_clone()?), output: Box::new(socket), child: None })
    }
}

/// An open connection, on which nothing is under way.
pub(super) struct Connection {
    input: WireReader<Input>,
    output: WireWriter<Output>,
    pub version: Version,
    pub nix_version: String,
    pub trusts_us: Option<bool>,
    child: Option<Child>,
}

impl Connection {
    /// Greets the daemon.
    pub fn open(streams: Streams) -> Result<Self, WireError> {
        let mut input = WireReader::new(BufReader::with_capacity(BUFFER, streams.input));
        let mut output = WireWriter::new(BufWriter::with_capacity(BUFFER, streams.output));
        output.number(CLIENT_MAGIC)?;
        output.number(Version::NEWEST.to_wire())?;
        output.flush()?;
        let malformed = |what: String| Err(WireError::Malformed(what));
        if input.number()? != DAEMON_MAGIC {
            return malformed("its greeting is not a Nix daemon's".to_owned());
        }
        let theirs = Version::from_wire(input.number()?);
        let version = theirs.min(Version::NEWEST);
        if theirs.major != Version::NEWEST.major || version < Version::OLDEST {
            return malformed(format!(
                "it speaks version {theirs}, but only {} to {} are spoken here",
                Version::OLDEST,
                Version::NEWEST
            ));
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
        let mut connection = Self { input, output, version, nix_version, trusts_us, child: streams.child };
        match connection.wait(&Silent) {
            Ok(()) => Ok(connection),
            Err(Failure::Said(message)) => malformed(message),
            Err(Failure::Lost(error)) => Err(error),
        }
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
                // No limit to a builder's silence but the daemon's own.
                out.number(0)?;
                out.flag(true)?;
                out.number(ONLY_ERRORS)?;
                // The kind of log and the trace of the build mean nothing any more.
                out.number(0)?;
                out.number(0)?;
                out.number(options.cores)?;
                out.flag(options.substitute)?;
                // Settings by name: none.
                out.number(0)
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
        self.output.number(operation)?;
        question(&mut self.output)?;
        self.output.flush()?;
        self.wait(progress)?;
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
                let said = wait(input, progress);
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

    /// Reports what the daemon says until its answer comes.
    fn wait(&mut self, progress: &dyn Progress) -> Result<(), Failure> {
        wait(&mut self.input, progress)
    }
}

fn wait(input: &mut WireReader<Input>, progress: &dyn Progress) -> Result<(), Failure> {
    let mut reports = Reports::new(progress);
    loop {
        match Message::read(input)? {
            Message::Last => return Ok(()),
            Message::Error(message) => return Err(Failure::Said(message)),
            other => reports.hear(other),
        }
    }
}

/// Ends with the connection: a daemon started through ssh sees that its input is closed.
impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
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
