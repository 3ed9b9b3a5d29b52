//! NAR → events.

use std::io::{self, BufRead, Read};

use super::{MAGIC, MAX_DEPTH, MAX_NAME, MAX_TARGET, NarError, name_problem, padding, target_problem};

/// One step through a NAR, depth first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A directory starts; its entries and [`Event::CloseDirectory`] follow.
    OpenDirectory,
    /// An entry of the open directory; its node follows.
    Entry {
        /// The entry's name: one path component, greater than the names before it.
        name: Vec<u8>,
    },
    /// The open directory ends.
    CloseDirectory,
    /// A symlink.
    Symlink {
        /// Where it points, which may be anywhere.
        target: Vec<u8>,
    },
    /// A regular file; its bytes are to be read from [`Reader::content`], and are skipped otherwise.
    File {
        /// Whether it may be executed.
        executable: bool,
        /// How many bytes it has.
        size: u64,
    },
}

/// Reads a NAR, event by event. Reads no byte beyond the archive's end.
pub struct Reader<R> {
    inner: R,
    offset: u64,
    /// The open directories; each with the name of its latest entry.
    stack: Vec<Vec<u8>>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Start,
    Node,
    Entries,
    /// In a file of which so many bytes are not read yet; the padding that follows them.
    File(u64, usize),
    Done,
}

impl<R: BufRead> Reader<R> {
    /// A reader at the start of an archive.
    pub fn new(inner: R) -> Self {
        Self { inner, offset: 0, stack: Vec::new(), state: State::Start }
    }

    /// How many bytes of the archive were read: its size, once it has ended.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Gives the reader below back, which stands right after the archive once that has ended.
    pub fn into_inner(self) -> R {
        self.inner
    }

    /// The next event; `None` at the archive's end.
    #[expect(clippy::should_implement_trait, reason = "errors are not items: after one there is nothing to read")]
    pub fn next(&mut self) -> Result<Option<Event>, NarError> {
        if let State::File(left, _) = self.state {
            self.skip(left)?;
            self.end_file()?;
        }
        match self.state {
            State::Start => {
                self.expect(MAGIC)?;
                self.node().map(Some)
            }
            State::Node => self.node().map(Some),
            State::Entries => self.entry().map(Some),
            State::File(..) | State::Done => Ok(None),
        }
    }

    /// The bytes of the file that the last event announced; empty after any other event.
    pub fn content(&mut self) -> Content<'_, R> {
        Content { reader: self }
    }

    fn node(&mut self) -> Result<Event, NarError> {
        self.expect(b"(")?;
        self.expect(b"type")?;
        let mut kind = [0; 16];
        match self.short_token(&mut kind)? {
            b"directory" => {
                if self.stack.len() >= MAX_DEPTH {
                    return Err(self.malformed("directories nest too deep"));
                }
                self.stack.push(Vec::new());
                self.state = State::Entries;
                Ok(Event::OpenDirectory)
            }
            b"symlink" => {
                self.expect(b"target")?;
                let target = self.token(MAX_TARGET)?;
                if let Some(problem) = target_problem(&target) {
                    return Err(self.malformed(problem));
                }
                self.end_node()?;
                Ok(Event::Symlink { target })
            }
            b"regular" => self.file(),
            _ => Err(self.malformed("a node is neither a directory, nor a symlink, nor a regular file")),
        }
    }

    fn file(&mut self) -> Result<Event, NarError> {
        let mut buffer = [0; 16];
        let mut token = self.short_token(&mut buffer)?;
        let executable = token == b"executable";
        if executable {
            self.expect(b"")?;
            token = self.short_token(&mut buffer)?;
        }
        let size = match token {
            b"contents" => self.number()?,
            // A file without contents is empty; no current writer makes one.
            b")" => return Err(self.malformed("a regular file has no contents")),
            _ => return Err(self.malformed("expected 'executable' or 'contents'")),
        };
        self.state = State::File(size, padding(size));
        if size == 0 {
            self.end_file()?;
        }
        Ok(Event::File { executable, size })
    }

    fn entry(&mut self) -> Result<Event, NarError> {
        let mut buffer = [0; 16];
        match self.short_token(&mut buffer)? {
            b")" => {
                self.stack.pop();
                self.leave()?;
                return Ok(Event::CloseDirectory);
            }
            b"entry" => {}
            _ => return Err(self.malformed("expected 'entry' or the directory's end")),
        }
        self.expect(b"(")?;
        self.expect(b"name")?;
        let name = self.token(MAX_NAME)?;
        if let Some(problem) = name_problem(&name) {
            return Err(self.malformed(problem));
        }
        if self.stack.last().is_some_and(|last| *last >= name) {
            return Err(self.malformed("the entries of a directory are not in order"));
        }
        if let Some(last) = self.stack.last_mut() {
            last.clone_from(&name);
        }
        self.expect(b"node")?;
        self.state = State::Node;
        Ok(Event::Entry { name })
    }

    fn end_file(&mut self) -> Result<(), NarError> {
        if let State::File(_, padding) = self.state {
            self.padding(padding)?;
        }
        self.end_node()
    }

    fn end_node(&mut self) -> Result<(), NarError> {
        self.expect(b")")?;
        self.leave()
    }

    /// After a node: ends the entry around it, if there is one.
    fn leave(&mut self) -> Result<(), NarError> {
        if self.stack.is_empty() {
            self.state = State::Done;
            return Ok(());
        }
        self.expect(b")")?;
        self.state = State::Entries;
        Ok(())
    }

    fn skip(&mut self, size: u64) -> Result<(), NarError> {
        let skipped = io::copy(&mut (&mut self.inner).take(size), &mut io::sink())?;
        self.offset += skipped;
        if skipped < size { Err(NarError::Truncated { offset: self.offset }) } else { Ok(()) }
    }

    fn expect(&mut self, wanted: &[u8]) -> Result<(), NarError> {
        let mut buffer = [0; 16];
        if self.short_token(&mut buffer)? == wanted {
            return Ok(());
        }
        Err(self.malformed(&format!("expected '{}'", String::from_utf8_lossy(wanted))))
    }

    /// Reads one of the format's own words, which are all shorter than the buffer.
    fn short_token<'b>(&mut self, buffer: &'b mut [u8; 16]) -> Result<&'b [u8], NarError> {
        let len = self.number()?;
        let Some(token) = usize::try_from(len).ok().and_then(|len| buffer.get_mut(..len)) else {
            return Err(self.malformed("a word of the format is too long"));
        };
        self.fill(token)?;
        self.padding(padding(len))?;
        Ok(token)
    }

    fn token(&mut self, longest: usize) -> Result<Vec<u8>, NarError> {
        let len = self.number()?;
        if len > longest as u64 {
            return Err(self.malformed("a name or a symlink's target is too long"));
        }
        let mut token = vec![0; len as usize];
        self.fill(&mut token)?;
        self.padding(padding(len))?;
        Ok(token)
    }

    fn number(&mut self) -> Result<u64, NarError> {
        let mut bytes = [0; 8];
        self.fill(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn padding(&mut self, len: usize) -> Result<(), NarError> {
        let mut bytes = [0; 8];
        self.fill(&mut bytes[..len])?;
        if bytes != [0; 8] {
            return Err(self.malformed("the padding is not zero"));
        }
        Ok(())
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), NarError> {
        self.inner.read_exact(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => NarError::Truncated { offset: self.offset },
            _ => NarError::Io(error),
        })?;
        self.offset += buffer.len() as u64;
        Ok(())
    }

    fn malformed(&self, reason: &str) -> NarError {
        NarError::Malformed { offset: self.offset, reason: reason.to_owned() }
    }
}

/// The bytes of one file of a NAR.
pub struct Content<'a, R> {
    reader: &'a mut Reader<R>,
}

impl<R: BufRead> Read for Content<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let State::File(left, padding) = self.reader.state else { return Ok(0) };
        let limit = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        if limit == 0 {
            return Ok(0);
        }
        let count = self.reader.inner.read(&mut buffer[..limit])?;
        if count == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the NAR ends inside a file"));
        }
        self.reader.offset += count as u64;
        self.reader.state = State::File(left - count as u64, padding);
        Ok(count)
    }
}
