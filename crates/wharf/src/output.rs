//! Standard output and standard error. Whoever reads them may have seen enough and go away, as `head` does, which is nobody's
//! mistake; the standard library's macros panic then. These have their names and take their places in this crate.

use std::fmt::Arguments;
use std::io::{Error, ErrorKind, Write};

use crate::failure::FAILED;

/// The exit code of a program that SIGPIPE ended, as shells show it.
const NOBODY_READS: i32 = 128 + 13;

macro_rules! print {
    ($($text:tt)*) => { $crate::output::write(format_args!($($text)*)) };
}

macro_rules! println {
    () => { $crate::output::write(format_args!("\n")) };
    ($($text:tt)*) => { $crate::output::write(format_args!("{}\n", format_args!($($text)*))) };
}

macro_rules! eprint {
    ($($text:tt)*) => { $crate::output::tell(format_args!($($text)*)) };
}

macro_rules! eprintln {
    () => { $crate::output::tell(format_args!("\n")) };
    ($($text:tt)*) => { $crate::output::tell(format_args!("{}\n", format_args!($($text)*))) };
}

/// Writes text to standard error. It is for people; where nobody reads it, the work goes on.
pub(crate) fn tell(text: Arguments<'_>) {
    let _ = std::io::stderr().lock().write_fmt(text);
}

/// Writes text to standard output.
pub(crate) fn write(text: Arguments<'_>) {
    let mut out = std::io::stdout().lock();
    settle(out.write_fmt(text).and_then(|()| out.flush()));
}

/// Writes bytes to standard output.
pub(crate) fn write_bytes(bytes: &[u8]) {
    let mut out = std::io::stdout().lock();
    settle(out.write_all(bytes).and_then(|()| out.flush()));
}

/// The error of a copy to standard output, unless it is that nobody reads any more: that ends the process.
pub(crate) fn unless_nobody_reads(error: Error) -> Error {
    if error.kind() == ErrorKind::BrokenPipe {
        std::process::exit(NOBODY_READS);
    }
    error
}

/// What cannot be written leaves nothing to do for this process.
fn settle(written: Result<(), Error>) {
    if let Err(error) = written.map_err(unless_nobody_reads) {
        eprintln!("error: cannot write to standard output: {error}");
        std::process::exit(FAILED);
    }
}
