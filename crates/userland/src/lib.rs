//! The shell and core utilities that the wharf binary carries.
//!
//! A build sandbox and a container need a `/bin/sh` and its everyday companions, and the machine that Wharf runs on
//! may have none that can be taken along. So one binary plays them all: called under the name of an applet (through a
//! link such as `bin/ls → wharf`) it *is* that program. The shell is brush, the utilities are those of uutils, and a
//! few small ones here stand on the compression and archive libraries that Wharf uses anyway.
//!
//! Layer: beside the formats; it uses nothing of Wharf. Architecture invariant: userland knows neither stores nor
//! derivations nor images. It behaves as the programs whose names it bears, so it reads arguments, environment and
//! standard input as they do.

mod ar;
mod build_env;
mod cacert;
mod compress;
mod coreutils;
mod diff;
mod install;
mod kill;
mod lndir;
mod ownership;
mod shell;
mod shell_threads;
mod small;
mod table;
mod tarball;

use std::ffi::{OsStr, OsString};
use std::path::Path;

pub use cacert::write_bundle;
pub use install::{InstallError, install_links};

/// Acts as the applet that `argv0` names, if it names one: the program's exit code, else `None`.
///
/// Only the last component of `argv0` counts; a login shell's leading dash is ignored, as `login` passes it.
/// `args` are the arguments after the program's name.
pub fn dispatch(argv0: &OsStr, args: Vec<OsString>) -> Option<i32> {
    let base = Path::new(argv0).file_name()?.to_str()?;
    let name = base.strip_prefix('-').unwrap_or(base);
    let applet = table::find(name)?;
    let argv = std::iter::once(argv0.to_owned()).chain(args).collect();
    Some((applet.main)(argv))
}

/// The names of all applets, sorted.
pub fn names() -> impl Iterator<Item = &'static str> {
    table::APPLETS.iter().map(|applet| applet.name)
}

/// Whether `name` is an applet.
pub fn carries(name: &str) -> bool {
    table::find(name).is_some()
}
