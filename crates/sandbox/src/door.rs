//! Sockets of another process's network.
//!
//! A program of several threads cannot enter the user namespace of another process, and without it an ordinary user
//! cannot enter its network. A socket, however, belongs for good to the network in which it was made, and can be handed
//! from process to process. So a tiny process stands in the sandbox's network and makes a socket whenever asked;
//! the parent connects it and moves the bytes.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use rustix::process::{Signal, WaitId, WaitIdOptions};

use crate::child::{exit, last_errno};
use crate::error::Error;
use crate::passing;
use crate::spawn::{Child, clone, high, without_signals};

/// Makes sockets inside the network of a [`Child`]. Dropping it ends the process that does so.
#[derive(Debug)]
pub struct NetworkDoor {
    requests: Mutex<OwnedFd>,
    handle: OwnedFd,
}

/// The kind of address that a socket is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// What a socket carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// Streams.
    Tcp,
    /// Datagrams.
    Udp,
}

/// In a request: an IPv6 socket.
const REQUEST_V6: u8 = 1;
/// In a request: a socket for datagrams.
const REQUEST_UDP: u8 = 2;

impl NetworkDoor {
    /// Opens a door into the network of `child`. It closes when the calling thread ends.
    ///
    /// # Errors
    /// [`Error::System`] if the child is gone or the kernel refuses.
    pub fn open(child: &Child) -> Result<NetworkDoor, Error> {
        let (ours, theirs) =
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
                .map_err(Error::system("make a socket pair"))?;
        let (theirs, target) = (high(&theirs)?, child.handle());
        let users = child.has_own_users();
        let cloned = without_signals(|| {
            let cloned = clone(0);
            if let Ok(None) = cloned {
                stand(theirs.as_fd(), target, users)
            }
            cloned
        });
        match cloned {
            Ok(Some((_, handle))) => {
                let door = NetworkDoor { requests: Mutex::new(ours), handle };
                drop(theirs);
                // The first answer tells whether the namespaces could be entered.
                door.socket(Family::V4, Transport::Tcp)?;
                Ok(door)
            }
            Ok(None) => exit(127),
            Err(errno) => Err(Error::System { what: "start the network door", source: errno.into() }),
        }
    }

    /// A new socket, neither bound nor connected, in the child's network.
    ///
    /// # Errors
    /// [`Error::System`] if the network or the family of addresses is not there.
    pub fn socket(&self, family: Family, transport: Transport) -> Result<OwnedFd, Error> {
        let failed = Error::system("make a socket in the sandbox's network");
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let v6 = if family == Family::V6 { REQUEST_V6 } else { 0 };
        let udp = if transport == Transport::Udp { REQUEST_UDP } else { 0 };
        let request = [v6 | udp];
        match rustix::net::send(&*requests, &request, SendFlags::NOSIGNAL)
            .and_then(|_| passing::receive(requests.as_fd(), RecvFlags::empty()))
        {
            Ok(socket) => Ok(socket),
            Err(errno) => Err(failed(errno)),
        }
    }
}

impl Drop for NetworkDoor {
    fn drop(&mut self) {
        // If it is gone already there is nothing to do; otherwise it ends now, and waiting takes no time.
        let _ = rustix::process::pidfd_send_signal(&self.handle, Signal::KILL);
        let _ = rustix::process::waitid(WaitId::PidFd(self.handle.as_fd()), WaitIdOptions::EXITED);
    }
}

/// The life of the process at the door. Like everything between a clone and an execution, it only makes system calls.
fn stand(requests: BorrowedFd<'_>, target: BorrowedFd<'_>, users: bool) -> ! {
    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    let flags = libc::CLONE_NEWNET | if users { libc::CLONE_NEWUSER } else { 0 };
    // SAFETY: changes the namespaces of this process, which has one thread and touches no memory for it.
    if unsafe { libc::setns(target.as_raw_fd(), flags) } != 0 {
        passing::send(requests, Err(last_errno()));
        exit(1)
    }
    // Entering a user namespace clears it.
    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    let kept = requests.as_raw_fd();
    // SAFETY: closes the copies of the parent's descriptors but the one in use; nothing here uses another.
    unsafe {
        if kept > 0 {
            libc::syscall(libc::SYS_close_range, 0, kept - 1, 0);
        }
        libc::syscall(libc::SYS_close_range, kept + 1, libc::c_uint::MAX, 0);
    }
    loop {
        let mut request = [0];
        match rustix::net::recv(requests, &mut request, RecvFlags::empty()) {
            Ok((1, _)) => answer(requests, request[0]),
            Err(Errno::INTR) => {}
            _ => exit(0),
        }
    }
}

fn answer(requests: BorrowedFd<'_>, request: u8) {
    let family = if request & REQUEST_V6 != 0 { AddressFamily::INET6 } else { AddressFamily::INET };
    let kind = if request & REQUEST_UDP != 0 { SocketType::DGRAM } else { SocketType::STREAM };
    let socket = rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, None);
    passing::send(requests, socket.as_ref().map(AsFd::as_fd).map_err(|errno| *errno));
}
