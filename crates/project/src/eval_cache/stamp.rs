//! How a file looks to `stat`: what is compared before any content is read.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

/// Inode, size, modification and change time of a file. The change time cannot be set by a program, so a file that was
/// written to looks different, unless that happened within one tick of the clock (see [`Moment::trusts`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stamp(u64, u64, i64, i64, i64, i64);

impl Stamp {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self(
            metadata.ino(),
            metadata.size(),
            metadata.mtime(),
            metadata.mtime_nsec(),
            metadata.ctime(),
            metadata.ctime_nsec(),
        )
    }

    /// The seconds since 1970 at which the file last changed, as far as is known.
    pub(super) fn newest(&self) -> i64 {
        self.2.max(self.4)
    }

    /// The numbers as bytes, to be hashed.
    pub(super) fn bytes(&self) -> [u8; 48] {
        let mut bytes = [0; 48];
        let numbers = [self.0, self.1, self.2 as u64, self.3 as u64, self.4 as u64, self.5 as u64];
        for (place, number) in bytes.chunks_exact_mut(8).zip(numbers) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        bytes
    }
}

/// When stamps began to be taken, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Moment(i64);

/// A file system may count time in steps of up to two seconds.
const TICK: i64 = 2;

impl Moment {
    pub(super) fn now() -> Self {
        Self(UNIX_EPOCH.elapsed().map_or(0, |time| i64::try_from(time.as_secs()).unwrap_or(i64::MAX)))
    }

    /// Whether a stamp that is still the same says that the file is. One that was young when its stamp was taken may
    /// have been written to again within the same tick of the clock; git has the same rule for its index.
    pub(super) fn trusts(self, newest: i64) -> bool {
        newest < self.0 - TICK
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_young_file_is_not_trusted() {
        let moment = Moment(1000);
        assert!(moment.trusts(900));
        assert!(!moment.trusts(999) && !moment.trusts(1000) && !moment.trusts(2000));
    }
}
