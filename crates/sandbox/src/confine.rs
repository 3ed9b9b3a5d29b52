//! The child's steps that take its rights away. As everything between the clone and the program: system calls alone.

use std::os::fd::BorrowedFd;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::child::{die_with_parent, last_errno};
use crate::description::Capabilities;
use crate::plan::Step;

/// The steps that take rights away.
pub(crate) fn confine(step: &Step) -> Result<(), Errno> {
    match step {
        Step::Limit(resource, limit) => rustix::process::setrlimit(*resource, *limit),
        Step::BoundCapabilities(kept) => bound_capabilities(*kept),
        Step::NoUserNamespaces => no_user_namespaces(),
        Step::NoNewPrivileges => rustix::thread::set_no_new_privs(true),
        Step::Seccomp(filter) => load_filter(filter),
        // The namespace has every capability here, so this only fails where groups are forbidden altogether.
        Step::Groups(groups) => match rustix::thread::set_thread_groups(groups) {
            Err(Errno::PERM) => Ok(()),
            other => other,
        },
        Step::Become(user, group) => {
            rustix::thread::set_thread_res_gid(*group, *group, *group)?;
            rustix::thread::set_thread_res_uid(*user, *user, *user)
        }
        Step::DieWithParent => die_with_parent(),
        Step::ControllingTerminal => {
            // SAFETY: descriptor 0 is open, being standard input.
            rustix::process::ioctl_tiocsctty(unsafe { BorrowedFd::borrow_raw(0) })
        }
        Step::FixedAddresses => fixed_addresses(),
        _ => Err(Errno::INVAL),
    }
}

/// The limit is that of the user namespace of whoever writes it, and of those below.
fn no_user_namespaces() -> Result<(), Errno> {
    let limit =
        rustix::fs::open(c"/proc/sys/user/max_user_namespaces", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(&limit, b"0").map(drop)
}

fn bound_capabilities(kept: Capabilities) -> Result<(), Errno> {
    for number in 0..64 {
        if kept.contains(number) {
            continue;
        }
        // SAFETY: the call takes a number and touches no memory.
        if unsafe { libc::prctl(libc::PR_CAPBSET_DROP, libc::c_ulong::from(number), 0, 0, 0) } != 0 {
            match last_errno() {
                // Beyond the last capability that this kernel knows.
                Errno::INVAL => break,
                errno => return Err(errno),
            }
        }
    }
    // SAFETY: as above. A parent with ambient capabilities would pass them on through the execution.
    match unsafe { libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL as libc::c_ulong, 0, 0, 0) } {
        0 => Ok(()),
        _ => Err(last_errno()),
    }
}

fn load_filter(filter: &[libc::sock_filter]) -> Result<(), Errno> {
    let length = u16::try_from(filter.len()).map_err(|_| Errno::TOOBIG)?;
    let program = libc::sock_fprog { len: length, filter: filter.as_ptr().cast_mut() };
    // SAFETY: the program points to `length` instructions, which the kernel only reads.
    match unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program) } {
        0 => Ok(()),
        _ => Err(last_errno()),
    }
}

fn fixed_addresses() -> Result<(), Errno> {
    const QUERY: libc::c_ulong = 0xffff_ffff;
    // SAFETY: both calls take a number and touch no memory.
    let set = unsafe {
        let current = libc::personality(QUERY);
        libc::personality(current as libc::c_ulong | libc::ADDR_NO_RANDOMIZE as libc::c_ulong)
    };
    if set >= 0 { Ok(()) } else { Err(last_errno()) }
}
