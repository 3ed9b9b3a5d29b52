//! What a daemon can be asked beyond what every store can do.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use nix_formats::realisation::{OutputId, Realisation, RealisationError};
use nix_formats::store_path::StorePath;
use nix_formats::worker::WireError;

use super::DaemonStore;
use crate::progress::{Activity, Outcome, Progress, TaskId};
use crate::{Store, StoreError};

const ADD_INDIRECT_ROOT: u64 = 12;
const BUILD_PATHS: u64 = 9;
const ENSURE_PATH: u64 = 10;
const FIND_ROOTS: u64 = 14;
const QUERY_ALL_VALID_PATHS: u64 = 23;
const QUERY_VALID_PATHS: u64 = 31;
const QUERY_VALID_DERIVERS: u64 = 33;
const OPTIMISE_STORE: u64 = 34;
const VERIFY_STORE: u64 = 35;
const ADD_SIGNATURES: u64 = 37;
const NAR_FROM_PATH: u64 = 38;
const QUERY_MISSING: u64 = 40;
const QUERY_DERIVATION_OUTPUT_MAP: u64 = 41;
const REGISTER_REALISATION: u64 = 42;
const QUERY_REALISATION: u64 = 43;

/// How the lines begin that a daemon says while it checks its store and that name no problem.
const NOT_WRONG: [&str; 4] =
    ["reading the Nix store", "checking path existence", "checking link hashes", "checking store hashes"];

/// Keeps the lines that a daemon says.
#[derive(Default)]
struct Lines(Mutex<Vec<String>>);

impl Progress for Lines {
    fn start(&self, _: Activity, _: &str, _: Option<u64>) -> TaskId {
        TaskId(0)
    }
    fn advance(&self, _: TaskId, _: u64) {}
    fn finish(&self, _: TaskId, _: Outcome) {}
    fn log(&self, _: TaskId, _: &str) {}
    fn warn(&self, _: &str) {}
    fn note(&self, line: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(line.to_owned());
    }
}

/// What keeps an object from being collected, as the daemon says: a link, or what it knows of a process.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DaemonRoot {
    /// The link, or words in braces.
    pub root: String,
    /// The object.
    pub path: StorePath,
}

/// What would be done for some derived paths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outlook {
    /// Derivations that would be built.
    pub build: BTreeSet<StorePath>,
    /// Objects that would be taken from binary caches.
    pub substitute: BTreeSet<StorePath>,
    /// What can be neither.
    pub unknown: BTreeSet<StorePath>,
    /// Bytes that would be downloaded.
    pub download_size: u64,
    /// Bytes of the objects taken.
    pub nar_size: u64,
}

impl DaemonStore {
    /// Every valid object.
    pub fn all_paths(&self) -> Result<BTreeSet<StorePath>, StoreError> {
        self.call(QUERY_ALL_VALID_PATHS, |_| Ok(()), |answer, _| answer.paths())
    }

    /// Which of these are valid; with `substitute`, after those have been taken that binary caches have.
    pub fn valid_paths(
        &self,
        paths: &BTreeSet<StorePath>,
        substitute: bool,
    ) -> Result<BTreeSet<StorePath>, StoreError> {
        self.call(
            QUERY_VALID_PATHS,
            |out| {
                out.paths(paths.iter())?;
                out.flag(substitute)
            },
            |answer, _| answer.paths(),
        )
    }

    /// The valid derivations that have this path as an output.
    pub fn valid_derivers(&self, path: &StorePath) -> Result<BTreeSet<StorePath>, StoreError> {
        self.call(QUERY_VALID_DERIVERS, |out| out.path(path), |answer, _| answer.paths())
    }

    /// The outputs of a derivation by name, as far as their paths are known.
    pub fn derivation_outputs(&self, path: &StorePath) -> Result<BTreeMap<String, Option<StorePath>>, StoreError> {
        let outputs = self.call(
            QUERY_DERIVATION_OUTPUT_MAP,
            |out| out.path(path),
            |answer, _| answer.list(|answer| Ok((answer.string()?, answer.optional_path()?))),
        )?;
        Ok(outputs.into_iter().collect())
    }

    /// Which object an output is of which only building told; `None` if the daemon does not know.
    pub fn realisation(&self, id: &OutputId) -> Result<Option<Realisation>, StoreError> {
        let texts = self.call(QUERY_REALISATION, |out| out.string(&id.to_string()), |answer, _| answer.strings())?;
        let parsed = texts.first().map(|text| Realisation::parse(text));
        let wrong = |error: RealisationError| self.lost(WireError::Malformed(error.to_string()));
        Ok(parsed.transpose().map_err(wrong)?.filter(|found| found.id == *id))
    }

    /// Tells the daemon which object an output is. It believes whom it trusts, and those who have signed it.
    pub fn register_realisation(&self, realisation: &Realisation) -> Result<(), StoreError> {
        self.call(REGISTER_REALISATION, |out| out.string(&realisation.to_string()), |_, _| Ok(()))
    }

    /// Builds derived paths: `/nix/store/….drv!out,dev`, `….drv!*`, or an object that is to be there.
    pub fn build(&self, derived: &[String]) -> Result<(), StoreError> {
        const NORMAL: u64 = 0;
        self.call_build(
            BUILD_PATHS,
            |out| {
                out.strings(derived)?;
                out.number(NORMAL)
            },
            |answer, _| answer.number().map(drop),
        )
    }

    /// Puts good copies in the place of objects that are damaged. The daemon does so for users whom it trusts.
    pub fn repair(&self, paths: &[StorePath]) -> Result<(), StoreError> {
        const REPAIR: u64 = 1;
        let paths: Vec<String> = paths.iter().map(StorePath::to_absolute).collect();
        self.call_build(
            BUILD_PATHS,
            |out| {
                out.strings(&paths)?;
                out.number(REPAIR)
            },
            |answer, _| answer.number().map(drop),
        )
    }

    /// What [`DaemonStore::build`] would do.
    pub fn outlook(&self, derived: &[String]) -> Result<Outlook, StoreError> {
        self.call(
            QUERY_MISSING,
            |out| out.strings(derived),
            |answer, _| {
                Ok(Outlook {
                    build: answer.paths()?,
                    substitute: answer.paths()?,
                    unknown: answer.paths()?,
                    download_size: answer.number()?,
                    nar_size: answer.number()?,
                })
            },
        )
    }

    /// Makes sure that an object is valid, by taking it from a binary cache if need be.
    pub fn ensure(&self, path: &StorePath) -> Result<(), StoreError> {
        self.call(ENSURE_PATH, |out| out.path(path), |answer, _| answer.number().map(drop))
    }

    /// Keeps what a link points to as long as the link is there.
    pub fn add_indirect_root(&self, link: &std::path::Path) -> Result<(), StoreError> {
        use std::os::unix::ffi::OsStrExt;
        let link = link.as_os_str().as_bytes();
        self.call(ADD_INDIRECT_ROOT, |out| out.bytes(link), |answer, _| answer.number().map(drop))
    }

    /// What keeps objects from being collected.
    pub fn roots(&self) -> Result<Vec<DaemonRoot>, StoreError> {
        self.call(
            FIND_ROOTS,
            |_| Ok(()),
            |answer, _| answer.list(|answer| Ok(DaemonRoot { root: answer.string()?, path: answer.path()? })),
        )
    }

    /// Replaces files that are the same by links.
    pub fn optimise(&self) -> Result<(), StoreError> {
        self.call(OPTIMISE_STORE, |_| Ok(()), |answer, _| answer.number().map(drop))
    }

    /// Checks the store; what is wrong and could not be repaired, as the daemon says it.
    pub fn verify(&self, contents: bool, repair: bool) -> Result<Vec<String>, StoreError> {
        let mut connection = self.take()?;
        let lines = Lines::default();
        let result = connection.call(
            VERIFY_STORE,
            &lines,
            |out| {
                out.flag(contents)?;
                out.flag(repair)
            },
            |answer, _| answer.flag(),
        );
        let failed = self.settle(connection, result)?;
        let mut lines = lines.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        lines.retain(|line| failed && !NOT_WRONG.iter().any(|word| line.starts_with(word)));
        if failed && lines.is_empty() {
            lines.push("the daemon says that something is wrong, but not what".to_owned());
        }
        Ok(lines)
    }

    /// Adds signatures to a valid object.
    pub fn add_signatures(&self, path: &StorePath, signatures: &[String]) -> Result<(), StoreError> {
        self.call(
            ADD_SIGNATURES,
            |out| {
                out.path(path)?;
                out.strings(signatures)
            },
            |answer, _| answer.number().map(drop),
        )
    }

    /// Writes the NAR of an object to `out`, from the daemon.
    pub(super) fn nar_from_daemon(&self, path: &StorePath, out: &mut dyn Write) -> Result<(), StoreError> {
        // The archive has no end of its own in the protocol; its size tells.
        let size = self.require(path)?.nar_size;
        let mut failed = None;
        self.call(
            NAR_FROM_PATH,
            |question| question.path(path),
            |answer, _| {
                let mut nar = std::io::Read::take(answer.inner(), size);
                let mut buffer = vec![0; 64 * 1024];
                let mut left = size;
                while left > 0 {
                    let count = std::io::Read::read(&mut nar, &mut buffer)?;
                    if count == 0 {
                        return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
                    }
                    left -= count as u64;
                    // What cannot be written is read all the same, so that the connection can be used again.
                    if failed.is_none() {
                        failed = out.write_all(&buffer[..count]).err();
                    }
                }
                Ok(())
            },
        )?;
        match failed {
            Some(source) => Err(StoreError::Io {
                action: "pass on the archive of",
                path: PathBuf::from(path.to_absolute()),
                source,
            }),
            None => Ok(()),
        }
    }
}
