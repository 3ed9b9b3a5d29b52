//! From a Nix expression to a running container.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args_os();
    let argv0 = args.next().unwrap_or_default();
    // Before anything else: a build runs the userland's programs by the thousand.
    if let Some(code) = userland::dispatch(&argv0, args.collect()) {
        return ExitCode::from(code.clamp(0, 255) as u8);
    }
    ExitCode::FAILURE
}
