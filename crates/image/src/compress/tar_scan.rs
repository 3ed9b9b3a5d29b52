//! Where in a tar stream headers and files' contents are, found while it passes by.

use std::io;

use jiff::Timestamp;

use crate::tar::{BLOCK, size_of};

/// The longest extension that is read: names and attributes.
const LONGEST_EXTENSION: u64 = 1 << 20;

/// A member of the stream, as Go's `archive/tar` describes it; the readers of tables of contents compare with that.
#[derive(Debug, Default)]
pub(super) struct Member {
    pub kind: &'static str,
    pub name: String,
    pub link: String,
    pub mode: u32,
    pub uid: u64,
    pub gid: u64,
    pub size: u64,
    pub modified: Timestamp,
    pub device: (u32, u32),
    /// Extended attributes, the values in base 64.
    pub attributes: Vec<(String, Vec<u8>)>,
}

/// What the bytes are that were looked at.
pub(super) enum Step {
    /// Padding, a header or an extension; with the last of them the member that they announce.
    Head(Option<Box<Member>>),
    /// Content of the member, and whether it is the last.
    Content { last: bool },
    /// What follows the last member.
    Rest,
    /// A stream that is not understood from here on.
    Odd,
}

/// A tar stream that passes by.
pub(super) struct TarScan {
    state: State,
    block: Vec<u8>,
    extension: Vec<u8>,
    /// What the extensions before a header say of it.
    overrides: Overrides,
}

enum State {
    Header,
    Extension { kind: u8, left: u64, padding: u64 },
    Content { left: u64, padding: u64 },
    Padding(u64),
    Rest,
    Odd,
}

#[derive(Default)]
struct Overrides {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    records: Vec<(String, Vec<u8>)>,
}

impl TarScan {
    pub fn new() -> Self {
        Self { state: State::Header, block: Vec::new(), extension: Vec::new(), overrides: Overrides::default() }
    }

    /// Whether no more members are expected.
    pub fn has_ended(&self) -> bool {
        matches!(self.state, State::Rest | State::Odd)
    }

    /// Whether the stream may end here.
    pub fn is_whole(&self) -> bool {
        match self.state {
            State::Rest => true,
            State::Header => self.block.is_empty() && self.overrides.is_empty(),
            _ => false,
        }
    }

    /// Looks at some of the bytes, at most `limit` of them; how many, and what they are.
    pub fn step(&mut self, data: &[u8], limit: usize) -> (usize, Step) {
        let data = &data[..data.len().min(limit)];
        match self.state {
            State::Header => self.header(data),
            State::Extension { kind, left, padding } => self.extension(data, kind, left, padding),
            State::Padding(left) => {
                let taken = at_most(data, left);
                self.state = after_padding(left - taken as u64);
                (taken, Step::Head(None))
            }
            State::Content { left, padding } => {
                let taken = at_most(data, left);
                let left = left - taken as u64;
                self.state = if left == 0 { after_padding(padding) } else { State::Content { left, padding } };
                (taken, Step::Content { last: left == 0 })
            }
            State::Rest => (data.len(), Step::Rest),
            State::Odd => (data.len(), Step::Odd),
        }
    }

    fn header(&mut self, data: &[u8]) -> (usize, Step) {
        let taken = data.len().min(BLOCK - self.block.len());
        self.block.extend_from_slice(&data[..taken]);
        if self.block.len() < BLOCK {
            return (taken, Step::Head(None));
        }
        let block = std::mem::take(&mut self.block);
        let step = if block.iter().all(|byte| *byte == 0) {
            self.state = State::Rest;
            Step::Rest
        } else {
            self.begin(&block).unwrap_or_else(|| {
                self.state = State::Odd;
                Step::Odd
            })
        };
        (taken, step)
    }

    /// After a whole header; `None` for one that is not understood.
    fn begin(&mut self, block: &[u8]) -> Option<Step> {
        let header = ::tar::Header::from_byte_slice(block);
        let size = size_of(block.try_into().ok()?)?;
        let padding = size.next_multiple_of(BLOCK as u64) - size;
        let kind = block[156];
        if matches!(kind, b'x' | b'L' | b'K') {
            if size == 0 || size > LONGEST_EXTENSION {
                return None;
            }
            self.state = State::Extension { kind, left: size, padding };
            return Some(Step::Head(None));
        }
        let member = self.member(header, kind, size)?;
        self.state = match member.size {
            0 => State::Header,
            left => State::Content { left, padding: left.next_multiple_of(BLOCK as u64) - left },
        };
        Some(Step::Head(Some(Box::new(member))))
    }

    fn extension(&mut self, data: &[u8], kind: u8, left: u64, padding: u64) -> (usize, Step) {
        let taken = at_most(data, left);
        self.extension.extend_from_slice(&data[..taken]);
        let left = left - taken as u64;
        if left > 0 {
            self.state = State::Extension { kind, left, padding };
            return (taken, Step::Head(None));
        }
        let extension = std::mem::take(&mut self.extension);
        match self.overrides.read(kind, &extension) {
            Ok(()) => {
                self.state = after_padding(padding);
                (taken, Step::Head(None))
            }
            Err(_) => {
                self.state = State::Odd;
                (taken, Step::Odd)
            }
        }
    }

    fn member(&mut self, header: &::tar::Header, kind: u8, size: u64) -> Option<Member> {
        let overrides = std::mem::take(&mut self.overrides);
        let name = overrides.name.unwrap_or_else(|| header.path_bytes().into_owned());
        let link = overrides.link.or_else(|| header.link_name_bytes().map(|link| link.into_owned()));
        let mut member = Member {
            kind: match kind {
                b'0' => "reg",
                b'1' => "hardlink",
                b'2' => "symlink",
                b'3' => "char",
                b'4' => "block",
                b'5' => "dir",
                b'6' => "fifo",
                _ => return None,
            },
            name: String::from_utf8(name).ok()?,
            link: String::from_utf8(link.unwrap_or_default()).ok()?,
            mode: header.mode().ok()?,
            uid: header.uid().ok()?,
            gid: header.gid().ok()?,
            size,
            modified: Timestamp::from_second(i64::try_from(header.mtime().ok()?).ok()?).ok()?,
            device: match kind {
                b'3' | b'4' => (header.device_major().ok()??, header.device_minor().ok()??),
                _ => (0, 0),
            },
            attributes: Vec::new(),
        };
        overrides.records.into_iter().try_for_each(|(name, value)| member.apply(&name, value))?;
        // Only files have content, whatever others declare.
        (kind == b'0' || member.size == 0).then_some(member)
    }
}

impl Member {
    /// What a PAX record says; `None` where it cannot be understood.
    fn apply(&mut self, name: &str, value: Vec<u8>) -> Option<()> {
        if let Some(attribute) = name.strip_prefix("SCHILY.xattr.") {
            self.attributes.push((attribute.to_owned(), value));
            return Some(());
        }
        let text = String::from_utf8(value).ok()?;
        match name {
            "path" => self.name = text,
            "linkpath" => self.link = text,
            "size" => self.size = text.parse().ok()?,
            "uid" => self.uid = text.parse().ok()?,
            "gid" => self.gid = text.parse().ok()?,
            "mtime" => self.modified = seconds(&text)?,
            // Times that Go reports too, sparse files, and names in other alphabets than UTF-8.
            "atime" | "ctime" | "hdrcharset" => return None,
            sparse if sparse.starts_with("GNU.sparse.") => return None,
            _ => {}
        }
        Some(())
    }
}

impl Overrides {
    fn is_empty(&self) -> bool {
        self.name.is_none() && self.link.is_none() && self.records.is_empty()
    }

    fn read(&mut self, kind: u8, content: &[u8]) -> io::Result<()> {
        let text = || content.strip_suffix(b"\0").unwrap_or(content).to_vec();
        match kind {
            b'L' => self.name = Some(text()),
            b'K' => self.link = Some(text()),
            _ => {
                for record in ::tar::PaxExtensions::new(content) {
                    let record = record?;
                    let key = record.key().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
                    self.records.push((key.to_owned(), record.value_bytes().to_vec()));
                }
            }
        }
        Ok(())
    }
}

/// `12` or `12.5` seconds since the epoch.
fn seconds(text: &str) -> Option<Timestamp> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    let whole: i64 = whole.parse().ok().filter(|whole| *whole >= 0)?;
    Timestamp::new(whole, digits.parse().ok()?).ok()
}

fn after_padding(left: u64) -> State {
    if left == 0 { State::Header } else { State::Padding(left) }
}

fn at_most(data: &[u8], left: u64) -> usize {
    usize::try_from(left).map_or(data.len(), |left| left.min(data.len()))
}
