//! What a daemon says while it works, for whoever looks on.

use std::collections::HashMap;

use nix_formats::worker::{Field, Message, WireError};

use super::without_colours;
use crate::progress::{Activity, Outcome, Progress, Task};

const COPY: u64 = 100;
const DOWNLOAD: u64 = 101;
const BUILD: u64 = 105;
const SUBSTITUTE: u64 = 108;

/// No machine does more at the same time; the memory for what is under way is bounded by it.
const MOST_RUNNING: usize = 100_000;

const LOG_LINE: u64 = 101;
const DONE: u64 = 105;

/// The activities that are under way.
pub(super) struct Reports<'a> {
    progress: &'a dyn Progress,
    running: HashMap<u64, Running<'a>>,
}

struct Running<'a> {
    task: Task<'a>,
    done: u64,
}

impl<'a> Reports<'a> {
    pub fn new(progress: &'a dyn Progress) -> Self {
        Self { progress, running: HashMap::new() }
    }

    /// # Errors
    /// More begins than can be under way.
    pub fn hear(&mut self, message: Message) -> Result<(), WireError> {
        match message {
            Message::Start { id, kind, text, fields } => {
                let activity = match kind {
                    BUILD => Activity::Build,
                    COPY | SUBSTITUTE => Activity::Substitute,
                    DOWNLOAD => Activity::Download,
                    _ => return Ok(()),
                };
                if self.running.len() >= MOST_RUNNING {
                    let what = format!("more than {MOST_RUNNING} activities are under way");
                    return Err(WireError::Malformed(what));
                }
                let task = Task::start(self.progress, activity, &name(&fields, &text), None);
                self.running.insert(id, Running { task, done: 0 });
            }
            Message::Stop { id } => {
                if let Some(running) = self.running.remove(&id) {
                    running.task.finish(Outcome::Done);
                }
            }
            Message::Result { id, kind, fields } => self.result(id, kind, &fields),
            Message::Line(line) => {
                let line = without_colours(line.trim_end());
                match line.strip_prefix("warning: ") {
                    Some(warning) => self.progress.warn(warning),
                    None => self.progress.note(&line),
                }
            }
            Message::Last | Message::Error(_) => {}
        }
        Ok(())
    }

    fn result(&mut self, id: u64, kind: u64, fields: &[Field]) {
        let Some(running) = self.running.get_mut(&id) else { return };
        match (kind, fields) {
            (LOG_LINE, [Field::Text(line), ..]) => running.task.log(line),
            (DONE, [Field::Number(done), ..]) => {
                running.task.advance(done.saturating_sub(running.done));
                running.done = running.done.max(*done);
            }
            _ => {}
        }
    }
}

/// The name part of the store path that an activity is about, else what the daemon calls it.
fn name(fields: &[Field], text: &str) -> String {
    let path = match fields.first() {
        Some(Field::Text(path)) => path.as_str(),
        _ => return text.to_owned(),
    };
    match nix_formats::store_path::StorePath::from_absolute(path) {
        Ok(path) => path.derivation_name().unwrap_or(path.name()).to_owned(),
        Err(_) => path.to_owned(),
    }
}
