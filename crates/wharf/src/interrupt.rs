//! Ctrl-C and its friends.

use std::future::Future;

use tokio::signal::unix::{SignalKind, signal};

use crate::failure::Failure;

/// Is done when the user (Ctrl-C) or the system (SIGTERM) asks the process to stop.
///
/// The signals are caught from this call on, not only when the future is first polled.
pub(crate) fn requested() -> Result<impl Future<Output = ()>, Failure> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}
