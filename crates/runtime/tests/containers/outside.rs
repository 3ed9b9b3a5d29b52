//! What a container's private network reaches: other hosts, by streams and datagrams, and not the host's loopback.

use std::process::{Child, Command, Stdio};

use serde_json::json;

use crate::image_files::{Place, base};

/// A host of the tests' own: a network namespace with an address that is not loopback.
struct Host {
    name: String,
    servers: Vec<Child>,
}

const ADDRESS: &str = "192.0.2.1";

impl Host {
    /// One with a web server and one that answers datagrams; `None` where it cannot be made.
    fn start(www: &std::path::Path) -> Option<Host> {
        let found = |program: &&str| std::path::Path::new("/usr/sbin").join(program).exists();
        if !rustix::process::geteuid().is_root() || !["ip"].iter().all(found) {
            let required = std::env::var_os("WHARF_REQUIRE_PEERS").is_some_and(|value| value == "1");
            assert!(!required, "needs root and ip");
            println!("skipped: needs root and ip");
            return None;
        }
        let mut host = Host { name: format!("wharf-test-{}", std::process::id()), servers: Vec::new() };
        host.ip(&["netns", "add", &host.name]);
        host.ip(&["-n", &host.name, "link", "set", "lo", "up"]);
        host.ip(&["-n", &host.name, "addr", "add", &format!("{ADDRESS}/32"), "dev", "lo"]);
        let own = std::env::current_exe().unwrap();
        let datagrams = [own.to_str()?, "--exact", "behaviour::datagram_server", "--ignored", "--nocapture"];
        for server in [&["busybox", "httpd", "-f", "-p", "8080", "-h", www.to_str()?][..], &datagrams] {
            let mut command = Command::new("ip");
            command.args(["netns", "exec", &host.name]).args(server).stdout(Stdio::null());
            host.servers.push(command.spawn().unwrap());
        }
        Some(host)
    }

    fn ip(&self, arguments: &[&str]) {
        assert!(Command::new("ip").args(arguments).status().unwrap().success(), "ip {arguments:?}");
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        for server in &mut self.servers {
            let _ = server.kill();
            let _ = server.wait();
        }
        let _ = Command::new("ip").args(["netns", "del", &self.name]).status();
    }
}

#[test]
fn other_hosts_are_reached_and_the_hosts_loopback_is_not() {
    let Some(base) = base() else { return };
    let www = tempfile::tempdir().unwrap();
    std::fs::write(www.path().join("index.html"), "hello\n".repeat(100_000)).unwrap();
    let Some(host) = Host::start(www.path()) else { return };
    let script = format!(
        "until wget -q -O - http://{ADDRESS}:8080/ | wc -c; do sleep 0.1; done; \
         for none in 127.0.0.1 10.0.2.2; do wget -T 3 -q -O - http://$none:8080/ && echo reached $none; done; \
         /server --exact outside::datagram_client --ignored --nocapture; grep nameserver /etc/resolv.conf"
    );
    let place = Place::new(&[base], json!({ "Cmd": ["sh", "-c", script], "Env": ["PATH=/bin"] }));
    let own = std::env::current_exe().unwrap();
    let settings = json!({ "volumes": [format!("{}:/server:ro", own.display())] });
    let prefix = ["/usr/sbin/ip", "netns", "exec", &host.name];
    let output = place.process_in(&prefix, place.path(), &settings).output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(stdout.contains("600000\n"), "{stdout}{stderr}");
    assert!(stdout.contains("the datagram came back"), "{stdout}{stderr}");
    assert!(stdout.contains("nameserver 10.0.2.3"), "{stdout}{stderr}");
    assert!(!stdout.contains("reached"), "{stdout}{stderr}");
    assert!(place.is_clean());
}

#[test]
#[ignore = "not a test: a client inside a container"]
fn datagram_client() {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.set_read_timeout(Some(std::time::Duration::from_millis(200))).unwrap();
    let mut buffer = [0; 100];
    let answered = (0..50).any(|_| {
        let _ = socket.send_to(b"there and back", (ADDRESS, 5353));
        socket.recv(&mut buffer).is_ok_and(|length| &buffer[..length] == b"there and back")
    });
    println!("{}", if answered { "the datagram came back" } else { "no answer" });
}
