//! Progress on standard error: a live list of what runs on a terminal, one line per event otherwise.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, HumanDuration, MultiProgress, ProgressBar, ProgressStyle};
use store::progress::{Activity, Outcome, Progress, Silent, TaskId};

use crate::settings::{Settings, Verbosity};

/// What is shorter than this is not mentioned in a plain log: a line for each file copied helps nobody.
const WORTH_A_LINE: Duration = Duration::from_millis(250);

/// The observer that fits the settings.
pub(crate) fn observer(settings: &Settings) -> Arc<dyn Progress> {
    match settings.verbosity {
        Verbosity::Silent => Arc::new(Silent),
        Verbosity::Quiet => Arc::new(Lines::new(settings.verbosity)),
        verbosity if settings.live && !settings.json => Arc::new(Live::new(verbosity)),
        verbosity => Arc::new(Lines::new(verbosity)),
    }
}

/// How an activity reads while it runs and when it is done, and whether its units are bytes.
fn words(activity: Activity) -> (&'static str, &'static str, bool) {
    match activity {
        Activity::Evaluate => ("evaluating", "evaluated", false),
        Activity::Copy => ("copying", "copied", true),
        Activity::Download => ("downloading", "downloaded", true),
        Activity::Substitute => ("substituting", "substituted", true),
        Activity::Upload => ("uploading", "uploaded", true),
        Activity::Build => ("building", "built", false),
        Activity::Pack => ("packing", "packed", true),
        Activity::Push => ("pushing", "pushed", true),
        Activity::Pull => ("pulling", "pulled", true),
        Activity::Unpack => ("unpacking", "unpacked", true),
        Activity::Deploy => ("deploying", "deployed", false),
        Activity::Collect => ("collecting", "collected", true),
        Activity::Verify => ("verifying", "verified", false),
    }
}

struct Row {
    activity: Activity,
    name: String,
    started: Instant,
    done: u64,
    bar: Option<ProgressBar>,
}

impl Row {
    fn new(activity: Activity, name: &str, bar: Option<ProgressBar>) -> Self {
        Self { activity, name: name.to_owned(), started: Instant::now(), done: 0, bar }
    }

    /// The line that says how it ended; `None` if that is not worth one.
    fn epilogue(&self, outcome: Outcome) -> Option<String> {
        let (_, done, bytes) = words(self.activity);
        let took = self.started.elapsed();
        let always = matches!(self.activity, Activity::Build | Activity::Push | Activity::Pull);
        match outcome {
            // The error itself comes at the end, with its reasons.
            Outcome::Failed | Outcome::UpToDate => None,
            Outcome::Done if !always && took < WORTH_A_LINE => None,
            Outcome::Done => {
                let amount =
                    if bytes && self.done > 0 { format!("{}, ", HumanBytes(self.done)) } else { String::new() };
                Some(format!("{done} {} ({amount}{})", self.name, short(took)))
            }
        }
    }
}

fn short(time: Duration) -> String {
    match time.as_secs() {
        0 => format!("{} ms", time.as_millis()),
        1..60 => format!("{:.1} s", time.as_secs_f64()),
        _ => HumanDuration(time).to_string(),
    }
}

/// The rows of the operations that run.
#[derive(Default)]
struct Rows {
    next: AtomicU64,
    running: Mutex<HashMap<TaskId, Row>>,
}

impl Rows {
    fn lock(&self) -> MutexGuard<'_, HashMap<TaskId, Row>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, row: Row) -> TaskId {
        let id = TaskId(self.next.fetch_add(1, Ordering::Relaxed));
        self.lock().insert(id, row);
        id
    }
}

/// A message with what it is before it; `builtins.trace` says so itself.
fn headed(message: &str) -> String {
    match message.starts_with("trace: ") {
        true => message.to_owned(),
        false => format!("warning: {message}"),
    }
}

/// One line for each event, for logs and pipes.
struct Lines {
    verbosity: Verbosity,
    rows: Rows,
}

impl Lines {
    fn new(verbosity: Verbosity) -> Self {
        Self { verbosity, rows: Rows::default() }
    }
}

impl Progress for Lines {
    fn start(&self, activity: Activity, name: &str, _total: Option<u64>) -> TaskId {
        if activity == Activity::Build && self.verbosity >= Verbosity::Normal {
            eprintln!("building {name}");
        }
        self.rows.add(Row::new(activity, name, None))
    }

    fn advance(&self, task: TaskId, amount: u64) {
        if let Some(row) = self.rows.lock().get_mut(&task) {
            row.done += amount;
        }
    }

    fn finish(&self, task: TaskId, outcome: Outcome) {
        let row = self.rows.lock().remove(&task);
        if self.verbosity >= Verbosity::Normal
            && let Some(line) = row.and_then(|row| row.epilogue(outcome))
        {
            eprintln!("{line}");
        }
    }

    fn log(&self, task: TaskId, line: &str) {
        if self.verbosity >= Verbosity::Verbose {
            match self.rows.lock().get(&task) {
                Some(row) => eprintln!("{}> {line}", row.name),
                None => eprintln!("{line}"),
            }
        }
    }

    fn warn(&self, message: &str) {
        eprintln!("{}", headed(message));
    }
}

/// A list that is redrawn: each running operation with its time, bytes and rate, or its builder's last line.
struct Live {
    verbosity: Verbosity,
    screen: MultiProgress,
    rows: Rows,
}

impl Live {
    fn new(verbosity: Verbosity) -> Self {
        Self { verbosity, screen: MultiProgress::new(), rows: Rows::default() }
    }

    fn bar(&self, activity: Activity, name: &str, total: Option<u64>) -> ProgressBar {
        let (running, _, bytes) = words(activity);
        let template = match (bytes, total) {
            (true, Some(_)) => "{spinner:.cyan} {prefix} [{bar:24}] {bytes}/{total_bytes} {bytes_per_sec:.dim}",
            (true, None) => "{spinner:.cyan} {prefix} {bytes} {bytes_per_sec:.dim}",
            (false, _) => "{spinner:.cyan} {prefix} {elapsed:.dim} {wide_msg:.dim}",
        };
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner());
        let bar = match total {
            Some(total) => ProgressBar::new(total),
            None => ProgressBar::no_length(),
        };
        let bar = self.screen.add(bar);
        bar.set_style(style.progress_chars("━╸ "));
        bar.set_prefix(format!("{running} {name}"));
        bar.enable_steady_tick(Duration::from_millis(100));
        bar
    }

    /// Prints a line above the list.
    fn say(&self, line: &str) {
        // Without a terminal to draw on the line is lost, and so is everything else that would be printed there.
        let _ = self.screen.println(line);
    }
}

impl Progress for Live {
    fn start(&self, activity: Activity, name: &str, total: Option<u64>) -> TaskId {
        self.rows.add(Row::new(activity, name, Some(self.bar(activity, name, total))))
    }

    fn advance(&self, task: TaskId, amount: u64) {
        if let Some(row) = self.rows.lock().get_mut(&task) {
            row.done += amount;
            if let Some(bar) = &row.bar {
                bar.inc(amount);
            }
        }
    }

    fn finish(&self, task: TaskId, outcome: Outcome) {
        let Some(row) = self.rows.lock().remove(&task) else { return };
        if let Some(bar) = &row.bar {
            bar.finish_and_clear();
            self.screen.remove(bar);
        }
        if let Some(line) = row.epilogue(outcome) {
            self.say(&line);
        }
    }

    fn log(&self, task: TaskId, line: &str) {
        let rows = self.rows.lock();
        let Some(row) = rows.get(&task) else { return };
        if self.verbosity >= Verbosity::Verbose {
            self.say(&format!("{}> {line}", row.name));
        } else if let Some(bar) = &row.bar {
            bar.set_message(line.to_owned());
        }
    }

    fn warn(&self, message: &str) {
        self.say(&headed(message));
    }
}
