//! Looking after a running container: signals go in, bytes of its terminal go both ways, until it ends.

use std::fs;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::termios::{OptionalActions, Termios};
use sandbox::{Child, Signal};

use crate::error::RuntimeError;

/// How long a container may take to end after it was asked to, before it is killed.
const GRACE: Duration = Duration::from_secs(10);

/// What is passed on.
const FORWARDED: [Signal; 7] =
    [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT, Signal::USR1, Signal::USR2, Signal::WINCH];

/// The signals that this process gets, as something to wait for. From when it is made they do not end the process.
pub(crate) struct Signals(Vec<(Signal, UnixStream, signal_hook::SigId)>);

impl Signals {
    pub fn catch() -> Result<Signals, RuntimeError> {
        let failed = || RuntimeError::file("watch for signals to", "the container");
        let mut signals = Vec::new();
        for signal in FORWARDED {
            let (read, write) = UnixStream::pair().map_err(failed())?;
            read.set_nonblocking(true).map_err(failed())?;
            let id = signal_hook::low_level::pipe::register(signal.as_raw(), write).map_err(failed())?;
            signals.push((signal, read, id));
        }
        Ok(Signals(signals))
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        for (_, _, id) in &self.0 {
            signal_hook::low_level::unregister(*id);
        }
    }
}

/// The host's side of a container's terminal.
pub(crate) struct Console {
    pub master: OwnedFd,
    /// Whether standard input is passed on.
    pub input: bool,
}

/// What has been asked of the container.
struct Attendance<'a> {
    child: &'a mut Child,
    stop_signal: Signal,
    /// When it is killed.
    deadline: Option<Instant>,
    /// The signal that it did not handle, and was killed for.
    unhandled: Option<Signal>,
}

/// Waits for the end of the container, and returns its exit code.
pub(crate) fn attend(
    child: &mut Child,
    signals: &Signals,
    console: Option<&Console>,
    stop_signal: Signal,
) -> Result<i32, RuntimeError> {
    let mut attendance = Attendance { child, stop_signal, deadline: None, unhandled: None };
    let _raw = console.filter(|console| console.input).and_then(|_| RawInput::new());
    let mut carried = Carried { console, input_open: console.is_some_and(|console| console.input), output_open: true };
    carried.resize();
    loop {
        let mut polled = vec![PollFd::from_borrowed_fd(attendance.child.handle(), PollFlags::IN)];
        polled.extend(signals.0.iter().map(|(_, pipe, _)| PollFd::new(pipe, PollFlags::IN)));
        carried.add_to(&mut polled);
        match poll(&mut polled, attendance.timeout().as_ref()) {
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(errno) => return Err(RuntimeError::file("wait for", "the container")(errno)),
        }
        let ready: Vec<bool> = polled.iter().map(|polled| !polled.revents().is_empty()).collect();
        drop(polled);
        let (own, others) = ready.split_at(1 + signals.0.len());
        carried.carry(others);
        if own.first() == Some(&true) {
            carried.drain();
            return attendance.ended();
        }
        for ((signal, pipe, _), _) in signals.0.iter().zip(&own[1..]).filter(|(_, ready)| **ready) {
            // Several at once count as one, as the kernel has it too.
            let _ = (&*pipe).read(&mut [0; 64]);
            match *signal {
                Signal::WINCH => carried.resize(),
                signal => attendance.pass_on(signal)?,
            }
        }
        if attendance.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            attendance.child.kill()?;
        }
    }
}

impl Attendance<'_> {
    fn timeout(&self) -> Option<Timespec> {
        let left = self.deadline?.saturating_duration_since(Instant::now());
        Some(Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() })
    }

    fn pass_on(&mut self, signal: Signal) -> Result<(), RuntimeError> {
        let ends = !matches!(signal, Signal::USR1 | Signal::USR2);
        // The second time somebody is impatient.
        if ends && self.deadline.is_some() {
            return Ok(self.child.kill()?);
        }
        let signal = if signal == Signal::TERM { self.stop_signal } else { signal };
        // The kernel drops what process 1 of a namespace does not handle, but it would have ended any other process.
        if !handles(self.child.id(), signal) {
            self.unhandled = Some(signal);
            return Ok(self.child.kill()?);
        }
        if ends {
            self.deadline = Some(Instant::now() + GRACE);
        }
        Ok(self.child.signal(signal)?)
    }

    fn ended(&mut self) -> Result<i32, RuntimeError> {
        let exit = self.child.wait()?;
        Ok(self.unhandled.map_or(exit.code(), |signal| 128 + signal.as_raw()))
    }
}

/// Whether a process catches, blocks or ignores a signal. A process that is gone does, as far as anybody cares.
fn handles(pid: i32, signal: Signal) -> bool {
    let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) else { return true };
    let masks = ["SigBlk:", "SigIgn:", "SigCgt:"];
    let mask = status
        .lines()
        .filter_map(|line| masks.iter().find_map(|name| line.strip_prefix(name)))
        .filter_map(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .fold(0, |all, mask| all | mask);
    mask >> (signal.as_raw() - 1) & 1 == 1
}

/// The bytes of a terminal on their way.
struct Carried<'a> {
    console: Option<&'a Console>,
    input_open: bool,
    output_open: bool,
}

impl<'a> Carried<'a> {
    fn add_to(&self, polled: &mut Vec<PollFd<'a>>) {
        let Some(console) = self.console else { return };
        if self.output_open {
            polled.push(PollFd::from_borrowed_fd(console.master.as_fd(), PollFlags::IN));
        }
        if self.input_open {
            polled.push(PollFd::from_borrowed_fd(rustix::stdio::stdin(), PollFlags::IN));
        }
    }

    fn carry(&mut self, ready: &[bool]) {
        let Some(console) = self.console else { return };
        let mut ready = ready.iter().copied();
        if self.output_open && ready.next() == Some(true) {
            self.output_open = copy(console.master.as_fd(), rustix::stdio::stdout());
        }
        if self.input_open && ready.next() == Some(true) {
            self.input_open = copy(rustix::stdio::stdin(), console.master.as_fd());
            if !self.input_open {
                // What a terminal takes for the end of its input.
                let _ = rustix::io::write(&console.master, &[4]);
            }
        }
    }

    /// Passes on what was written before the end.
    fn drain(&mut self) {
        let Some(console) = self.console else { return };
        let mut polled = [PollFd::from_borrowed_fd(console.master.as_fd(), PollFlags::IN)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        while self.output_open && poll(&mut polled, Some(&now)).is_ok_and(|count| count > 0) {
            self.output_open = copy(console.master.as_fd(), rustix::stdio::stdout());
        }
    }

    /// Gives the container's terminal the size of ours.
    fn resize(&self) {
        let Some(console) = self.console else { return };
        if let Ok(size) = rustix::termios::tcgetwinsize(rustix::stdio::stdout()) {
            // The size is a courtesy.
            let _ = rustix::termios::tcsetwinsize(&console.master, size);
        }
    }
}

/// Copies what is there; `false` at the end.
fn copy(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> bool {
    let mut buffer = [0; 8192];
    let count = match rustix::io::read(from, &mut buffer) {
        Err(Errno::INTR | Errno::AGAIN) => return true,
        Ok(0) | Err(_) => return false,
        Ok(count) => count,
    };
    let mut rest = &buffer[..count];
    while !rest.is_empty() {
        match rustix::io::write(to, rest) {
            Ok(written) => rest = &rest[written..],
            Err(Errno::INTR) => {}
            Err(_) => return false,
        }
    }
    true
}

/// Our own terminal passes on every key until this is dropped.
struct RawInput(Termios);

impl RawInput {
    fn new() -> Option<RawInput> {
        let before = rustix::termios::tcgetattr(rustix::stdio::stdin()).ok()?;
        let mut raw = before.clone();
        raw.make_raw();
        rustix::termios::tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, &raw).ok()?;
        Some(RawInput(before))
    }
}

impl Drop for RawInput {
    fn drop(&mut self) {
        let _ = rustix::termios::tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, &self.0);
    }
}

/// A copy of one of our own standard streams.
pub(crate) fn own_stream(stream: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    stream.try_clone_to_owned()
}
