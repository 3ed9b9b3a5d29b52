//! `chown` and `chgrp`, and how a build without root gives files owners: by writing down what was asked for.
//!
//! Where the variable `WHARF_OWNERSHIP` names a file, these two change nothing but append to that file, one line for
//! each file: its absolute path, a NUL, the user's number, a NUL, the group's number; a number that was not given is
//! left out. Who packs the tree afterwards reads the lines in order, the last one for a path winning.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use clap::Parser;

use crate::coreutils::uutils;

/// The variable that names the record.
const RECORD: &str = "WHARF_OWNERSHIP";

/// Record the owner of files, to be applied when they are packed.
#[derive(Parser)]
#[command(disable_help_flag = true, disable_version_flag = true)]
struct Arguments {
    #[arg(short = 'R', long)]
    recursive: bool,
    /// Links are never followed here: the owner is that of the name given.
    #[arg(short = 'h', long)]
    no_dereference: bool,
    #[arg(short, long)]
    verbose: bool,
    #[arg(short = 'f', long, visible_alias = "quiet")]
    silent: bool,
    owner: String,
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

/// `chown`.
pub(crate) fn chown(argv: Vec<OsString>) -> i32 {
    match std::env::var_os(RECORD) {
        Some(record) => run("chown", argv, Path::new(&record), |owner| {
            // The dot is the old form of the colon.
            let (user, group) = owner.split_once([':', '.']).unwrap_or((owner, ""));
            let user_number = number("/etc/passwd", user)?;
            // `user:` means the user's own group.
            let own_group = owner.ends_with(':') && !user.is_empty();
            let group_number = if own_group { login_group(user)? } else { number("/etc/group", group)? };
            Ok((user_number, group_number))
        }),
        None => (uutils!("chown", uu_chown))(argv),
    }
}

/// `chgrp`.
pub(crate) fn chgrp(argv: Vec<OsString>) -> i32 {
    match std::env::var_os(RECORD) {
        Some(record) => {
            run("chgrp", argv, Path::new(&record), |group| Ok((String::new(), number("/etc/group", group)?)))
        }
        None => (uutils!("chgrp", uu_chgrp))(argv),
    }
}

type Numbers = (String, String);

fn run(name: &str, argv: Vec<OsString>, record: &Path, parse: impl Fn(&str) -> io::Result<Numbers>) -> i32 {
    let arguments = match Arguments::try_parse_from(argv) {
        Ok(arguments) => arguments,
        Err(error) => return crate::shell::usage(error),
    };
    let outcome = parse(&arguments.owner).and_then(|numbers| {
        let mut lines = Vec::new();
        for file in &arguments.files {
            note(file, &numbers, arguments.recursive, &mut lines)?;
        }
        // One write, so that two programs at work at the same time do not mix their lines.
        fs::OpenOptions::new().append(true).create(true).open(record)?.write_all(&lines)
    });
    match outcome {
        Ok(()) => 0,
        Err(error) => {
            if !arguments.silent {
                eprintln!("{name}: {error}");
            }
            1
        }
    }
}

fn note(file: &Path, numbers: &Numbers, recursive: bool, lines: &mut Vec<u8>) -> io::Result<()> {
    let explain = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", file.display()));
    let metadata = fs::symlink_metadata(file).map_err(explain)?;
    lines.extend_from_slice(absolute(file)?.as_os_str().as_bytes());
    lines.extend_from_slice(format!("\0{}\0{}\n", numbers.0, numbers.1).as_bytes());
    if recursive && metadata.is_dir() {
        let mut children: Vec<PathBuf> = fs::read_dir(file)
            .map_err(explain)?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<io::Result<_>>()?;
        children.sort();
        children.iter().try_for_each(|child| note(child, numbers, true, lines))?;
    }
    Ok(())
}

/// The one name of a file: links in its directory followed, but not at its end.
fn absolute(file: &Path) -> io::Result<PathBuf> {
    match (file.parent(), file.file_name()) {
        (Some(parent), Some(name)) if parent.as_os_str().is_empty() => Ok(Path::new(".").canonicalize()?.join(name)),
        (Some(parent), Some(name)) => Ok(parent.canonicalize()?.join(name)),
        _ => file.canonicalize(),
    }
}

/// A number as it is, a name by the table that has it; nothing for nothing.
fn number(table: &str, name: &str) -> io::Result<String> {
    if name.is_empty() || name.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(name.to_owned());
    }
    lookup(table, name, 2).or_else(|| (name == "root").then(|| "0".to_owned())).ok_or_else(|| {
        io::Error::other(format!("{table} of this build has no '{name}'; a number is understood everywhere"))
    })
}

fn login_group(user: &str) -> io::Result<String> {
    lookup("/etc/passwd", user, 3)
        .or_else(|| (user == "root" || user == "0").then(|| "0".to_owned()))
        .ok_or_else(|| io::Error::other(format!("the group of '{user}' is not known; write user:group")))
}

fn lookup(table: &str, name: &str, field: usize) -> Option<String> {
    let text = fs::read_to_string(table).ok()?;
    let row = text.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|row| row[0] == name)?;
    row.get(field).map(|value| (*value).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_recorded_name_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("d")).unwrap();
        fs::write(root.join("d/f"), "").unwrap();
        let mut lines = Vec::new();
        note(&root.join("d"), &("7".to_owned(), String::new()), true, &mut lines).unwrap();
        let expected = format!("{0}/d\x007\0\n{0}/d/f\x007\0\n", root.display());
        assert_eq!(String::from_utf8(lines).unwrap(), expected);
    }

    #[test]
    fn names_become_numbers() {
        assert_eq!(number("/etc/passwd", "12").unwrap(), "12");
        assert_eq!(number("/nonexistent", "root").unwrap(), "0");
        assert!(number("/nonexistent", "nobody-of-that-name").is_err());
    }
}
