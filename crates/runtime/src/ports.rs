//! Published ports: connections and datagrams to the host are carried to the container's own network.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use sandbox::{Child, Family, NetworkDoor, Transport};

use crate::datagrams;
use crate::error::RuntimeError;
use crate::options::{Port, Protocol};

/// A port that is listened on, though nobody answers yet.
pub(crate) struct Listening {
    socket: Socket,
    container: u16,
}

enum Socket {
    Tcp(TcpListener),
    Udp(UdpSocket),
}

/// Ports that lead into a container, as long as this lives.
pub(crate) struct Published {
    /// Closing it tells the listening threads to stop.
    stop: Option<OwnedFd>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

/// Listens on the ports of the host, before anything else is done, so that a port that is taken costs nothing.
pub(crate) fn listen(ports: &[Port]) -> Result<Vec<Listening>, RuntimeError> {
    let listen = |port: &Port| {
        let address = SocketAddr::new(port.address, port.host);
        let failed = |source| RuntimeError::Port { address, source };
        let socket = match port.protocol {
            Protocol::Tcp => TcpListener::bind(address).and_then(|tcp| {
                tcp.set_nonblocking(true)?;
                Ok(Socket::Tcp(tcp))
            }),
            Protocol::Udp => UdpSocket::bind(address).and_then(|udp| {
                udp.set_nonblocking(true)?;
                Ok(Socket::Udp(udp))
            }),
        };
        Ok(Listening { socket: socket.map_err(failed)?, container: port.container })
    };
    ports.iter().map(listen).collect()
}

impl Listening {
    /// The host's address, with the port that was free if none was asked for.
    pub fn address(&self) -> Option<SocketAddr> {
        match &self.socket {
            Socket::Tcp(listener) => listener.local_addr().ok(),
            Socket::Udp(socket) => socket.local_addr().ok(),
        }
    }

    /// The container's port.
    pub fn container(&self) -> u16 {
        self.container
    }
}

/// Carries connections to the container.
pub(crate) fn publish(listening: Vec<Listening>, child: &Child) -> Result<Published, RuntimeError> {
    if listening.is_empty() {
        return Ok(Published { stop: None, threads: Vec::new() });
    }
    let door = match NetworkDoor::open(child) {
        Ok(door) => Arc::new(door),
        // A program that has ended already has nobody to connect to; its exit code is what matters.
        Err(error) if has_ended(&error) => return Ok(Published { stop: None, threads: Vec::new() }),
        Err(error) => return Err(error.into()),
    };
    let pipe = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC);
    let (stopped, stop) = pipe.map_err(RuntimeError::file("make a pipe for", "the published ports"))?;
    let stopped = Arc::new(stopped);
    let threads = listening
        .into_iter()
        .map(|port| {
            let (door, stopped) = (door.clone(), stopped.clone());
            std::thread::spawn(move || match &port.socket {
                Socket::Tcp(listener) => accept(listener, port.container, &door, &stopped),
                Socket::Udp(socket) => datagrams::carry(socket, port.container, &door, &stopped),
            })
        })
        .collect();
    Ok(Published { stop: Some(stop), threads })
}

fn has_ended(error: &sandbox::Error) -> bool {
    error.io().and_then(io::Error::raw_os_error) == Some(Errno::SRCH.raw_os_error())
}

impl Drop for Published {
    fn drop(&mut self) {
        self.stop = None;
        for thread in self.threads.drain(..) {
            // A thread that has panicked has said so already.
            let _ = thread.join();
        }
    }
}

fn accept(listener: &TcpListener, container: u16, door: &Arc<NetworkDoor>, stopped: &OwnedFd) {
    loop {
        let mut polled = [PollFd::new(listener, PollFlags::IN), PollFd::new(stopped, PollFlags::IN)];
        match poll(&mut polled, None) {
            Err(Errno::INTR) => continue,
            Err(_) => return,
            Ok(_) if !polled[1].revents().is_empty() => return,
            Ok(_) => {}
        }
        // A client that went away before it was accepted is no reason to stop.
        let Ok((client, _)) = listener.accept() else { continue };
        let door = door.clone();
        let carry = move || {
            // The container does not answer: the client sees the connection close, as it would without us.
            if let Ok(server) = connect(&door, container) {
                carry(client, server);
            }
        };
        // Without a thread there is no room for another client; this one is dropped.
        let _ = std::thread::Builder::new().stack_size(64 << 10).spawn(carry);
    }
}

/// Connects inside the container's network, to either family of its loopback address.
fn connect(door: &NetworkDoor, port: u16) -> io::Result<TcpStream> {
    let try_one = |family, address: SocketAddr| -> io::Result<TcpStream> {
        let socket = door.socket(family, Transport::Tcp).map_err(io::Error::other)?;
        rustix::net::connect(&socket, &address)?;
        Ok(TcpStream::from(socket))
    };
    try_one(Family::V4, (Ipv4Addr::LOCALHOST, port).into())
        .or_else(|_| try_one(Family::V6, (Ipv6Addr::LOCALHOST, port).into()))
}

/// Moves bytes both ways until both sides have said everything.
fn carry(client: TcpStream, server: TcpStream) {
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    std::thread::scope(|scope| {
        let back = std::thread::Builder::new().stack_size(64 << 10);
        if back.spawn_scoped(scope, || one_way(&server, &client)).is_ok() {
            one_way(&client, &server);
        }
    });
}

fn one_way(mut from: &TcpStream, mut to: &TcpStream) {
    // A broken connection ends like a finished one: the other side learns that no more comes.
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
    let _ = from.shutdown(Shutdown::Read);
}
