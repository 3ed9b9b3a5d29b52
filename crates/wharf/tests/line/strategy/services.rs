//! What the containers' services answer.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread::sleep;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(60);

/// The body that a web server at `port` of loopback answers with.
///
/// # Panics
/// When it does not within a minute.
pub fn serves(port: u16) -> String {
    let answer = until(|| {
        let answer = exchange(port, b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n").ok()?;
        answer.starts_with("HTTP/1.1 200").then_some(answer)
    });
    answer.split_once("\r\n\r\n").expect("an answer with a body").1.to_owned()
}

/// Waits until a Redis server at `port` of loopback answers PING.
///
/// # Panics
/// When it does not within a minute.
pub fn answers_ping(port: u16) {
    until(|| exchange(port, b"PING\r\nQUIT\r\n").ok()?.starts_with("+PONG").then_some(()));
}

fn until<T>(attempt: impl Fn() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = attempt() {
            return answer;
        }
        assert!(start.elapsed() < LIMIT, "no good answer within a minute");
        sleep(Duration::from_millis(50));
    }
}

fn exchange(port: u16, request: &[u8]) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(request)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
