//! A server of files on loopback that takes its time.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::Result;

/// Serves a directory to the end of the process.
pub struct Server {
    /// `http://127.0.0.1:PORT`
    pub address: String,
}

impl Server {
    /// Serves `directory`; each answer comes after `latency`.
    ///
    /// # Errors
    /// When there is no free port.
    pub fn start(directory: &Path, latency: Duration) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = format!("http://{}", listener.local_addr()?);
        let directory = directory.to_owned();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let directory = directory.clone();
                // A client that goes away ends its own thread only.
                thread::spawn(move || drop(serve(stream, &directory, latency)));
            }
        });
        Ok(Self { address })
    }
}

/// Answers the requests of one connection, one after the other.
fn serve(mut stream: TcpStream, directory: &Path, latency: Duration) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let mut request = String::new();
        if reader.read_line(&mut request)? == 0 {
            return Ok(());
        }
        let mut line = String::new();
        while reader.read_line(&mut line)? > 2 {
            line.clear();
        }
        thread::sleep(latency);
        let mut words = request.split(' ');
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        match File::open(directory.join(target.trim_start_matches('/'))) {
            Ok(mut file) => {
                let length = file.metadata()?.len();
                stream.write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n").as_bytes())?;
                if method != "HEAD" {
                    io::copy(&mut file, &mut stream)?;
                }
            }
            Err(_) => stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")?,
        }
    }
}
