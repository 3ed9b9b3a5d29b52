//! A published UDP port: each client has a socket of its own inside, so that answers find their way back.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use sandbox::{Family, NetworkDoor, Transport};

/// A client that has been silent for so long is forgotten, as the kernel's own address translation does.
const IDLE: Duration = Duration::from_secs(120);
/// As many clients are remembered; a new one beyond that takes the place of the one that was silent longest.
const MAX_CLIENTS: usize = 512;
/// The largest datagram there can be.
const LARGEST: usize = 65_535;
/// So many datagrams of one socket are carried before the others have their turn.
const BURST: usize = 64;

/// A client's socket in the container's network.
struct Inside {
    socket: UdpSocket,
    used: Instant,
}

/// Carries datagrams between `outside` and `port` of the container until `stopped` closes.
pub(crate) fn carry(outside: &UdpSocket, port: u16, door: &NetworkDoor, stopped: &OwnedFd) {
    let mut clients: HashMap<SocketAddr, Inside> = HashMap::new();
    let mut buffer = vec![0; LARGEST];
    loop {
        let order: Vec<SocketAddr> = clients.keys().copied().collect();
        let mut polled = vec![PollFd::new(stopped, PollFlags::IN), PollFd::new(outside, PollFlags::IN)];
        polled.extend(order.iter().map(|client| PollFd::new(&clients[client].socket, PollFlags::IN)));
        match poll(&mut polled, Some(&Timespec { tv_sec: IDLE.as_secs() as i64, tv_nsec: 0 })) {
            Err(Errno::INTR) => continue,
            Err(_) => return,
            Ok(_) if !polled[0].revents().is_empty() => return,
            Ok(_) => {}
        }
        let ready: Vec<bool> = polled.iter().map(|one| !one.revents().is_empty()).collect();
        for (client, _) in order.iter().zip(&ready[2..]).filter(|(_, ready)| **ready) {
            answers(outside, *client, &mut clients, &mut buffer);
        }
        if ready[1] {
            requests(outside, port, door, &mut clients, &mut buffer);
        }
        clients.retain(|_, inside| inside.used.elapsed() < IDLE);
    }
}

/// What clients send goes inside. A datagram that cannot be passed on is lost, as datagrams may be.
fn requests(
    outside: &UdpSocket,
    port: u16,
    door: &NetworkDoor,
    clients: &mut HashMap<SocketAddr, Inside>,
    buffer: &mut [u8],
) {
    for _ in 0..BURST {
        let Ok((length, client)) = outside.recv_from(buffer) else { return };
        if !clients.contains_key(&client) {
            let Ok(socket) = connect(door, port) else { continue };
            make_room(clients);
            clients.insert(client, Inside { socket, used: Instant::now() });
        }
        if let Some(inside) = clients.get_mut(&client) {
            inside.used = Instant::now();
            let _ = inside.socket.send(&buffer[..length]);
        }
    }
}

/// What the container answers goes back to the client.
fn answers(outside: &UdpSocket, client: SocketAddr, clients: &mut HashMap<SocketAddr, Inside>, buffer: &mut [u8]) {
    let Some(inside) = clients.get_mut(&client) else { return };
    for _ in 0..BURST {
        // An error is told once (nobody listens inside yet) and is no reason to forget the client.
        let Ok(length) = inside.socket.recv(buffer) else { return };
        inside.used = Instant::now();
        let _ = outside.send_to(&buffer[..length], client);
    }
}

fn make_room(clients: &mut HashMap<SocketAddr, Inside>) {
    if clients.len() < MAX_CLIENTS {
        return;
    }
    let oldest = clients.iter().min_by_key(|(_, inside)| inside.used).map(|(client, _)| *client);
    if let Some(oldest) = oldest {
        clients.remove(&oldest);
    }
}

fn connect(door: &NetworkDoor, port: u16) -> io::Result<UdpSocket> {
    let socket = UdpSocket::from(door.socket(Family::V4, Transport::Udp).map_err(io::Error::other)?);
    socket.connect((Ipv4Addr::LOCALHOST, port))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}
