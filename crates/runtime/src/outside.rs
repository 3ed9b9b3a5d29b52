//! The way out of a container's private network.
//!
//! Packets that leave the container come out of a TUN device here. A TCP/IP stack in this process makes connections and
//! exchanges of datagrams of them, and each is carried on by an ordinary socket of the host. So nothing needs rights on the
//! host's network, and nothing outside can reach in. Names are resolved by the host's resolver, which the container sees at
//! an address of its own. IPv4 only, and neither ICMP nor the host's loopback: services that listen there trust everybody.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::thread::JoinHandle;
use std::time::Duration;

use ipstack::{IpStack, IpStackConfig, IpStackStream, IpStackTcpStream, IpStackUdpStream};
use sandbox::{TUNNEL_ADDRESS, TUNNEL_MTU};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::oneshot;

/// Where the container sees the host's resolver.
pub(crate) const RESOLVER: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 3);
/// A host that does not answer in this time is not there.
const CONNECT_LIMIT: Duration = Duration::from_secs(30);
/// Datagrams whose partners have been silent for so long belong to nothing any more.
const DATAGRAM_IDLE: Duration = Duration::from_secs(60);
const DNS: u16 = 53;
/// The largest datagram there can be.
const LARGEST: usize = 65_535;

/// A network that leads outside as long as this lives.
pub(crate) struct Outside {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Outside {
    /// Carries what comes out of `device`.
    ///
    /// # Errors
    /// There is no room for another thread.
    pub fn open(device: OwnedFd) -> io::Result<Outside> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let resolver = host_resolver(&fs::read_to_string("/etc/resolv.conf").unwrap_or_default());
        let thread = std::thread::Builder::new().name("network".into()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = stopped => {}
                    // It ends when the container's network does.
                    _ = carry_all(device, resolver) => {}
                }
            });
        })?;
        Ok(Outside { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        // If nobody listens the thread has ended already; if it panicked it has said so.
        let _ = self.stop.take().map(|stop| stop.send(()));
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// The text of the container's `/etc/resolv.conf`: our address, and how the host completes names.
pub(crate) fn resolver_file(host: &str) -> String {
    let kept = host.lines().filter(|line| line.starts_with("search ") || line.starts_with("domain "));
    kept.fold(format!("nameserver {RESOLVER}\n"), |text, line| text + line + "\n")
}

/// The host's first name server that IPv4 or IPv6 sockets reach; without one, the host itself.
fn host_resolver(text: &str) -> SocketAddr {
    let servers = text.lines().filter_map(|line| line.strip_prefix("nameserver")?.trim().parse::<IpAddr>().ok());
    SocketAddr::new(servers.into_iter().next().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)), DNS)
}

async fn carry_all(device: OwnedFd, resolver: SocketAddr) -> io::Result<()> {
    let mut config = IpStackConfig::default();
    config.mtu_unchecked(TUNNEL_MTU).udp_timeout(DATAGRAM_IDLE);
    let mut stack = IpStack::new(config, Device(registered(device)?));
    loop {
        match stack.accept().await.map_err(io::Error::other)? {
            IpStackStream::Tcp(stream) => drop(tokio::spawn(carry_connection(stream, resolver))),
            IpStackStream::Udp(stream) => drop(tokio::spawn(carry_datagrams(stream, resolver))),
            IpStackStream::UnknownTransport(_) | IpStackStream::UnknownNetwork(_) => {}
        }
    }
}

#[expect(
    deprecated,
    reason = "unsound only for descriptors that may change; an owned one cannot, and no unsafe is needed"
)]
fn registered(device: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::new(device)
}

/// Where on the host's side something for `wanted` goes; `None` where it must not go anywhere.
fn destination(wanted: SocketAddr, resolver: SocketAddr) -> Option<SocketAddr> {
    let IpAddr::V4(address) = wanted.ip() else { return None };
    if address == RESOLVER {
        return (wanted.port() == DNS).then_some(resolver);
    }
    let ours = address.octets()[..3] == TUNNEL_ADDRESS.octets()[..3];
    let nobody = address.is_loopback() || address.octets()[0] == 0 || address.is_multicast() || address.is_broadcast();
    (!ours && !nobody).then_some(wanted)
}

/// A connection that cannot be made is dropped, which the container sees as a reset.
async fn carry_connection(mut inside: IpStackTcpStream, resolver: SocketAddr) -> io::Result<()> {
    let Some(to) = destination(inside.peer_addr(), resolver) else { return Ok(()) };
    let mut outside = tokio::time::timeout(CONNECT_LIMIT, TcpStream::connect(to)).await??;
    outside.set_nodelay(true)?;
    tokio::io::copy_bidirectional(&mut inside, &mut outside).await?;
    Ok(())
}

async fn carry_datagrams(mut inside: IpStackUdpStream, resolver: SocketAddr) -> io::Result<()> {
    let Some(to) = destination(inside.peer_addr(), resolver) else { return Ok(()) };
    let any = SocketAddr::new(if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { IpAddr::from([0_u16; 8]) }, 0);
    let outside = UdpSocket::bind(any).await?;
    outside.connect(to).await?;
    let (mut question, mut answer) = (vec![0; LARGEST], vec![0; LARGEST]);
    loop {
        tokio::select! {
            length = inside.read(&mut question) => match length? {
                0 => return Ok(()),
                length => drop(outside.send(&question[..length]).await),
            },
            // That nobody listens there is told once, and is no reason to forget the exchange.
            Ok(length) = outside.recv(&mut answer) => inside.write_all(&answer[..length]).await?,
            () = tokio::time::sleep(DATAGRAM_IDLE) => return Ok(()),
        }
    }
}

/// The TUN device as a stream of packets.
struct Device(AsyncFd<OwnedFd>);

impl AsyncRead for Device {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut guard = ready!(self.0.poll_read_ready(context))?;
            let read = guard.try_io(|device| Ok(rustix::io::read(device, buffer.initialize_unfilled())?));
            match read {
                Ok(Ok(length)) => {
                    buffer.advance(length);
                    return Poll::Ready(Ok(()));
                }
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(Err(error)) => return Poll::Ready(Err(error)),
                Err(_would_block) => {}
            }
        }
    }
}

impl AsyncWrite for Device {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, packet: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            let mut guard = ready!(self.0.poll_write_ready(context))?;
            match guard.try_io(|device| Ok(rustix::io::write(device, packet)?)) {
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(written) => return Poll::Ready(written),
                Err(_would_block) => {}
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leads_to_the_hosts_loopback() {
        let resolver: SocketAddr = "127.0.0.53:53".parse().unwrap();
        let to = |text: &str| destination(text.parse().unwrap(), resolver).map(|to| to.to_string());
        assert_eq!(to("192.0.2.1:80").as_deref(), Some("192.0.2.1:80"));
        assert_eq!(to("10.0.2.3:53").as_deref(), Some("127.0.0.53:53"));
        for none in
            ["127.0.0.1:80", "127.9.9.9:80", "0.0.0.0:80", "10.0.2.3:80", "10.0.2.2:53", "224.0.0.1:5353", "[::1]:1"]
        {
            assert_eq!(to(none), None, "{none}");
        }
    }

    #[test]
    fn the_hosts_resolver_is_found_and_its_domains_are_kept() {
        let text = "# made by hand\nsearch example.org\noptions edns0\nnameserver 192.0.2.53\nnameserver 192.0.2.54\n";
        assert_eq!(host_resolver(text).to_string(), "192.0.2.53:53");
        assert_eq!(host_resolver("").to_string(), "127.0.0.1:53");
        assert_eq!(resolver_file(text), "nameserver 10.0.2.3\nsearch example.org\n");
    }
}
