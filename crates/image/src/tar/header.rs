//! Headers: 512 bytes of fixed fields, preceded by records for what does not fit them.

use super::BLOCK;

/// Whose conventions the stream follows where the formats differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// POSIX.1-2001, as Python's `tarfile` writes it: long or non-ASCII names go into PAX records.
    Pax,
    /// GNU tar's own format: long names go into `././@LongLink` entries.
    Gnu,
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind<'a> {
    /// A regular file of this many bytes, which follow the header.
    File(u64),
    /// A directory; its name is written with a slash at the end.
    Directory,
    /// A symbolic link to this target.
    Symlink(&'a [u8]),
}

/// One member of a tar stream.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// The name, without a slash at the end.
    pub path: &'a [u8],
    /// What it is.
    pub kind: Kind<'a>,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Owning group.
    pub gid: u32,
    /// The owner's name; empty for none.
    pub uname: &'a str,
    /// The owning group's name; empty for none.
    pub gname: &'a str,
    /// Modification time in seconds since the epoch.
    pub mtime: u64,
}

const NAME_LENGTH: usize = 100;
const OWNER_LENGTH: usize = 32;
/// The largest number that eleven octal digits hold, plus one.
const OCTAL_11_LIMIT: u64 = 1 << 33;
/// The largest number that seven octal digits hold, plus one.
const OCTAL_7_LIMIT: u64 = 1 << 21;

impl Entry<'_> {
    /// Appends this entry's header, and whatever must precede it, to `out`.
    pub(super) fn write(&self, dialect: Dialect, out: &mut Vec<u8>) {
        let mut name = self.path.to_vec();
        if self.kind == Kind::Directory {
            name.push(b'/');
        }
        let link = match self.kind {
            Kind::Symlink(target) => target,
            Kind::File(_) | Kind::Directory => b"",
        };
        match dialect {
            Dialect::Pax => {
                self.write_pax_records(&name, link, out);
                self.write_fields(dialect, &ascii(&name), &ascii(link), out);
            }
            Dialect::Gnu => {
                write_long(b'K', link, out);
                write_long(b'L', &name, out);
                self.write_fields(dialect, &name, link, out);
            }
        }
    }

    /// The number of bytes after the header.
    pub(super) fn size(&self) -> u64 {
        match self.kind {
            Kind::File(size) => size,
            Kind::Directory | Kind::Symlink(_) => 0,
        }
    }

    fn type_flag(&self) -> u8 {
        match self.kind {
            Kind::File(_) => b'0',
            Kind::Symlink(_) => b'2',
            Kind::Directory => b'5',
        }
    }

    fn write_pax_records(&self, name: &[u8], link: &[u8], out: &mut Vec<u8>) {
        let text = [
            ("path", name, NAME_LENGTH),
            ("linkpath", link, NAME_LENGTH),
            ("uname", self.uname.as_bytes(), OWNER_LENGTH),
            ("gname", self.gname.as_bytes(), OWNER_LENGTH),
        ];
        let numbers = [
            ("uid", u64::from(self.uid), OCTAL_7_LIMIT),
            ("gid", u64::from(self.gid), OCTAL_7_LIMIT),
            ("size", self.size(), OCTAL_11_LIMIT),
            ("mtime", self.mtime, OCTAL_11_LIMIT),
        ];
        let long: Vec<_> =
            text.into_iter().filter(|(_, value, length)| !value.is_ascii() || value.len() > *length).collect();
        let mut records = Vec::new();
        if long.iter().any(|(_, value, _)| str::from_utf8(value).is_err()) {
            write_record("hdrcharset", b"BINARY", &mut records);
        }
        for (keyword, value, _) in long {
            write_record(keyword, value, &mut records);
        }
        for (keyword, value, limit) in numbers {
            if value >= limit {
                write_record(keyword, value.to_string().as_bytes(), &mut records);
            }
        }
        if !records.is_empty() {
            let mut header = Fields::new();
            header.text(0, NAME_LENGTH, b"././@PaxHeader");
            header.numbers(0, 0, 0, records.len() as u64, 0);
            header.finish(b'x', Dialect::Pax, out);
            write_padded(&records, out);
        }
    }

    fn write_fields(&self, dialect: Dialect, name: &[u8], link: &[u8], out: &mut Vec<u8>) {
        let mut header = Fields::new();
        header.text(0, NAME_LENGTH, name);
        header.numbers(self.mode, self.uid, self.gid, self.size(), self.mtime);
        if dialect == Dialect::Gnu {
            header.gnu_large_numbers(self.uid, self.gid, self.size());
        }
        header.text(157, NAME_LENGTH, link);
        header.text(265, OWNER_LENGTH, &ascii(self.uname.as_bytes()));
        header.text(297, OWNER_LENGTH, &ascii(self.gname.as_bytes()));
        header.finish(self.type_flag(), dialect, out);
    }
}

/// The fixed fields of one header.
struct Fields([u8; BLOCK]);

impl Fields {
    fn new() -> Self {
        Self([0; BLOCK])
    }

    fn text(&mut self, at: usize, length: usize, value: &[u8]) {
        let length = value.len().min(length);
        self.0[at..at + length].copy_from_slice(&value[..length]);
    }

    /// Octal digits and a NUL; a number that does not fit is written as 0, since a PAX record carries it.
    fn octal(&mut self, at: usize, digits: usize, value: u64) {
        let fits = value < 1 << (3 * digits);
        let text = format!("{:0digits$o}", if fits { value } else { 0 });
        self.text(at, digits, text.as_bytes());
    }

    fn numbers(&mut self, mode: u32, uid: u32, gid: u32, size: u64, mtime: u64) {
        self.octal(100, 7, u64::from(mode & 0o7777));
        self.octal(108, 7, u64::from(uid));
        self.octal(116, 7, u64::from(gid));
        self.octal(124, 11, size);
        self.octal(136, 11, mtime);
    }

    /// GNU tar's base-256 form of numbers that octal digits cannot hold.
    fn gnu_large_numbers(&mut self, uid: u32, gid: u32, size: u64) {
        let fields = [
            (108, 8, u64::from(uid), OCTAL_7_LIMIT),
            (116, 8, u64::from(gid), OCTAL_7_LIMIT),
            (124, 12, size, OCTAL_11_LIMIT),
        ];
        for (at, length, value, limit) in fields {
            if value >= limit {
                self.0[at..at + length].fill(0);
                self.0[at] = 0x80;
                self.0[at + length - 8..at + length]
                    .iter_mut()
                    .zip(value.to_be_bytes())
                    .for_each(|(to, byte)| *to |= byte);
            }
        }
    }

    fn finish(mut self, type_flag: u8, dialect: Dialect, out: &mut Vec<u8>) {
        self.0[156] = type_flag;
        self.text(
            257,
            8,
            match dialect {
                Dialect::Pax => b"ustar\x0000",
                Dialect::Gnu => b"ustar  \0",
            },
        );
        self.0[148..156].fill(b' ');
        let sum: u32 = self.0.iter().map(|byte| u32::from(*byte)).sum();
        self.text(148, 7, format!("{sum:06o}\0").as_bytes());
        out.extend_from_slice(&self.0);
    }
}

/// One PAX record: its own length in decimal, a space, `keyword=value` and a newline.
fn write_record(keyword: &str, value: &[u8], out: &mut Vec<u8>) {
    let rest = keyword.len() + value.len() + 3;
    let mut length = rest;
    loop {
        let next = rest + length.to_string().len();
        if next == length {
            break;
        }
        length = next;
    }
    out.extend_from_slice(format!("{length} {keyword}=").as_bytes());
    out.extend_from_slice(value);
    out.push(b'\n');
}

/// GNU tar's entry that carries a name too long for the header's field.
fn write_long(type_flag: u8, value: &[u8], out: &mut Vec<u8>) {
    if value.len() <= NAME_LENGTH {
        return;
    }
    let mut header = Fields::new();
    header.text(0, NAME_LENGTH, b"././@LongLink");
    header.numbers(0o644, 0, 0, value.len() as u64 + 1, 0);
    header.finish(type_flag, Dialect::Gnu, out);
    let mut content = value.to_vec();
    content.push(0);
    write_padded(&content, out);
}

fn write_padded(content: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(content);
    out.resize(out.len().next_multiple_of(BLOCK), 0);
}

/// The text with each character (or stray byte) that is not ASCII replaced by `?`, as Python's "replace" handler
/// does; the real text is in a PAX record.
fn ascii(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for chunk in text.utf8_chunks() {
        out.extend(chunk.valid().chars().map(|c| if c.is_ascii() { c as u8 } else { b'?' }));
        out.extend(chunk.invalid().iter().map(|_| b'?'));
    }
    out
}

/// The size that a header declares: octal digits, or GNU tar's base 256.
pub(crate) fn size_of(header: &[u8; BLOCK]) -> Option<u64> {
    let field = &header[124..136];
    if field[0] == 0x80 {
        return Some(u64::from_be_bytes(field[4..].try_into().ok()?)).filter(|size| *size < 1 << 62);
    }
    let digits = str::from_utf8(field).ok()?.trim_matches(['\0', ' ']);
    u64::from_str_radix(digits, 8).ok()
}
