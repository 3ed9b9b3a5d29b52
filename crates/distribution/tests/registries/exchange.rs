//! Exchanges with registries as data: a server on loopback that checks what is asked and replays what was answered.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use distribution::RegistriesConf;

/// One request and its answer. In the texts `{name}` stands for the address of the server of that name.
#[derive(Clone, Copy)]
pub struct Exchange {
    /// Which server is asked.
    pub at: &'static str,
    /// The request's line without its version, percent-encoding undone.
    pub request: &'static str,
    /// What its head or body must have; after `!`, what it must not.
    pub with: &'static [&'static str],
    /// Status, headers, an empty line, and the body.
    pub answer: &'static str,
}

/// Servers that replay exchanges in their order.
pub struct Replay {
    addresses: Vec<(&'static str, String)>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    left: Vec<Exchange>,
    wrong: Option<String>,
}

impl Replay {
    pub fn start(names: &[&'static str], exchanges: &[Exchange]) -> Replay {
        let state = Arc::new(Mutex::new(State { left: exchanges.to_vec(), wrong: None }));
        let listeners: Vec<_> = names.iter().map(|name| (*name, TcpListener::bind("127.0.0.1:0").unwrap())).collect();
        let addresses: Vec<(&'static str, String)> =
            listeners.iter().map(|(name, listener)| (*name, listener.local_addr().unwrap().to_string())).collect();
        for (name, listener) in listeners {
            let (state, addresses) = (Arc::clone(&state), addresses.clone());
            std::thread::spawn(move || {
                for mut stream in listener.incoming().map_while(Result::ok) {
                    let Some((line, all)) = read(&mut stream) else { continue };
                    let answer = state.lock().unwrap().answer(name, &line, &all, &addresses);
                    let _ = stream.write_all(answer.as_bytes());
                }
            });
        }
        Replay { addresses, state }
    }

    pub fn host(&self, name: &str) -> &str {
        &self.addresses.iter().find(|(known, _)| *known == name).unwrap().1
    }

    /// A configuration by which the registry `location` is found at the server `name`.
    pub fn instead_of(&self, location: &str, name: &str) -> RegistriesConf {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = format!("[[registry]]\nprefix = \"{location}\"\nlocation = \"{}\"\n", self.host(name));
        std::fs::write(file.path(), text).unwrap();
        RegistriesConf::read(Some(file.path()), &[]).unwrap()
    }

    /// Every request was the expected one, and all came.
    pub fn is_done(&self) {
        let state = self.state.lock().unwrap();
        assert_eq!(state.wrong, None);
        let left: Vec<_> = state.left.iter().map(|exchange| exchange.request).collect();
        assert!(left.is_empty(), "not asked: {left:?}");
    }
}

impl State {
    fn answer(&mut self, name: &str, line: &str, all: &str, addresses: &[(&'static str, String)]) -> String {
        let filled = |text: &str| addresses.iter().fold(text.to_owned(), |t, (n, a)| t.replace(&format!("{{{n}}}"), a));
        let Some(next) = self.left.first().copied() else {
            return self.wrong(format!("{name} was asked `{line}` at the end"));
        };
        if next.at != name || filled(next.request) != line {
            return self.wrong(format!("{name} was asked `{line}`; expected {} `{}`", next.at, filled(next.request)));
        }
        for part in next.with {
            let (part, wanted) = part.strip_prefix('!').map_or((*part, true), |part| (part, false));
            if all.contains(&filled(part)) != wanted {
                return self.wrong(format!("`{part}` in `{line}`: {}\n{all}", !wanted));
            }
        }
        self.left.remove(0);
        let text = filled(next.answer);
        let (head, body) = text.split_once("\n\n").unwrap_or((&text, ""));
        let head: Vec<&str> = head.trim().lines().map(str::trim).collect();
        let length =
            if line.starts_with("HEAD ") { String::new() } else { format!("content-length: {}\r\n", body.len()) };
        format!("HTTP/1.1 {}\r\nconnection: close\r\n{length}\r\n{body}", head.join("\r\n"))
    }

    fn wrong(&mut self, message: String) -> String {
        self.wrong.get_or_insert(message);
        "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n".to_owned()
    }
}

/// The request line without its version, and everything; headers' names in lower case are what clients here send.
fn read(stream: &mut std::net::TcpStream) -> Option<(String, String)> {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length =
                head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                let line = head.lines().next()?.rsplit_once(' ')?.0.to_owned();
                return Some((decoded(&line), text));
            }
        }
        let read = stream.read(&mut piece).ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&piece[..read]);
    }
}

fn decoded(text: &str) -> String {
    text.replace("%3A", ":").replace("%2F", "/").replace("%2C", ",").replace("+", " ")
}
