//! Reading `ar` archives, and Debian packages, which are such archives: `ar t|x|p` and `dpkg-deb -x|-c`.
//!
//! The format is the common one of System V and GNU: a mark of 8 bytes, then for each member a header of 60 bytes of
//! text and the content, padded to an even length. GNU's long names (`//`) are read; symbol tables are skipped.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::Path;

use crate::tarball;

const MARK: &[u8; 8] = b"!<arch>\n";
/// The most that a table of long names may hold: an archive of a million members stays far below it.
const LONG_NAMES_LIMIT: u64 = 16 << 20;

/// Calls `visit` with each member's name and content until it gives `false`.
fn visit_members(
    mut input: impl Read,
    mut visit: impl FnMut(&str, &mut dyn Read) -> io::Result<bool>,
) -> io::Result<()> {
    let mut mark = [0; 8];
    input.read_exact(&mut mark)?;
    if &mark != MARK {
        return Err(invalid("it does not begin with the mark of an ar archive"));
    }
    let mut long_names = Vec::new();
    while let Some((name, size)) = read_header(&mut input)? {
        let mut content = (&mut input).take(size);
        if name == "//" {
            if size > LONG_NAMES_LIMIT {
                return Err(invalid("its table of long names is larger than 16 MiB"));
            }
            content.read_to_end(&mut long_names)?;
        } else if name != "/" && !visit(resolve_name(&name, &long_names)?, &mut content)? {
            return Ok(());
        }
        io::copy(&mut content, &mut io::sink())?;
        if content.limit() > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if size % 2 == 1 {
            io::copy(&mut (&mut input).take(1), &mut io::sink())?;
        }
    }
    Ok(())
}

/// The next member's raw name and size, or `None` at the end of the archive.
fn read_header(input: &mut impl Read) -> io::Result<Option<(String, u64)>> {
    let mut header = [0; 60];
    let mut filled = 0;
    while filled < header.len() {
        match input.read(&mut header[filled..])? {
            0 if filled == 0 => return Ok(None),
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => filled += count,
        }
    }
    let text = |range: std::ops::Range<usize>| std::str::from_utf8(&header[range]).map(str::trim_end);
    match (text(0..16), text(48..58).map(str::parse), &header[58..]) {
        (Ok(name), Ok(Ok(size)), b"`\n") => Ok(Some((name.to_owned(), size))),
        _ => Err(invalid("a member's header is damaged")),
    }
}

/// Names end in `/` in GNU's archives; `/17` points into the table of long names.
fn resolve_name<'a>(raw: &'a str, long_names: &'a [u8]) -> io::Result<&'a str> {
    let name = match raw.strip_prefix('/').and_then(|offset| offset.parse::<usize>().ok()) {
        Some(offset) => long_names
            .get(offset..)
            .and_then(|rest| rest.split(|byte| *byte == b'\n').next())
            .and_then(|name| std::str::from_utf8(name).ok())
            .ok_or_else(|| invalid("a member's name points outside the table of names"))?,
        None => raw,
    };
    let name = name.strip_suffix('/').unwrap_or(name);
    match name {
        "" | "." | ".." => Err(invalid("a member has no usable name")),
        name if name.contains(['/', '\0']) => Err(invalid("a member's name has a slash in it")),
        name => Ok(name),
    }
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// `ar t|x|p ARCHIVE [MEMBER…]`.
pub(crate) fn main(argv: Vec<OsString>) -> i32 {
    let mut args = argv.into_iter().skip(1);
    let (Some(operation), Some(archive)) = (args.next(), args.next()) else {
        eprintln!("usage: ar t|x|p ARCHIVE [MEMBER…]");
        return 2;
    };
    let operation = operation.to_string_lossy();
    let operation = operation.trim_start_matches('-').trim_end_matches('v');
    if !["t", "x", "p"].contains(&operation) {
        eprintln!("ar: this ar reads archives (t, x, p); '{operation}' is not among what it does");
        return 2;
    }
    let wanted: Vec<String> = args.map(|name| name.to_string_lossy().into_owned()).collect();
    report("ar", Path::new(&archive), || {
        visit_members(open(Path::new(&archive))?, |name, content| {
            if wanted.is_empty() || wanted.iter().any(|one| one == name) {
                match operation {
                    "t" => writeln!(io::stdout(), "{name}")?,
                    "p" => io::copy(content, &mut io::stdout()).map(drop)?,
                    _ => io::copy(content, &mut File::create(name)?).map(drop)?,
                }
            }
            Ok(true)
        })
    })
}

/// `dpkg-deb -x PACKAGE DIRECTORY` unpacks a package's files, `dpkg-deb -c PACKAGE` lists them.
pub(crate) fn dpkg_deb(argv: Vec<OsString>) -> i32 {
    let args: Vec<&str> = argv.iter().skip(1).filter_map(|arg| arg.to_str()).collect();
    match args[..] {
        ["-x" | "--extract", package, dir] => report("dpkg-deb", Path::new(package), || {
            std::fs::create_dir_all(dir)?;
            with_data(Path::new(package), |tar| tarball::unpack(tar, Path::new(dir), 0))
        }),
        ["-c" | "--contents", package] => report("dpkg-deb", Path::new(package), || {
            with_data(Path::new(package), |tar| tarball::list(tar, &mut io::stdout()))
        }),
        _ => {
            eprintln!("usage: dpkg-deb -x PACKAGE DIRECTORY | dpkg-deb -c PACKAGE");
            2
        }
    }
}

/// Hands the package's `data.tar`, expanded, to `act`.
fn with_data(package: &Path, mut act: impl FnMut(&mut dyn Read) -> io::Result<()>) -> io::Result<()> {
    let mut found = false;
    visit_members(open(package)?, |name, content| {
        found = name.starts_with("data.tar");
        if found {
            act(&mut tarball::expanded(content)?)?;
        }
        Ok(!found)
    })?;
    if found { Ok(()) } else { Err(invalid("it holds no data.tar, so it is no Debian package")) }
}

fn open(file: &Path) -> io::Result<BufReader<File>> {
    Ok(BufReader::with_capacity(1 << 18, File::open(file)?))
}

fn report(program: &str, file: &Path, act: impl FnOnce() -> io::Result<()>) -> i32 {
    match act() {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("{program}: {}: {error}", file.display());
            1
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, content: &str) -> Vec<u8> {
        let header = format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, 644, content.len());
        let mut bytes = [header.as_bytes(), content.as_bytes()].concat();
        bytes.resize(bytes.len().next_multiple_of(2), b'\n');
        bytes
    }

    fn names(archive: &[u8]) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        visit_members(archive, |name, _| {
            names.push(name.to_owned());
            Ok(true)
        })?;
        Ok(names)
    }

    #[test]
    fn short_long_and_odd_members_are_read() {
        let archive = [
            MARK.to_vec(),
            member("//", "a-name-of-more-than-16-bytes/\n"),
            member("odd/", "abc"),
            member("/0", "x"),
            member("plain", ""),
        ]
        .concat();
        assert_eq!(names(&archive).unwrap(), ["odd", "a-name-of-more-than-16-bytes", "plain"]);
    }

    #[test]
    fn damage_and_escapes_are_errors() {
        for bad in ["../x", "/9", "..", "a/b"] {
            assert!(names(&[MARK.to_vec(), member(bad, "")].concat()).is_err(), "{bad}");
        }
        let whole = [MARK.to_vec(), member("a", "four")].concat();
        for length in [3, 20, whole.len() - 1] {
            assert!(names(&whole[..length]).is_err(), "cut at {length}");
        }
        assert!(names(b"not an archive").is_err());
    }
}
