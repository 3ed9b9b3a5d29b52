//! A server on loopback that answers as a test says, well or badly.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A request: what was asked, and by whom.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    /// A header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The target without its query.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap()
    }
}

/// What is answered.
pub enum Reply {
    /// A status line's end, headers, and a body.
    Whole(&'static str, Vec<(&'static str, String)>, Vec<u8>),
    /// Announces the whole body, sends only so many bytes of it and closes.
    Cut(Vec<(&'static str, String)>, Vec<u8>, usize),
    /// Says nothing, for longer than anybody waits.
    Hang,
    /// Closes at once.
    Reset,
}

impl Reply {
    pub fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self::Whole("200 OK", Vec::new(), body.into())
    }

    pub fn status(status: &'static str) -> Self {
        Self::Whole(status, Vec::new(), Vec::new())
    }

    pub fn redirect(to: &str) -> Self {
        Self::Whole("302 Found", vec![("location", to.to_owned())], Vec::new())
    }
}

/// The server; it stays to the end of the process.
pub struct Server {
    pub address: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    pub fn start(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (noted, answer) = (Arc::clone(&requests), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (noted, answer) = (Arc::clone(&noted), Arc::clone(&answer));
                std::thread::spawn(move || serve(stream.unwrap(), &noted, &*answer));
            }
        });
        Self { address, requests }
    }

    /// What was asked so far.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// How often something below this path was asked for.
    pub fn count(&self, path: &str) -> usize {
        self.requests().iter().filter(|request| request.path().starts_with(path)).count()
    }
}

fn serve(mut stream: TcpStream, noted: &Mutex<Vec<Request>>, answer: &dyn Fn(&Request) -> Reply) {
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let Some(request) = read(&stream) else { return };
    let reply = answer(&request);
    let head = request.method == "HEAD";
    noted.lock().unwrap().push(request);
    let (status, headers, body, sent) = match reply {
        Reply::Whole(status, headers, body) => (status, headers, body, usize::MAX),
        Reply::Cut(headers, body, sent) => ("200 OK", headers, body, sent),
        Reply::Hang => return std::thread::sleep(Duration::from_secs(20)),
        Reply::Reset => return,
    };
    let mut text = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    let _ = stream.write_all(format!("{text}\r\n").as_bytes());
    if !head {
        let _ = stream.write_all(&body[..body.len().min(sent)]);
    }
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.push((name.to_ascii_lowercase(), value.to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let mut body = vec![0; length.map_or(0, |(_, value)| value.parse().unwrap())];
    reader.read_exact(&mut body).ok()?;
    Some(Request { method, target, headers, body })
}
