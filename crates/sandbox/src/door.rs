//! Sockets of another process's network.
//!
//! A program of several threads cannot enter the user namespace of another process, and without it an ordinary user
//! cannot enter its network. A socket, however, belongs for good to the network in which it was made, and can be handed
//! from process to process. So a tiny process stands in the sandbox's network and makes a socket whenever asked;
//! the parent connects it and moves the bytes.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

use rustix::io::{Errno, IoSlice, IoSliceMut};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType,
};
use rustix::process::{Signal, WaitId, WaitIdOptions};

use crate::child::exit;
use crate::error::Error;
use crate::spawn::{Child, clone, high, without_signals};

/// Makes TCP sockets inside the network of a [`Child`]. Dropping it ends the process that does so.
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
                door.socket(Family::V4)?;
                Ok(door)
            }
            Ok(None) => exit(127),
            Err(errno) => Err(Error::System { what: "start the network door", source: errno.into() }),
        }
    }

    /// A new TCP socket, neither bound nor connected, in the child's network.
    ///
    /// # Errors
    /// [`Error::System`] if the network or the family of addresses is not there.
    pub fn socket(&self, family: Family) -> Result<OwnedFd, Error> {
        let failed = Error::system("make a socket in the sandbox's network");
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let request = [u8::from(family == Family::V6)];
        match rustix::net::send(&*requests, &request, SendFlags::NOSIGNAL).and_then(|_| receive(requests.as_fd())) {
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

fn receive(requests: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut errno = [0; 4];
    let message = loop {
        match rustix::net::recvmsg(
            requests,
            &mut [IoSliceMut::new(&mut errno)],
            &mut ancillary,
            RecvFlags::CMSG_CLOEXEC,
        ) {
            Err(Errno::INTR) => {}
            other => break other?,
        }
    };
    for received in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(mut sockets) = received
            && let Some(socket) = sockets.next()
        {
            return Ok(socket);
        }
    }
    match (message.bytes, i32::from_ne_bytes(errno)) {
        (4, errno) if errno != 0 => Err(Errno::from_raw_os_error(errno)),
        _ => Err(Errno::CONNRESET),
    }
}

/// The life of the process at the door. Like everything between a clone and an execution, it only makes system calls.
fn stand(requests: BorrowedFd<'_>, target: BorrowedFd<'_>, users: bool) -> ! {
    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    let flags = libc::CLONE_NEWNET | if users { libc::CLONE_NEWUSER } else { 0 };
    // SAFETY: changes the namespaces of this process, which has one thread and touches no memory for it.
    if unsafe { libc::setns(target.as_raw_fd(), flags) } != 0 {
        refuse(requests, std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EPERM));
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
            Ok((1, _)) => answer(requests, request == [1]),
            Err(Errno::INTR) => {}
            _ => exit(0),
        }
    }
}

fn answer(requests: BorrowedFd<'_>, v6: bool) {
    let family = if v6 { AddressFamily::INET6 } else { AddressFamily::INET };
    let socket = match rustix::net::socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None) {
        Ok(socket) => socket,
        Err(errno) => return refuse(requests, errno.raw_os_error()),
    };
    let sockets = [socket.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    ancillary.push(SendAncillaryMessage::ScmRights(&sockets));
    // If the parent is gone, the next receive says so.
    let _ = rustix::net::sendmsg(requests, &[IoSlice::new(&[0; 4])], &mut ancillary, SendFlags::NOSIGNAL);
}

fn refuse(requests: BorrowedFd<'_>, errno: i32) {
    let _ = rustix::net::send(requests, &errno.to_ne_bytes(), SendFlags::NOSIGNAL);
}
