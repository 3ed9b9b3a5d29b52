//! Builds by a daemon, one result for each thing wanted.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix_formats::derivation::Derivation;
use nix_formats::store_path::StorePath;
use nix_formats::worker::{BuildResult, Version, WireError, WireReader, WireWriter, write_derivation};
use rustix::event::{PollFd, PollFlags, poll};

use super::DaemonStore;
use super::connection::{Connection, Input, Output, Stopper};
use crate::StoreError;
use crate::progress::Progress;

const BUILD_DERIVATION: u64 = 36;
const BUILD_PATHS_WITH_RESULTS: u64 = 46;
/// Build what is missing, as opposed to building again or repairing.
const NORMAL: u64 = 0;
const CHECK: u64 = 2;

/// Who looks on at a build.
#[derive(Clone, Copy)]
pub struct Watching<'a> {
    /// Hears of the builds and what they write.
    pub progress: &'a dyn Progress,
    /// Becomes readable, or is closed at its other end, when the build is to be given up.
    pub cancelled: Option<BorrowedFd<'a>>,
}

impl DaemonStore {
    /// Builds derived paths (`/nix/store/….drv!out,dev`, `….drv!*`), each of which has a result, whether it failed or not.
    /// With `again`, what is there already is built once more and compared.
    pub fn build_each(
        &self,
        derived: &[String],
        again: bool,
        watching: Watching<'_>,
    ) -> Result<Vec<(String, BuildResult)>, StoreError> {
        self.watched(
            BUILD_PATHS_WITH_RESULTS,
            watching,
            |out| {
                out.strings(derived)?;
                out.number(if again { CHECK } else { NORMAL })
            },
            |answer, version| answer.list(|answer| Ok((answer.string()?, BuildResult::read(answer, version)?))),
        )
    }

    /// Builds a derivation that need not be in the daemon's store, whose inputs are these objects, which must be. Without
    /// the daemon's trust this is possible only if the outputs' paths follow from their content.
    pub fn build_derivation(
        &self,
        path: &StorePath,
        derivation: &Derivation,
        inputs: &BTreeSet<StorePath>,
        watching: Watching<'_>,
    ) -> Result<BuildResult, StoreError> {
        self.watched(
            BUILD_DERIVATION,
            watching,
            |out| {
                out.path(path)?;
                write_derivation(out, derivation, inputs)?;
                out.number(NORMAL)
            },
            BuildResult::read,
        )
    }

    /// Asks, and ends the connection when the answer is not wanted any more.
    fn watched<T>(
        &self,
        operation: u64,
        watching: Watching<'_>,
        question: impl FnOnce(&mut WireWriter<Output>) -> io::Result<()>,
        answer: impl FnOnce(&mut WireReader<Input>, Version) -> Result<T, WireError>,
    ) -> Result<T, StoreError> {
        let mut connection = self.take()?;
        let Some(cancelled) = watching.cancelled else {
            let result = connection.build(operation, watching.progress, question, answer);
            return self.settle(connection, result);
        };
        let (stopper, over, done) = prepare(&connection).map_err(|error| self.lost(error.into()))?;
        let result = std::thread::scope(|scope| {
            scope.spawn(move || stop_when(cancelled, over.as_fd(), &stopper));
            let result = connection.build(operation, watching.progress, question, answer);
            // Ends the other thread.
            drop(done);
            result
        });
        self.settle(connection, result)
    }
}

fn prepare(connection: &Connection) -> io::Result<(Stopper, io::PipeReader, io::PipeWriter)> {
    let stopper = connection.stopper()?;
    let (over, done) = io::pipe()?;
    Ok((stopper, over, done))
}

fn stop_when(cancelled: BorrowedFd<'_>, over: BorrowedFd<'_>, stopper: &Stopper) {
    let mut events =
        [PollFd::from_borrowed_fd(cancelled, PollFlags::IN), PollFd::from_borrowed_fd(over, PollFlags::IN)];
    // An interrupted wait is begun anew; any other failure means that nobody can be told.
    while let Err(rustix::io::Errno::INTR) = poll(&mut events, None) {}
    if events[1].revents().is_empty() && !events[0].revents().is_empty() {
        stopper.stop();
    }
}
