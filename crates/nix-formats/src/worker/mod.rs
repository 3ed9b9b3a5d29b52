//! The bytes of nix-daemon's worker protocol: numbers, strings and sets, what a daemon says while it works, and the frames
//! in which long contents are sent.
//!
//! The protocol is that of `libstore/worker-protocol*.cc` in C++ Nix, from version 1.34 on, which is Nix 2.8's. Who asks
//! what, over which connection, is the business of the `store` crate.

mod build_result;
mod derivation;
mod frame;
mod message;
mod wire;

pub use build_result::{BuildResult, BuildStatus};
pub use derivation::write_derivation;
pub use frame::FrameWriter;
pub use message::{Field, Message};
pub use wire::{WireError, WireReader, WireWriter};

/// What a client says first.
pub const CLIENT_MAGIC: u64 = 0x6e69_7863;
/// What a daemon answers.
pub const DAEMON_MAGIC: u64 = 0x6478_696f;

/// A version of the protocol, as 1.38.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// Of two that differ here neither understands the other.
    pub major: u8,
    /// The one with the lower number is spoken.
    pub minor: u8,
}

impl Version {
    /// The newest that is spoken here.
    pub const NEWEST: Self = Self { major: 1, minor: 38 };
    /// The oldest.
    pub const OLDEST: Self = Self { major: 1, minor: 34 };

    /// The version of a number on the wire.
    pub fn from_wire(number: u64) -> Self {
        Self { major: (number >> 8) as u8, minor: number as u8 }
    }

    /// The number on the wire.
    pub fn to_wire(self) -> u64 {
        u64::from(self.major) << 8 | u64::from(self.minor)
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}
