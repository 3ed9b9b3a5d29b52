//! Reading a process's output while watching the clock.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::error::Error;
use crate::spawn::{Child, Exit};

/// What a process may use up before it is killed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Watch {
    /// The time that it may run.
    pub time: Option<Duration>,
    /// The time that it may say nothing.
    pub silence: Option<Duration>,
    /// The bytes that it may say.
    pub output: Option<u64>,
}

/// Why a process has ended. In every case it and all its descendants are gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// By itself.
    Exit(Exit),
    /// Killed, since it ran for longer than this.
    TooLong(Duration),
    /// Killed, since it said nothing for longer than this.
    TooSilent(Duration),
    /// Killed, since it said more than this many bytes.
    TooMuch(u64),
    /// Killed, since the caller did not want it any more.
    Cancelled,
}

/// What one wait has brought.
enum Event {
    Output,
    Ended,
    Cancelled,
    Deadline(Ending),
}

impl Child {
    /// Passes everything that arrives on `output` to `each` until the process has ended, and kills it when it exceeds
    /// a limit of `watch` or when `cancel` becomes readable.
    ///
    /// # Errors
    /// [`Error::System`] if the output cannot be read.
    pub fn follow(
        &mut self,
        output: OwnedFd,
        watch: &Watch,
        cancel: Option<BorrowedFd<'_>>,
        each: &mut dyn FnMut(&[u8]),
    ) -> Result<Ending, Error> {
        let mut reader = Reader { output: Some(output), buffer: vec![0; 64 << 10], total: 0 };
        let start = Instant::now();
        let mut heard = start;
        loop {
            let event = self.next_event(reader.output.as_ref(), cancel, deadline(watch, start, heard))?;
            let ending = match event {
                Event::Output => {
                    heard = Instant::now();
                    reader.read(each)?;
                    match watch.output {
                        Some(limit) if reader.total > limit => Ending::TooMuch(limit),
                        _ => continue,
                    }
                }
                Event::Ended => {
                    self.kill_leavings();
                    // Every writer is gone with the namespace, or was killed, so this ends.
                    while reader.output.as_ref().is_some_and(|output| self.may_wait_for(output)) {
                        reader.read(each)?;
                    }
                    return self.wait().map(Ending::Exit);
                }
                Event::Cancelled => Ending::Cancelled,
                Event::Deadline(ending) => ending,
            };
            self.kill()?;
            self.wait()?;
            return Ok(ending);
        }
    }

    /// Whether reading from the output of a process that has ended comes to an end. Without namespaces, something that hides
    /// may still hold it open.
    fn may_wait_for(&self, output: &OwnedFd) -> bool {
        let mut polled = [PollFd::from_borrowed_fd(output.as_fd(), PollFlags::IN)];
        !self.can_leave_something() || poll(&mut polled, Some(&timespec(Duration::ZERO))).is_ok_and(|ready| ready > 0)
    }

    fn next_event(
        &self,
        output: Option<&OwnedFd>,
        cancel: Option<BorrowedFd<'_>>,
        deadline: Option<(Instant, Ending)>,
    ) -> Result<Event, Error> {
        let mut polled = vec![PollFd::from_borrowed_fd(self.handle(), PollFlags::IN)];
        polled.extend(cancel.map(|cancel| PollFd::from_borrowed_fd(cancel, PollFlags::IN)));
        polled.extend(output.map(|output| PollFd::from_borrowed_fd(output.as_fd(), PollFlags::IN)));
        let timeout = deadline.map(|(instant, _)| timespec(instant.saturating_duration_since(Instant::now())));
        loop {
            match (poll(&mut polled, timeout.as_ref()), deadline) {
                (Err(Errno::INTR), _) => {}
                (Err(errno), _) => {
                    return Err(Error::System { what: "wait for output", source: errno.into() });
                }
                (Ok(0), Some((_, ending))) => return Ok(Event::Deadline(ending)),
                (Ok(_), _) => break,
            }
        }
        let ready: Vec<bool> = polled.iter().map(|polled| !polled.revents().is_empty()).collect();
        Ok(match (ready.as_slice(), cancel.is_some()) {
            ([_, true, ..], true) => Event::Cancelled,
            ([.., true], true) if ready.len() == 3 => Event::Output,
            ([_, true], false) => Event::Output,
            _ => Event::Ended,
        })
    }
}

struct Reader {
    output: Option<OwnedFd>,
    buffer: Vec<u8>,
    total: u64,
}

impl Reader {
    /// Reads once; the end closes the output.
    fn read(&mut self, each: &mut dyn FnMut(&[u8])) -> Result<(), Error> {
        let Some(output) = &self.output else {
            return Ok(());
        };
        match rustix::io::read(output, &mut self.buffer[..]) {
            // EIO is how a pseudo-terminal says that its last user is gone.
            Ok(0) | Err(Errno::IO) => self.output = None,
            Ok(count) => {
                self.total += count as u64;
                each(&self.buffer[..count]);
            }
            Err(Errno::INTR) => {}
            Err(errno) => {
                return Err(Error::System { what: "read the process's output", source: errno.into() });
            }
        }
        Ok(())
    }
}

/// The next moment at which a limit is exceeded, and which.
fn deadline(watch: &Watch, start: Instant, heard: Instant) -> Option<(Instant, Ending)> {
    let time = watch.time.and_then(|time| Some((start.checked_add(time)?, Ending::TooLong(time))));
    let silence = watch.silence.and_then(|silence| Some((heard.checked_add(silence)?, Ending::TooSilent(silence))));
    match (time, silence) {
        (Some(time), Some(silence)) => Some(if time.0 <= silence.0 { time } else { silence }),
        (time, silence) => time.or(silence),
    }
}

fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(duration.subsec_nanos()),
    }
}
