//! `gzip`, `bzip2`, `xz`, `zstd` and their other names: one filter behind twelve programs.
//!
//! What is written depends on nothing but the input: gzip's header carries no name and no time, as with `gzip -n`.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};

use clap::{ArgAction, Parser};

/// A compression format that files on disk come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Gzip,
    Bzip2,
    Xz,
    Zstd,
}

impl Format {
    /// Recognises a format by the first bytes of the data.
    pub(crate) fn sniff(head: &[u8]) -> Option<Self> {
        match head {
            [0x1f, 0x8b, ..] => Some(Self::Gzip),
            [b'B', b'Z', b'h', ..] => Some(Self::Bzip2),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(Self::Xz),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Self::Zstd),
            _ => None,
        }
    }

    fn suffix(self) -> &'static str {
        match self {
            Self::Gzip => "gz",
            Self::Bzip2 => "bz2",
            Self::Xz => "xz",
            Self::Zstd => "zst",
        }
    }

    /// A reader of what `input` holds compressed; several members one after the other are read as one.
    pub(crate) fn reader<'a>(self, input: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
        Ok(match self {
            Self::Gzip => Box::new(flate2::read::MultiGzDecoder::new(input)),
            Self::Bzip2 => Box::new(bzip2::read::MultiBzDecoder::new(input)),
            Self::Xz => Box::new(liblzma::read::XzDecoder::new_multi_decoder(input)),
            Self::Zstd => Box::new(zstd::Decoder::new(input)?),
        })
    }

    /// Compresses all of `input` into `output`; `level` defaults to the format's own default.
    pub(crate) fn compress(self, level: Option<u32>, input: &mut dyn Read, output: &mut dyn Write) -> io::Result<()> {
        match self {
            Self::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(output, flate2::Compression::new(level.unwrap_or(6)));
                io::copy(input, &mut encoder)?;
                encoder.finish()?;
            }
            Self::Bzip2 => {
                let mut encoder = bzip2::write::BzEncoder::new(output, bzip2::Compression::new(level.unwrap_or(9)));
                io::copy(input, &mut encoder)?;
                encoder.finish()?;
            }
            Self::Xz => {
                let mut encoder = liblzma::write::XzEncoder::new(output, level.unwrap_or(6));
                io::copy(input, &mut encoder)?;
                encoder.finish()?;
            }
            Self::Zstd => zstd::stream::copy_encode(input, output, level.unwrap_or(3) as i32)?,
        }
        Ok(())
    }
}

/// Compress or expand files, or standard input when none is given.
#[derive(Parser)]
#[command(disable_version_flag = true)]
struct Arguments {
    /// Expand instead of compressing.
    #[arg(short, long, visible_alias = "uncompress")]
    decompress: bool,
    /// Write to standard output and keep the files.
    #[arg(short = 'c', long, visible_alias = "to-stdout")]
    stdout: bool,
    /// Keep the input files.
    #[arg(short, long)]
    keep: bool,
    /// Overwrite existing files.
    #[arg(short, long)]
    force: bool,
    /// Only check that the files are whole.
    #[arg(short, long)]
    test: bool,
    /// Accepted for scripts: names and times are never stored.
    #[arg(short, long)]
    no_name: bool,
    /// Accepted for scripts: nothing is said but errors.
    #[arg(short, long, action = ArgAction::Count)]
    quiet: u8,
    /// Say what is done.
    #[arg(short, long)]
    verbose: bool,
    /// The strength, from 1 to 9 (zstd: to 19), as in `-9`.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=19))]
    level: Option<u32>,
    files: Vec<PathBuf>,
}

/// The entry point of all twelve names.
pub(crate) fn main(argv: Vec<OsString>) -> i32 {
    let called = argv
        .first()
        .and_then(|path| Path::new(path).file_name())
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let (format, expands, to_stdout) = role(&called);
    let mut arguments = match Arguments::try_parse_from(argv.into_iter().map(level_as_option)) {
        Ok(arguments) => arguments,
        Err(error) => return crate::shell::usage(error),
    };
    arguments.decompress |= expands || arguments.test;
    arguments.stdout |= to_stdout;
    if format != Format::Zstd && arguments.level.is_some_and(|level| level > 9) {
        eprintln!("{called}: the strength goes from 1 to 9");
        return 2;
    }
    // zstd keeps its input unless told otherwise, the others remove it.
    arguments.keep |= format == Format::Zstd;
    if arguments.files.is_empty() {
        arguments.files.push("-".into());
    }
    let mut code = 0;
    for file in &arguments.files {
        if let Err(error) = one_file(format, &arguments, file) {
            eprintln!("{called}: {}: {error}", file.display());
            code = 1;
        }
    }
    code
}

/// What a program's name says: the format, whether it expands, whether it writes to standard output.
fn role(called: &str) -> (Format, bool, bool) {
    let format = match called {
        name if name.starts_with('b') => Format::Bzip2,
        name if name.contains("xz") => Format::Xz,
        name if name.contains("zst") => Format::Zstd,
        _ => Format::Gzip,
    };
    let cat = called.ends_with("cat");
    (format, cat || called.starts_with("un") || called.contains("unzip"), cat)
}

/// `-9` is how these programs take their strength; clap knows only named options.
fn level_as_option(arg: OsString) -> OsString {
    match arg.to_str().and_then(|text| text.strip_prefix('-')) {
        Some(digits) if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            format!("--level={digits}").into()
        }
        _ => arg,
    }
}

fn one_file(format: Format, arguments: &Arguments, file: &Path) -> io::Result<()> {
    let standard = file.as_os_str() == "-";
    let mut input: Box<dyn Read> = match standard {
        true => Box::new(io::stdin().lock()),
        false => Box::new(File::open(file)?),
    };
    if arguments.test {
        format.reader(input).and_then(|mut reader| io::copy(&mut reader, &mut io::sink()))?;
        return Ok(());
    }
    if standard || arguments.stdout {
        let mut output = io::stdout().lock();
        if !arguments.decompress && !arguments.force && output.is_terminal() {
            return Err(io::Error::other("compressed data is not written to a terminal; -f forces it"));
        }
        run(format, arguments, &mut input, &mut output)?;
        return output.flush();
    }
    let target = target_name(format, arguments.decompress, file)?;
    let mut output = match arguments.force {
        true => File::create(&target),
        false => File::create_new(&target),
    }
    .map_err(|error| io::Error::new(error.kind(), format!("cannot write {}: {error}", target.display())))?;
    let written = run(format, arguments, &mut input, &mut output)
        .and_then(|()| output.set_permissions(fs::metadata(file)?.permissions()));
    if let Err(error) = written {
        fs::remove_file(&target)?;
        return Err(error);
    }
    if arguments.verbose {
        eprintln!("{} -> {}", file.display(), target.display());
    }
    if arguments.keep { Ok(()) } else { fs::remove_file(file) }
}

fn run(format: Format, arguments: &Arguments, input: &mut dyn Read, output: &mut dyn Write) -> io::Result<()> {
    match arguments.decompress {
        true => io::copy(&mut format.reader(input)?, output).map(drop),
        false => format.compress(arguments.level, input, output),
    }
}

fn target_name(format: Format, expand: bool, file: &Path) -> io::Result<PathBuf> {
    if !expand {
        let mut name = file.as_os_str().to_owned();
        name.push(".");
        name.push(format.suffix());
        return Ok(name.into());
    }
    match file.extension().and_then(|suffix| suffix.to_str()) {
        Some(suffix) if suffix == format.suffix() => Ok(file.with_extension("")),
        Some("tgz" | "txz" | "tzst" | "tbz2" | "tbz") => Ok(file.with_extension("tar")),
        _ => Err(io::Error::other(format!("the name does not end in .{}", format.suffix()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_gives_back_what_it_took_and_is_recognised() {
        let text = b"the same again ".repeat(1000);
        for format in [Format::Gzip, Format::Bzip2, Format::Xz, Format::Zstd] {
            let mut packed = Vec::new();
            format.compress(None, &mut &text[..], &mut packed).unwrap();
            assert_eq!(Format::sniff(&packed), Some(format));
            let mut back = Vec::new();
            format.reader(&packed[..]).unwrap().read_to_end(&mut back).unwrap();
            assert_eq!(back, text);
            packed.truncate(packed.len() / 2);
            assert!(format.reader(&packed[..]).unwrap().read_to_end(&mut back).is_err(), "{format:?} cut short");
        }
    }

    #[test]
    fn names_say_what_the_program_does() {
        assert_eq!(role("zcat"), (Format::Gzip, true, true));
        assert_eq!(role("bunzip2"), (Format::Bzip2, true, false));
        assert_eq!(role("xz"), (Format::Xz, false, false));
        assert_eq!(role("unzstd"), (Format::Zstd, true, false));
        assert_eq!(role("gunzip"), (Format::Gzip, true, false));
    }
}
