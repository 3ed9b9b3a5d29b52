//! What is said on standard error while it evaluates, in the words of Nix.

use store::progress::{Activity, Outcome, Progress, TaskId};

/// Says warnings and traces, and nothing else.
pub(super) struct Notices {
    pub(super) quiet: bool,
}

impl Progress for Notices {
    fn start(&self, _: Activity, _: &str, _: Option<u64>) -> TaskId {
        TaskId(0)
    }

    fn advance(&self, _: TaskId, _: u64) {}

    fn finish(&self, _: TaskId, _: Outcome) {}

    fn log(&self, _: TaskId, _: &str) {}

    fn warn(&self, message: &str) {
        match message.starts_with("trace: ") {
            true => eprintln!("{message}"),
            false if self.quiet => {}
            false => eprintln!("warning: {message}"),
        }
    }
}
