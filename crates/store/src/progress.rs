//! How long operations report what they do, without knowing who looks.
//!
//! A [`Progress`] gets the events; the command line draws them. Library code holds a `&dyn Progress`, starts a
//! [`Task`] for each operation and advances it. [`Silent`] ignores everything.

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Activity {
    /// Evaluates an expression.
    Evaluate,
    /// Copies a source tree into the store; bytes.
    Copy,
    /// Downloads a file; bytes.
    Download,
    /// Copies a store object from a binary cache; bytes of the NAR.
    Substitute,
    /// Runs a builder.
    Build,
    /// Makes layers and archives of store objects; bytes.
    Pack,
    /// Writes a store object into a binary cache; bytes of the NAR.
    Upload,
    /// Sends a blob to a registry; bytes.
    Push,
    /// Gets a blob from a registry; bytes.
    Pull,
    /// Unpacks an archive; bytes.
    Unpack,
    /// Starts or deploys something.
    Deploy,
    /// Collects garbage; bytes freed.
    Collect,
    /// Checks the store; objects.
    Verify,
}

/// How an operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It did what it was to do.
    Done,
    /// There was nothing to do.
    UpToDate,
    /// It failed, or was given up.
    Failed,
}

/// Names one running operation. Numbers are not used twice by one observer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskId(pub u64);

/// An observer of operations. Called from many threads; must not block for long.
pub trait Progress: Send + Sync {
    /// An operation starts. `total` is in the activity's unit, if it is known.
    fn start(&self, activity: Activity, name: &str, total: Option<u64>) -> TaskId;

    /// The operation has done `amount` more units.
    fn advance(&self, task: TaskId, amount: u64);

    /// The operation has ended.
    fn finish(&self, task: TaskId, outcome: Outcome);

    /// A line of the operation's own output, without its line break.
    fn log(&self, task: TaskId, line: &str);

    /// Something the user should know though nothing failed. One sentence.
    fn warn(&self, message: &str);

    /// Something that another program says on its way and that matters to few.
    fn note(&self, _line: &str) {}
}

/// An observer that ignores everything.
pub struct Silent;

impl Progress for Silent {
    fn start(&self, _: Activity, _: &str, _: Option<u64>) -> TaskId {
        TaskId(0)
    }
    fn advance(&self, _: TaskId, _: u64) {}
    fn finish(&self, _: TaskId, _: Outcome) {}
    fn log(&self, _: TaskId, _: &str) {}
    fn warn(&self, _: &str) {}
}

/// A running operation; when it is dropped before [`Task::finish`], it counts as failed.
pub struct Task<'a> {
    progress: &'a dyn Progress,
    id: TaskId,
    finished: bool,
}

impl<'a> Task<'a> {
    /// Starts an operation.
    pub fn start(progress: &'a dyn Progress, activity: Activity, name: &str, total: Option<u64>) -> Self {
        Self { progress, id: progress.start(activity, name, total), finished: false }
    }

    /// The number by which the observer knows it.
    pub fn id(&self) -> TaskId {
        self.id
    }

    /// It has done `amount` more units.
    pub fn advance(&self, amount: u64) {
        self.progress.advance(self.id, amount);
    }

    /// It has written a line.
    pub fn log(&self, line: &str) {
        self.progress.log(self.id, line);
    }

    /// It has ended.
    pub fn finish(mut self, outcome: Outcome) {
        self.finished = true;
        self.progress.finish(self.id, outcome);
    }
}

impl Drop for Task<'_> {
    fn drop(&mut self) {
        if !self.finished {
            self.progress.finish(self.id, Outcome::Failed);
        }
    }
}
