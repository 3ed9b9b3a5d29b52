//! Passing a file descriptor, or the reason why there is none, over a Unix socket (`unix(7)`, `SCM_RIGHTS`).

use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::io::{Errno, IoSlice, IoSliceMut};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
};

/// Sends a descriptor, or an error number in its place. Only makes system calls.
pub(crate) fn send(socket: BorrowedFd<'_>, descriptor: Result<BorrowedFd<'_>, Errno>) {
    let (number, passed) = match descriptor {
        Ok(descriptor) => (0, Some([descriptor])),
        Err(errno) => (errno.raw_os_error(), None),
    };
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if let Some(passed) = &passed {
        ancillary.push(SendAncillaryMessage::ScmRights(passed));
    }
    // If nobody is there to receive it, whoever asked for it is gone.
    let message = number.to_ne_bytes();
    let _ = rustix::net::sendmsg(socket, &[IoSlice::new(&message)], &mut ancillary, SendFlags::NOSIGNAL);
}

/// Receives what [`send`] sent: the descriptor, or the error.
pub(crate) fn receive(socket: BorrowedFd<'_>, flags: RecvFlags) -> Result<OwnedFd, Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut number = [0; 4];
    let message = loop {
        let flags = flags | RecvFlags::CMSG_CLOEXEC;
        match rustix::net::recvmsg(socket, &mut [IoSliceMut::new(&mut number)], &mut ancillary, flags) {
            Err(Errno::INTR) => {}
            other => break other?,
        }
    };
    for received in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(mut descriptors) = received
            && let Some(descriptor) = descriptors.next()
        {
            return Ok(descriptor);
        }
    }
    match (message.bytes, i32::from_ne_bytes(number)) {
        (4, number) if number != 0 => Err(Errno::from_raw_os_error(number)),
        _ => Err(Errno::CONNRESET),
    }
}
