//! Ctrl-C while an answer is computed: the evaluation ends, the session does not.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use eval::{Interp, Stopper};
use tokio::signal::unix::{SignalKind, signal};

/// What shells report of a program that an interrupt ended.
const INTERRUPTED: i32 = 130;

/// Catches interrupts from its creation to the end of the process.
#[derive(Default)]
pub(super) struct Interrupts {
    /// What the next interrupt stops.
    running: Arc<Mutex<Option<Stopper>>>,
}

impl Interrupts {
    /// Begins to catch them.
    pub(super) fn catch() -> io::Result<Self> {
        let caught = Self::default();
        let running = Arc::clone(&caught.running);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut interrupts = runtime.block_on(async { signal(SignalKind::interrupt()) })?;
        std::thread::Builder::new().name("interrupts".to_owned()).spawn(move || {
            runtime.block_on(async {
                while interrupts.recv().await.is_some() {
                    interrupt(&running);
                }
            });
        })?;
        Ok(caught)
    }

    /// Does work of an evaluation that an interrupt stops.
    pub(super) fn stopping<R>(&self, interp: &Interp, work: impl FnOnce() -> R) -> R {
        self.set(Some(interp.stopper()));
        let done = work();
        self.set(None);
        interp.stopper().reset();
        done
    }

    fn set(&self, stopper: Option<Stopper>) {
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = stopper;
    }
}

/// Stops the evaluation. Where there is none, or where it does not stop (a build goes on), the process ends.
fn interrupt(running: &Mutex<Option<Stopper>>) {
    let running = running.lock().unwrap_or_else(PoisonError::into_inner);
    match running.as_ref().map(Stopper::stop) {
        Some(true) => eprintln!("interrupted; again to leave"),
        _ => std::process::exit(INTERRUPTED),
    }
}
