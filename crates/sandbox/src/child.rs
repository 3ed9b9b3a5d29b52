//! The child between the clone and the program: it walks the plan with system calls alone.
//!
//! Nothing here may allocate, lock or panic: the child is a copy of one thread of a program that may have many, and any
//! of the others may have held the allocator's lock when the copy was made. The functions of `rustix` are bare system
//! calls when they are given C strings.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::MountPropagationFlags;

use crate::confine::confine;
use crate::furnish::{furnish, mount, opened, overlay, pivot};
use crate::plan::{Execute, Plan, Step};
use crate::tunnel;

/// The step number that stands for the execution of the program in a report.
pub(crate) const EXECUTION: u32 = u32::MAX;

/// The file descriptors that the child works with. All are above the standard ones.
pub(crate) struct Descriptors<'a> {
    /// Becomes readable when the parent has set the ids; at its end the parent is gone.
    pub ready: BorrowedFd<'a>,
    /// Takes the report of a failure; closes by itself when the program starts.
    pub report: BorrowedFd<'a>,
    /// What become the standard streams; absent in a probe.
    pub streams: Option<[BorrowedFd<'a>; 3]>,
}

/// Becomes the program, or reports why not and exits.
pub(crate) fn run(plan: &Plan, descriptors: &Descriptors<'_>) -> ! {
    let (step, errno) = match walk(plan, descriptors) {
        Ok(()) => match &plan.execute {
            Some(program) => (EXECUTION, execute(program)),
            None => exit(0),
        },
        Err(failure) => failure,
    };
    let mut report = [0; 8];
    let (first, second) = report.split_at_mut(4);
    first.copy_from_slice(&step.to_ne_bytes());
    second.copy_from_slice(&errno.raw_os_error().to_ne_bytes());
    // Nobody is left to be told if this fails.
    let _ = rustix::io::write(descriptors.report, &report);
    exit(127)
}

fn walk(plan: &Plan, descriptors: &Descriptors<'_>) -> Result<(), (u32, Errno)> {
    reset_signals();
    rustix::process::umask(Mode::empty());
    let first = |errno| (0, errno);
    die_with_parent().map_err(first)?;
    wait_for_parent(descriptors.ready);
    if let Some(streams) = descriptors.streams {
        take_streams(streams).map_err(first)?;
    }
    let mut root = None;
    for (number, step) in (0..).zip(&plan.steps) {
        take(step, &mut root).map_err(|errno| (number, errno))?;
    }
    rustix::process::umask(Mode::from_raw_mode(0o022));
    close_others_on_exec();
    Ok(())
}

fn take(step: &Step, root: &mut Option<OwnedFd>) -> Result<(), Errno> {
    match step {
        Step::NewSession => rustix::process::setsid().map(drop),
        Step::LoopbackUp => loopback_up(),
        Step::Tunnel(socket) => {
            tunnel::dig(socket.as_fd());
            Ok(())
        }
        Step::HostName(name) => {
            rustix::system::sethostname(name)?;
            rustix::system::setdomainname(b"(none)")
        }
        Step::PrivateMounts => {
            rustix::mount::mount_change(c"/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE)
        }
        Step::TmpfsRoot { stage } => mount(c"tmpfs", stage, c"tmpfs", c"mode=0755"),
        Step::DirectoryRoot { source, stage } => {
            rustix::mount::mount_bind_recursive(source.as_c_str(), stage.as_c_str())
        }
        Step::OverlayRoot { base, options, stage } => overlay(base, options, stage),
        Step::OpenRoot { stage } => {
            *root = Some(rustix::fs::open(
                stage.as_c_str(),
                OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
                Mode::empty(),
            )?);
            Ok(())
        }
        Step::Pivot => pivot(opened(root)?),
        Step::ChangeDirectory(path) => rustix::process::chdir(path.as_c_str()),
        Step::MakeDirectory { .. }
        | Step::WriteFile { .. }
        | Step::MakeSymlink { .. }
        | Step::Bind { .. }
        | Step::KeepWritable { .. }
        | Step::FileSystem { .. }
        | Step::ReadOnlyRoot => furnish(step, opened(root)?),
        _ => confine(step),
    }
}

pub(crate) fn die_with_parent() -> Result<(), Errno> {
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
}

/// Waits until the ids are set. Comes after the death signal is asked for, so a parent that dies in between is noticed.
fn wait_for_parent(ready: BorrowedFd<'_>) {
    let mut byte = [0];
    loop {
        match rustix::io::read(ready, &mut byte) {
            Ok(1) => return,
            Err(Errno::INTR) => {}
            _ => exit(127),
        }
    }
}

fn take_streams(streams: [BorrowedFd<'_>; 3]) -> Result<(), Errno> {
    for (target, stream) in (0..).zip(streams) {
        // SAFETY: dup2 only replaces descriptors 0 to 2, which nothing in this process copy owns.
        if unsafe { libc::dup2(stream.as_raw_fd(), target) } < 0 {
            return Err(last_errno());
        }
    }
    Ok(())
}

/// Handlers are the parent's, and its runtime ignores SIGPIPE: the program starts with the defaults, nothing blocked.
fn reset_signals() {
    for signal in 1..=64 {
        // SAFETY: SIG_DFL is a valid handler; the call fails without effect for SIGKILL, SIGSTOP and the C library's own.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    // SAFETY: an all-zero set is a valid empty one.
    unsafe {
        let empty: libc::sigset_t = std::mem::zeroed();
        libc::sigprocmask(libc::SIG_SETMASK, &empty, std::ptr::null_mut());
    }
}

fn loopback_up() -> Result<(), Errno> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
    let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    // SAFETY: an all-zero ifreq is valid; the name fits and stays terminated.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[0] = b'l' as libc::c_char;
    request.ifr_name[1] = b'o' as libc::c_char;
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_LOOPBACK | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: SIOCSIFFLAGS reads an ifreq, which lives through the call.
    match unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &request) } {
        0 => Ok(()),
        _ => Err(last_errno()),
    }
}

/// Nothing but the standard streams reaches the program, even if some library forgot to say so when it opened a file.
fn close_others_on_exec() {
    // SAFETY: marks descriptors, which touches no memory. On a kernel without the call the usual marks must do.
    unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) };
}

fn execute(execute: &Execute) -> Errno {
    let mut failure = Errno::NOENT;
    for program in &execute.programs {
        // SAFETY: the path is a C string, and both lists are of C strings, end with a null and live in `execute`.
        unsafe {
            libc::execve(program.as_ptr(), execute.argument_pointers.as_ptr(), execute.environment_pointers.as_ptr())
        };
        match last_errno() {
            Errno::NOENT | Errno::NOTDIR => {}
            // There may be another further on, but if not, this is what to tell.
            Errno::ACCESS => failure = Errno::ACCESS,
            errno => return errno,
        }
    }
    failure
}

pub(crate) fn exit(status: i32) -> ! {
    // SAFETY: ends this process without running the exit handlers, which are the parent's.
    unsafe { libc::_exit(status) }
}

pub(crate) fn last_errno() -> Errno {
    // SAFETY: the pointer is to this thread's own errno.
    Errno::from_raw_os_error(unsafe { *libc::__errno_location() })
}
