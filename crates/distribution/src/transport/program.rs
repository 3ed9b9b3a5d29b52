//! Programs that a transport goes through: podman and ctr.

use std::io;
use std::process::{ExitStatus, Stdio};

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdout, Command};
use tokio::task::JoinHandle;

use crate::byte_stream::{ByteStream, unwrapped, wrapped};
use crate::error::Error;

/// How much of what a program says is kept.
const SAID_LIMIT: u64 = 16 << 10;
const PIECE: usize = 256 << 10;

/// A program, with what is said where it is missing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Program {
    /// Its name, to be found in `PATH`.
    pub name: &'static str,
    /// The transport that needs it.
    pub transport: &'static str,
    /// What to do where it is missing.
    pub advice: &'static str,
}

/// A running program.
struct Running {
    child: Child,
    said: JoinHandle<String>,
}

impl Program {
    fn start(&self, arguments: &[String], stdin: Stdio) -> Result<Running, Error> {
        let mut command = Command::new(self.name);
        command.args(arguments).stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().map_err(|error| self.missing(&error))?;
        let said = tokio::spawn(gather(child.stderr.take()));
        Ok(Running { child, said })
    }

    fn missing(&self, error: &io::Error) -> Error {
        Error::Missing {
            what: format!("{} needs the program `{}`", self.transport, self.name),
            reason: if error.kind() == io::ErrorKind::NotFound {
                "it is not installed".into()
            } else {
                error.to_string()
            },
            help: self.advice.to_owned(),
        }
    }

    async fn end(&self, mut running: Running, action: &str) -> Result<(), Error> {
        let status = running.child.wait().await.map_err(|error| self.failed(action, &error.to_string()))?;
        if status.success() {
            return Ok(());
        }
        let said = running.said.await.unwrap_or_default();
        Err(self.failed(action, &reason(status, &said)))
    }

    fn failed(&self, action: &str, message: &str) -> Error {
        Error::Program { program: self.name.to_owned(), action: action.to_owned(), message: message.to_owned() }
    }

    /// All that the program prints, at most `limit` bytes.
    pub async fn output(&self, arguments: Vec<String>, action: &str, limit: usize) -> Result<Vec<u8>, Error> {
        let mut bytes = self.stream(arguments, action.to_owned());
        let mut all = Vec::new();
        while let Some(piece) = bytes.next().await {
            all.extend_from_slice(&piece.map_err(|error| unwrapped(error, action))?);
            if all.len() > limit {
                return Err(self.failed(action, &format!("its answer is longer than {limit} bytes")));
            }
        }
        Ok(all)
    }

    /// What the program prints, as it comes. It is started when the first piece is asked for, and killed when nobody asks
    /// any more. That it fails is an error in place of the end.
    pub fn stream(&self, arguments: Vec<String>, action: String) -> ByteStream {
        let program = *self;
        let start = async move {
            let mut running = program.start(&arguments, Stdio::null()).map_err(wrapped)?;
            let stdout = running.child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
            Ok::<_, io::Error>(stream::try_unfold(Some((stdout, running)), move |state| {
                let action = action.clone();
                async move {
                    let Some((mut stdout, running)) = state else { return Ok(None) };
                    match piece(&mut stdout).await? {
                        Some(piece) => Ok(Some((piece, Some((stdout, running))))),
                        None => program.end(running, &action).await.map_err(wrapped).map(|()| None),
                    }
                }
            }))
        };
        stream::once(start).try_flatten().boxed()
    }

    /// Gives the program its input. Where `bytes` ends in an error, the program is killed before it sees an end.
    pub async fn feed(&self, arguments: Vec<String>, mut bytes: ByteStream, action: &str) -> Result<(), Error> {
        let mut running = self.start(&arguments, Stdio::piped())?;
        let printed = tokio::spawn(gather(running.child.stdout.take()));
        let mut stdin = running.child.stdin.take();
        while let (Some(pipe), Some(piece)) = (&mut stdin, bytes.next().await) {
            let piece = match piece {
                Ok(piece) => piece,
                Err(error) => {
                    // If it cannot be killed it has ended already, and reads no more.
                    let _ = running.child.kill().await;
                    return Err(unwrapped(error, action));
                }
            };
            if pipe.write_all(&piece).await.is_err() {
                // It says itself why it reads no further.
                stdin = None;
            }
        }
        drop(stdin);
        self.end(running, action).await?;
        drop(printed);
        Ok(())
    }
}

async fn piece(stdout: &mut ChildStdout) -> io::Result<Option<Bytes>> {
    let mut piece = BytesMut::with_capacity(PIECE);
    let read = stdout.read_buf(&mut piece).await?;
    Ok((read > 0).then(|| piece.freeze()))
}

/// The beginning of what is said, reading to its end so that nobody waits.
async fn gather(from: Option<impl AsyncRead + Unpin>) -> String {
    let Some(mut from) = from else { return String::new() };
    let mut said = Vec::new();
    // What cannot be read is not said.
    let _ = (&mut from).take(SAID_LIMIT).read_to_end(&mut said).await;
    let _ = tokio::io::copy(&mut from, &mut tokio::io::sink()).await;
    String::from_utf8_lossy(&said).into_owned()
}

/// The last line that a program said tells most.
fn reason(status: ExitStatus, said: &str) -> String {
    match said.lines().rev().find(|line| !line.trim().is_empty()) {
        Some(line) => line.trim().to_owned(),
        None => status.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHELL: Program = Program { name: "sh", transport: "test:", advice: "none" };

    fn script(text: &str) -> Vec<String> {
        vec!["-c".to_owned(), text.to_owned()]
    }

    #[tokio::test]
    async fn a_program_that_fails_is_an_error_with_its_last_words() {
        let output = SHELL.output(script("echo out; echo first >&2; echo last >&2; exit 3"), "try", 100).await;
        assert_eq!(output.unwrap_err().to_string(), "sh failed to try: last");
        assert_eq!(SHELL.output(script("echo out"), "try", 100).await.unwrap(), b"out\n");
        let long = SHELL.output(script("yes | head -c 1000"), "try", 100).await.unwrap_err().to_string();
        assert!(long.contains("longer than 100"), "{long}");
        let none = Program { name: "no-such-program", ..SHELL }.output(Vec::new(), "try", 1).await.unwrap_err();
        assert_eq!(none.to_string(), "test: needs the program `no-such-program`: it is not installed");
    }

    #[tokio::test]
    async fn input_that_breaks_off_has_no_end_for_the_program() {
        let place = tempfile::tempdir().unwrap();
        let mark = place.path().join("ended");
        let script = script(&format!("cat >/dev/null; touch {}", mark.display()));
        let broken = stream::iter([Ok(Bytes::from_static(b"a")), Err(io::Error::other("broken"))]).boxed();
        assert!(SHELL.feed(script.clone(), broken, "try").await.is_err());
        assert!(!mark.exists());
        SHELL.feed(script, stream::iter([Ok(Bytes::from_static(b"a"))]).boxed(), "try").await.unwrap();
        assert!(mark.exists());
    }
}
