//! What the libraries report through `tracing`, as lines on standard error.

use tracing_subscriber::EnvFilter;

use crate::settings::{Settings, Verbosity};

/// Starts printing: `normal` is the filter for a command's own reports, as `registry=info`; `-q` and `-vv` override it.
pub(crate) fn start(settings: &Settings, normal: &str) {
    let filter = match settings.verbosity {
        Verbosity::Silent => "error",
        Verbosity::Quiet => "warn",
        Verbosity::Normal | Verbosity::Verbose => normal,
        Verbosity::Debug => "debug",
    };
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_writer(std::io::stderr)
        .with_ansi(settings.color_stderr)
        .with_target(false)
        .init();
}
