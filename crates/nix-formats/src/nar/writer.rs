//! Tree → NAR.

use std::io::{self, Read, Write};

use super::{MAGIC, MAX_DEPTH, NarError, name_problem, padding, target_problem};

/// Writes a NAR, one node after the other, depth first.
///
/// A node is [`Writer::file`] (or [`Writer::open_file`] and so on), [`Writer::symlink`], or [`Writer::open_directory`], entries and
/// [`Writer::close_directory`]; inside a directory each node comes after its [`Writer::entry`]. Entries must come in
/// byte order of their names. Writes are small: give it a buffered writer.
pub struct Writer<W> {
    inner: W,
    /// The open directories; each with the name of its latest entry.
    stack: Vec<Vec<u8>>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// A node must follow: the root, or that of an entry.
    Node,
    /// In a directory: an entry, or its end, must follow.
    Entries,
    /// In a file of which so many bytes are still to come; the padding after them.
    File(u64, usize),
    Done,
}

impl<W: Write> Writer<W> {
    /// Starts an archive.
    pub fn new(mut inner: W) -> io::Result<Self> {
        put(&mut inner, MAGIC)?;
        Ok(Self { inner, stack: Vec::new(), state: State::Node })
    }

    /// Starts a directory.
    pub fn open_directory(&mut self) -> Result<(), NarError> {
        self.expect(State::Node)?;
        if self.stack.len() >= MAX_DEPTH {
            return Err(misuse("directories nest too deep"));
        }
        self.tokens(&[b"(", b"type", b"directory"])?;
        self.stack.push(Vec::new());
        self.state = State::Entries;
        Ok(())
    }

    /// Starts an entry of the open directory: its node must follow.
    pub fn entry(&mut self, name: &[u8]) -> Result<(), NarError> {
        self.expect(State::Entries)?;
        if let Some(problem) = name_problem(name) {
            return Err(misuse(problem));
        }
        let Some(last) = self.stack.last_mut() else { return Err(misuse("an entry outside of a directory")) };
        if last.as_slice() >= name {
            return Err(misuse("the entries are not in order of their names"));
        }
        last.clear();
        last.extend_from_slice(name);
        self.tokens(&[b"entry", b"(", b"name", name, b"node"])?;
        self.state = State::Node;
        Ok(())
    }

    /// Ends the open directory.
    pub fn close_directory(&mut self) -> Result<(), NarError> {
        self.expect(State::Entries)?;
        self.stack.pop();
        self.end_node()
    }

    /// Writes a symlink.
    pub fn symlink(&mut self, target: &[u8]) -> Result<(), NarError> {
        self.expect(State::Node)?;
        if let Some(problem) = target_problem(target) {
            return Err(misuse(problem));
        }
        self.tokens(&[b"(", b"type", b"symlink", b"target", target])?;
        self.end_node()
    }

    /// Writes a regular file of exactly `size` bytes, which `content` gives; more in it is an error too.
    pub fn file(&mut self, executable: bool, size: u64, content: &mut impl Read) -> Result<(), NarError> {
        self.open_file(executable, size)?;
        let copied = io::copy(&mut content.take(size), &mut self.inner)?;
        self.state = State::File(size - copied, padding(size));
        if content.read(&mut [0])? > 0 {
            return Err(misuse("a file has grown while it was read"));
        }
        self.close_file()
    }

    /// Writes a regular file whose content is at hand.
    pub fn file_bytes(&mut self, executable: bool, content: &[u8]) -> Result<(), NarError> {
        self.open_file(executable, content.len() as u64)?;
        self.content(content)?;
        self.close_file()
    }

    /// Starts a regular file: [`Writer::content`] and [`Writer::close_file`] must follow.
    pub fn open_file(&mut self, executable: bool, size: u64) -> Result<(), NarError> {
        self.expect(State::Node)?;
        self.tokens(&[b"(", b"type", b"regular"])?;
        if executable {
            self.tokens(&[b"executable", b""])?;
        }
        put(&mut self.inner, b"contents")?;
        self.inner.write_all(&size.to_le_bytes())?;
        self.state = State::File(size, padding(size));
        Ok(())
    }

    /// Writes the next bytes of the open file.
    pub fn content(&mut self, bytes: &[u8]) -> Result<(), NarError> {
        match self.state {
            State::File(left, padding) if left >= bytes.len() as u64 => {
                self.inner.write_all(bytes)?;
                self.state = State::File(left - bytes.len() as u64, padding);
                Ok(())
            }
            State::File(..) => Err(misuse("a file has grown while it was read")),
            _ => Err(misuse("content outside of a file")),
        }
    }

    /// Ends the open file, all of whose bytes must have come.
    pub fn close_file(&mut self) -> Result<(), NarError> {
        match self.state {
            State::File(0, padding) => {
                self.inner.write_all(&[0; 8][..padding])?;
                self.end_node()
            }
            State::File(..) => Err(misuse("a file has shrunk while it was read")),
            _ => Err(misuse("there is no open file")),
        }
    }

    /// Ends the archive and gives the writer below back.
    pub fn finish(self) -> Result<W, NarError> {
        self.expect(State::Done)?;
        Ok(self.inner)
    }

    /// Ends a node, and the entry around it if there is one.
    fn end_node(&mut self) -> Result<(), NarError> {
        put(&mut self.inner, b")")?;
        if self.stack.is_empty() {
            self.state = State::Done;
        } else {
            put(&mut self.inner, b")")?;
            self.state = State::Entries;
        }
        Ok(())
    }

    fn tokens(&mut self, tokens: &[&[u8]]) -> io::Result<()> {
        tokens.iter().try_for_each(|token| put(&mut self.inner, token))
    }

    fn expect(&self, state: State) -> Result<(), NarError> {
        if self.state == state {
            return Ok(());
        }
        Err(misuse(match self.state {
            State::Node => "a file, directory or symlink must come here",
            State::Entries => "an entry or the directory's end must come here",
            State::File(..) => "the open file must be ended first",
            State::Done => "the archive is complete already",
        }))
    }
}

fn misuse(reason: &str) -> NarError {
    NarError::Misuse { reason: reason.to_owned() }
}

fn put(inner: &mut impl Write, token: &[u8]) -> io::Result<()> {
    inner.write_all(&(token.len() as u64).to_le_bytes())?;
    inner.write_all(token)?;
    inner.write_all(&[0; 8][..padding(token.len() as u64)])
}
