//! Starting the child in its namespaces, and holding on to it.

use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::path::PathBuf;

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};

use crate::child::{self, Descriptors};
use crate::description::{IdMap, IdRange, Network, Root, Sandbox};
use crate::error::Error;
use crate::leavings::Leavings;
use crate::plan::{Plan, Step};

/// A running sandboxed process. Dropping it kills the process and all its descendants.
#[derive(Debug)]
pub struct Child {
    pid: Pid,
    handle: OwnedFd,
    exit: Option<Exit>,
    own_users: bool,
    /// What it may leave running, where the kernel does not see to that.
    leavings: Option<Leavings>,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It exited with this status.
    Status(i32),
    /// This signal killed it.
    Signal(i32),
}

impl Exit {
    /// Whether it exited with status 0.
    pub fn success(self) -> bool {
        self == Exit::Status(0)
    }

    /// The status by the convention of shells: 128 + the signal's number for a killed process.
    pub fn code(self) -> i32 {
        match self {
            Exit::Status(status) => status,
            Exit::Signal(signal) => 128 + signal,
        }
    }
}

impl Sandbox {
    /// Starts the process and returns once its program runs.
    ///
    /// The process dies with the *thread* that calls this, so that thread must live until the process has ended.
    ///
    /// # Errors
    /// [`Error::Namespaces`] where the machine forbids them, [`Error::Setup`] with the step that failed,
    /// [`Error::Execute`] if there is no such program.
    pub fn spawn(self) -> Result<Child, Error> {
        let plan = Plan::new(&self)?;
        let flags = self.namespaces();
        let streams = [high(&self.streams.input)?, high(&self.streams.output)?, high(&self.streams.error)?];
        let (child, report) = start(&plan, flags, Some(&streams), |pid| {
            write_id_maps(pid, &self)?;
            enter_cgroups(pid, &self.cgroups)
        })?;
        let mut child = child.running(&report, &plan, &self)?;
        if matches!(self.root, Root::Machine) {
            let user = self.identity.user;
            let user = (user != rustix::process::geteuid().as_raw()).then_some(user);
            child.leavings = Some(Leavings { leader: child.pid, user });
        }
        Ok(child)
    }

    /// The flags for the namespaces that are to be new.
    fn namespaces(&self) -> libc::c_int {
        if matches!(self.root, Root::Machine) {
            return 0;
        }
        let users = if self.ids == IdMap::Host { 0 } else { libc::CLONE_NEWUSER };
        let network = if self.network == Network::Host { 0 } else { libc::CLONE_NEWNET };
        WITHOUT_USERS | users | network
    }
}

/// The namespaces that every sandbox has.
const WITHOUT_USERS: libc::c_int = libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS;

/// Whether this machine lets the caller make the namespaces that a sandbox is made of.
///
/// # Errors
/// Why not.
pub fn probe() -> Result<(), Error> {
    probe_for(WITHOUT_USERS | libc::CLONE_NEWNET | libc::CLONE_NEWUSER)
}

/// The same for a sandbox with the host's ids ([`IdMap::Host`]), which only root can make, but without a user namespace.
///
/// # Errors
/// Why not.
pub fn probe_without_users() -> Result<(), Error> {
    probe_for(WITHOUT_USERS | libc::CLONE_NEWNET)
}

fn probe_for(flags: libc::c_int) -> Result<(), Error> {
    let plan = Plan::probe();
    let (mut child, report) = start(&plan, flags, None, |_| Ok(()))?;
    if let Some((_, errno)) = read_report(&report)? {
        return Err(Error::namespaces(errno));
    }
    child.wait().map(drop)
}

impl Child {
    /// The process id, as the caller's process namespace has it.
    pub fn id(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// A descriptor that becomes readable when the process has ended.
    pub fn handle(&self) -> BorrowedFd<'_> {
        self.handle.as_fd()
    }

    /// Whether the process has a user namespace of its own.
    pub(crate) fn has_own_users(&self) -> bool {
        self.own_users
    }

    /// Sends a signal to the process. It is process 1 of its namespace, so the kernel drops signals that it does not
    /// handle, except `KILL` and `STOP`.
    pub fn signal(&self, signal: Signal) -> Result<(), Error> {
        match rustix::process::pidfd_send_signal(&self.handle, signal) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(errno) => Err(Error::System { what: "signal the sandboxed process", source: errno.into() }),
        }
    }

    /// Kills the process, and so everything in its process namespace; without one, what it has started.
    pub fn kill(&self) -> Result<(), Error> {
        self.signal(Signal::KILL)?;
        self.kill_leavings();
        Ok(())
    }

    /// Whether the kernel leaves running what the process has started.
    pub(crate) fn can_leave_something(&self) -> bool {
        self.leavings.is_some()
    }

    /// Kills what the process has left running. It must not have been waited for, since its id could be another's then.
    pub(crate) fn kill_leavings(&self) {
        if let (Some(leavings), None) = (&self.leavings, self.exit) {
            leavings.kill();
        }
    }

    /// Waits until it has ended, and every process in its namespace with it. Where it has none, what it has left running is
    /// killed by [`Child::follow`] and [`Child::kill`] alone.
    pub fn wait(&mut self) -> Result<Exit, Error> {
        if let Some(exit) = self.exit {
            return Ok(exit);
        }
        let status = loop {
            match rustix::process::waitid(WaitId::PidFd(self.handle.as_fd()), WaitIdOptions::EXITED) {
                Err(Errno::INTR) | Ok(None) => {}
                Err(errno) => {
                    return Err(Error::System { what: "wait for the sandboxed process", source: errno.into() });
                }
                Ok(Some(status)) => break status,
            }
        };
        let exit = match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => Exit::Status(code),
            (None, signal) => Exit::Signal(signal.unwrap_or(libc::SIGKILL)),
        };
        self.exit = Some(exit);
        Ok(exit)
    }

    /// Reads the report: its end means that the program runs.
    fn running(mut self, report: &OwnedFd, plan: &Plan, sandbox: &Sandbox) -> Result<Child, Error> {
        let Some((number, errno)) = read_report(report)? else {
            return Ok(self);
        };
        self.wait()?;
        let source = io::Error::from(errno);
        match plan.steps.get(number as usize) {
            Some(step) if step.is_early() && matches!(errno, Errno::PERM | Errno::ACCESS) => {
                Err(Error::namespaces(source))
            }
            Some(Step::OverlayRoot { .. }) => Err(Error::Overlay { source }),
            Some(step) => Err(Error::Setup { step: step.describe(), source }),
            None => {
                let program = sandbox.arguments.first().map(PathBuf::from).unwrap_or_default();
                Err(Error::Execute { program: sandbox.programs.first().cloned().unwrap_or(program), source })
            }
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.exit.is_none() && self.kill().is_ok() {
            // The error would be that it is not ours to wait for any more, which is what is wanted.
            let _ = self.wait();
        }
    }
}

/// Clones into new namespaces; `prepare` is called with the child's id while it waits.
fn start(
    plan: &Plan,
    flags: libc::c_int,
    streams: Option<&[OwnedFd; 3]>,
    prepare: impl FnOnce(Pid) -> Result<(), Error>,
) -> Result<(Child, OwnedFd), Error> {
    let pipe = || pipe_with(PipeFlags::CLOEXEC).map_err(Error::system("make a pipe"));
    let ((ready_read, ready_write), (report_read, report_write)) = (pipe()?, pipe()?);
    let (ready_read, report_write) = (high(&ready_read)?, high(&report_write)?);
    let descriptors = Descriptors {
        ready: ready_read.as_fd(),
        report: report_write.as_fd(),
        streams: streams.map(|streams| streams.each_ref().map(AsFd::as_fd)),
    };
    let cloned = without_signals(|| {
        let cloned = clone(flags);
        if let Ok(None) = cloned {
            // The copy of the pipe's writing end must go, or the child would not notice the parent's death.
            // SAFETY: the descriptor belongs to this process copy, which never returns from here to drop it again.
            unsafe { libc::close(ready_write.as_raw_fd()) };
            child::run(plan, &descriptors)
        }
        cloned
    });
    let (pid, handle) = match cloned {
        Ok(Some(parent)) => parent,
        Ok(None) => child::exit(127),
        Err(errno) => {
            return Err(Error::namespaces(errno));
        }
    };
    let child = Child { pid, handle, exit: None, own_users: flags & libc::CLONE_NEWUSER != 0, leavings: None };
    prepare(pid)?;
    rustix::io::write(&ready_write, &[1]).map_err(Error::system("start the sandboxed process"))?;
    Ok((child, report_read))
}

/// Clones the calling thread as a new process: `None` in the child, its id and handle in the parent.
pub(crate) fn clone(flags: libc::c_int) -> Result<Option<(Pid, OwnedFd)>, Errno> {
    let mut handle: RawFd = -1;
    let flags = (flags | libc::CLONE_PIDFD | libc::SIGCHLD) as libc::c_long;
    // SAFETY: without CLONE_VM the child has its own copy of the memory and goes on with its copy of this stack; the
    // kernel writes the handle's number to the third argument. The child only makes system calls until it executes
    // another program or exits. The first three arguments have the same order on every architecture supported here.
    let result = unsafe { libc::syscall(libc::SYS_clone, flags, 0 as libc::c_long, &raw mut handle, 0, 0) };
    let pid = u32::try_from(result).ok().and_then(|pid| Pid::from_raw(pid.cast_signed()));
    match pid {
        // SAFETY: the kernel has just made the descriptor for us.
        Some(pid) => Ok(Some((pid, unsafe { OwnedFd::from_raw_fd(handle) }))),
        _ if result == 0 => Ok(None),
        _ => Err(Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::INVAL)),
    }
}

/// Runs with all signals blocked, so that no handler of the parent runs in the child before it has reset them.
pub(crate) fn without_signals<T>(action: impl FnOnce() -> T) -> T {
    // SAFETY: both sets are plain data on this stack; the calls only change this thread's mask.
    unsafe {
        let (mut all, mut before): (libc::sigset_t, libc::sigset_t) = (std::mem::zeroed(), std::mem::zeroed());
        libc::sigfillset(&mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut before);
        let result = action();
        libc::pthread_sigmask(libc::SIG_SETMASK, &before, std::ptr::null_mut());
        result
    }
}

/// A copy of a descriptor that is above the standard ones, so that setting those in the child cannot overwrite it.
pub(crate) fn high(descriptor: &OwnedFd) -> Result<OwnedFd, Error> {
    rustix::io::fcntl_dupfd_cloexec(descriptor, 3).map_err(Error::system("copy a file descriptor"))
}

fn read_report(report: &OwnedFd) -> Result<Option<(u32, Errno)>, Error> {
    let mut bytes = Vec::with_capacity(8);
    let file = std::fs::File::from(report.try_clone().map_err(Error::system("copy a file descriptor"))?);
    file.take(8).read_to_end(&mut bytes).map_err(Error::system("hear from the sandboxed process"))?;
    let Ok(report) = <[u8; 8]>::try_from(bytes.as_slice()) else {
        return Ok(None);
    };
    let [a, b, c, d, e, f, g, h] = report;
    let errno = Errno::from_raw_os_error(i32::from_ne_bytes([e, f, g, h]));
    Ok(Some((u32::from_ne_bytes([a, b, c, d]), errno)))
}

fn write_id_maps(pid: Pid, sandbox: &Sandbox) -> Result<(), Error> {
    let line = |ranges: &[IdRange]| -> String {
        ranges.iter().map(|range| format!("{} {} {}\n", range.inside, range.outside, range.count)).collect()
    };
    match &sandbox.ids {
        IdMap::Host => Ok(()),
        IdMap::Single => {
            let (user, group) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
            // Without this the kernel does not let an ordinary user set a group map: a group could be given up to get
            // at what it is denied.
            write_proc(pid, "setgroups", "deny")?;
            write_proc(pid, "uid_map", &line(&[IdRange { inside: sandbox.identity.user, outside: user, count: 1 }]))?;
            write_proc(pid, "gid_map", &line(&[IdRange { inside: sandbox.identity.group, outside: group, count: 1 }]))
        }
        IdMap::Ranges { users, groups } => {
            write_proc(pid, "uid_map", &line(users))?;
            write_proc(pid, "gid_map", &line(groups))
        }
    }
}

fn enter_cgroups(pid: Pid, cgroups: &[PathBuf]) -> Result<(), Error> {
    for cgroup in cgroups {
        let path = cgroup.join("cgroup.procs");
        std::fs::write(&path, pid.as_raw_nonzero().to_string())
            .map_err(|source| Error::Setup { step: format!("enter the control group {}", cgroup.display()), source })?;
    }
    Ok(())
}

fn write_proc(pid: Pid, name: &str, text: &str) -> Result<(), Error> {
    let path = PathBuf::from(format!("/proc/{}/{name}", pid.as_raw_nonzero()));
    // One write, as the kernel demands.
    let file = std::fs::File::options().write(true).open(&path);
    file.and_then(|mut file| io::Write::write_all(&mut file, text.as_bytes()))
        .map_err(|source| Error::IdMap { path, source })
}
