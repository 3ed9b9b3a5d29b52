//! A way out of a private network: a TUN device whose packets another process carries.
//!
//! The device must be made by a process that is in the network, so the child makes it before it becomes the program, and
//! hands it to the parent over a socket. Like everything between a clone and an execution, this only makes system calls.
//! Documented in the kernel's `Documentation/networking/tuntap.rst` and `netdevice(7)`.

use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, socket_with};

use crate::child::last_errno;
use crate::error::Error;
use crate::passing;

/// The largest packet that goes through the device, in bytes. Nothing is lost on the way, so large ones are cheapest.
pub const TUNNEL_MTU: u16 = 65_520;
/// The sandbox's own address.
pub const TUNNEL_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 100);
const NETMASK: Ipv4Addr = Ipv4Addr::new(255, 255, 255, 0);
const INTERFACE: &[u8] = b"eth0";

/// The parent's side of a tunnel.
#[derive(Debug)]
pub struct Tunnel {
    ours: OwnedFd,
}

/// The sandbox's side, to be given to [`crate::Sandbox::tunnel`].
#[derive(Debug)]
pub struct TunnelEntrance(pub(crate) OwnedFd);

impl Tunnel {
    /// Both sides of a tunnel.
    ///
    /// # Errors
    /// [`Error::System`] where sockets cannot be made.
    pub fn new() -> Result<(Tunnel, TunnelEntrance), Error> {
        let (ours, theirs) =
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
                .map_err(Error::system("make a socket pair"))?;
        Ok((Tunnel { ours }, TunnelEntrance(theirs)))
    }

    /// The device, once the sandbox's program runs: packets are read from it and written to it, one at a time; it does
    /// not block.
    ///
    /// # Errors
    /// [`Error::System`] with the reason for which the sandbox could not make one.
    pub fn device(self) -> Result<OwnedFd, Error> {
        // The program runs, so the message is there or never comes.
        passing::receive(self.ours.as_fd(), RecvFlags::DONTWAIT).map_err(Error::system("open /dev/net/tun"))
    }
}

/// Makes the device and hands it over; a failure is handed over instead, and is no reason not to start.
pub(crate) fn dig(socket: BorrowedFd<'_>) {
    let device = make_device();
    passing::send(socket, device.as_ref().map(AsFd::as_fd).map_err(|errno| *errno));
}

fn make_device() -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let device = rustix::fs::open(c"/dev/net/tun", flags, Mode::empty())?;
    let mut request = interface();
    request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI) as libc::c_short;
    control(device.as_fd(), libc::TUNSETIFF as libc::c_ulong, &raw const request)?;
    let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    let set = |command: libc::c_ulong, fill: &dyn Fn(&mut libc::ifreq)| {
        let mut request = interface();
        fill(&mut request);
        control(socket.as_fd(), command, &raw const request)
    };
    set(libc::SIOCSIFADDR as libc::c_ulong, &|request| request.ifr_ifru.ifru_addr = address(TUNNEL_ADDRESS))?;
    set(libc::SIOCSIFNETMASK as libc::c_ulong, &|request| request.ifr_ifru.ifru_addr = address(NETMASK))?;
    set(libc::SIOCSIFMTU as libc::c_ulong, &|request| request.ifr_ifru.ifru_mtu = libc::c_int::from(TUNNEL_MTU))?;
    let up = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    set(libc::SIOCSIFFLAGS as libc::c_ulong, &|request| request.ifr_ifru.ifru_flags = up)?;
    default_route(socket.as_fd())?;
    Ok(device)
}

/// The kernel's `struct rtentry` (`linux/route.h`).
#[repr(C)]
struct Route {
    pad1: libc::c_ulong,
    destination: libc::sockaddr,
    gateway: libc::sockaddr,
    mask: libc::sockaddr,
    flags: libc::c_ushort,
    pad2: libc::c_short,
    pad3: libc::c_ulong,
    pad4: *const libc::c_void,
    metric: libc::c_short,
    interface: *const libc::c_char,
    mtu: libc::c_ulong,
    window: libc::c_ulong,
    round_trip: libc::c_ushort,
}

/// Everything that is not local goes through the device.
fn default_route(socket: BorrowedFd<'_>) -> Result<(), Errno> {
    // SAFETY: all-zero numbers and null pointers are valid here.
    let mut route: Route = unsafe { std::mem::zeroed() };
    route.destination = address(Ipv4Addr::UNSPECIFIED);
    route.mask = address(Ipv4Addr::UNSPECIFIED);
    route.flags = libc::RTF_UP;
    route.interface = c"eth0".as_ptr();
    control(socket, libc::SIOCADDRT as libc::c_ulong, &raw const route)
}

fn interface() -> libc::ifreq {
    // SAFETY: an all-zero ifreq is valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(INTERFACE) {
        *to = *from as libc::c_char;
    }
    request
}

fn address(address: Ipv4Addr) -> libc::sockaddr {
    let internet = libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: 0,
        sin_addr: libc::in_addr { s_addr: u32::from(address).to_be() },
        sin_zero: [0; 8],
    };
    // SAFETY: both are plain data of 16 bytes; the kernel takes the one in the place of the other.
    unsafe { std::mem::transmute(internet) }
}

fn control<T>(descriptor: BorrowedFd<'_>, command: libc::c_ulong, argument: *const T) -> Result<(), Errno> {
    // SAFETY: each command used here reads the structure that it is given, which lives through the call.
    match unsafe { libc::ioctl(descriptor.as_raw_fd(), command as _, argument) } {
        0.. => Ok(()),
        _ => Err(last_errno()),
    }
}
