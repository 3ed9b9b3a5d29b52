//! `wharf userland`: the programs that the binary carries.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use crate::failure::Failure;

/// Programs that the binary carries: a shell and core utilities
#[derive(clap::Args)]
#[command(arg_required_else_help = true)]
#[command(after_help = "Examples:\n  wharf userland sh -c 'ls -l | wc -l'\n  wharf userland --install ./tools")]
pub(crate) struct Arguments {
    /// List the programs
    #[arg(long)]
    list: bool,
    /// Make DIR/bin with a link to this binary for each program
    #[arg(long, value_name = "DIR")]
    install: Option<PathBuf>,
    /// Write Mozilla's certificate authorities to DIR/etc/ssl/certs
    #[arg(long, value_name = "DIR")]
    cacert: Option<PathBuf>,
    /// A program and its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "PROGRAM")]
    program: Vec<OsString>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<i32, Failure> {
    if arguments.list {
        for name in userland::names() {
            println!("{name}");
        }
    }
    if let Some(prefix) = &arguments.install {
        userland::install_links(&this_binary()?, prefix)?;
    }
    if let Some(prefix) = &arguments.cacert {
        userland::write_bundle(prefix).map_err(|error| Failure::io("write certificates to", prefix, error))?;
    }
    match arguments.program.split_first() {
        Some((name, rest)) => become_program(name, rest),
        None => Ok(0),
    }
}

/// Starts this binary anew under the program's name, which is where the program itself reads its name from.
fn become_program(name: &OsString, rest: &[OsString]) -> Result<i32, Failure> {
    if !name.to_str().is_some_and(userland::carries) {
        return Err(Failure::usage(format!("the binary carries no program named '{}'", name.display()))
            .help("`wharf userland --list` names them all"));
    }
    let error = Command::new(this_binary()?).arg0(name).args(rest).exec();
    Err(Failure::new(format!("cannot start '{}'", name.display())).because(error.to_string()))
}

fn this_binary() -> Result<PathBuf, Failure> {
    std::env::current_exe().map_err(|error| Failure::new("cannot find this binary").because(error.to_string()))
}
