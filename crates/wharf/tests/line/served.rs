//! Wharf's own registry.

use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use peers::free_port;

use crate::place::Place;

/// `wharf registry serve` on loopback; ends on drop.
pub struct Served {
    child: Child,
    /// `127.0.0.1:PORT`, as it stands in an image reference.
    pub host: String,
}

impl Served {
    /// Starts one that keeps what it is given in the place.
    pub fn start(place: &Place) -> Self {
        let port = free_port();
        let host = format!("127.0.0.1:{port}");
        place.write("registry.toml", &format!("[listen]\naddress = \"{host}\"\n[storage]\nroot = \"images\"\n"));
        let mut serve = place.wharf(["registry", "serve", "--config", "registry.toml"]);
        let child = serve.stdin(Stdio::null()).stderr(Stdio::null()).spawn().expect("the registry starts");
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(start.elapsed() < Duration::from_secs(30), "the registry does not listen");
            sleep(Duration::from_millis(20));
        }
        Self { child, host }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        let _ = self.child.wait();
    }
}
