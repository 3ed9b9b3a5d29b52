//! `diff` and `cmp` over the library of uutils' diffutils. Exit codes are POSIX's: 0 the same, 1 different, 2 trouble.

use std::ffi::{OsStr, OsString};
use std::io::{Read, Write};

use diffutilslib::cmp::Cmp;
use diffutilslib::params::{Format, Params};
use diffutilslib::{context_diff, ed_diff, normal_diff, side_by_side_diff, unified_diff};

/// `diff [OPTION]… FILE FILE`.
pub(crate) fn diff(argv: Vec<OsString>) -> i32 {
    trouble(
        "diff",
        (|| {
            let params = diffutilslib::params::parse_params(argv.into_iter().peekable())?;
            let (from, to) = (read(&params.from)?, read(&params.to)?);
            let changes = changes(&from, &to, &params)?;
            let same = from == to;
            let (from, to) = (params.from.display(), params.to.display());
            let shown = match (same, params.brief) {
                (false, true) => format!("Files {from} and {to} differ\n").into_bytes(),
                (true, _) if params.report_identical_files => {
                    format!("Files {from} and {to} are identical\n").into_bytes()
                }
                _ => changes,
            };
            std::io::stdout().write_all(&shown).map_err(|error| format!("writing the differences: {error}"))?;
            Ok(i32::from(!same))
        })(),
    )
}

fn changes(from: &[u8], to: &[u8], params: &Params) -> Result<Vec<u8>, String> {
    Ok(match params.format {
        Format::Normal => normal_diff(from, to, params),
        Format::Unified => unified_diff(from, to, params),
        Format::Context => context_diff(from, to, params),
        Format::Ed => ed_diff(from, to, params).map_err(|error| error.to_string())?,
        Format::SideBySide => {
            let mut columns = Vec::new();
            side_by_side_diff(from, to, &mut columns, params);
            columns
        }
    })
}

fn read(file: &OsStr) -> Result<Vec<u8>, String> {
    let mut content = Vec::new();
    if file == "-" { std::io::stdin().read_to_end(&mut content).map(|_| content) } else { std::fs::read(file) }
        .map_err(|error| format!("{}: {error}", file.display()))
}

/// `cmp [-s] [-l] FILE [FILE]`.
pub(crate) fn cmp(argv: Vec<OsString>) -> i32 {
    trouble(
        "cmp",
        (|| {
            let params = diffutilslib::cmp::parse_params(argv.into_iter().peekable())?;
            Ok(match diffutilslib::cmp::cmp(&params)? {
                Cmp::Equal => 0,
                Cmp::Different => 1,
            })
        })(),
    )
}

fn trouble(name: &str, outcome: Result<i32, String>) -> i32 {
    outcome.unwrap_or_else(|message| {
        eprintln!("{name}: {message}");
        2
    })
}
