//! Store objects, their references and roots.
//!
//! **Layer.** Above `nix-formats`; below everything that makes or uses store objects. [`LocalStore`] keeps them in the
//! layout of Nix's chroot store: objects in `ROOT/nix/store`, what is known of them in `ROOT/nix/var/nix/db/db.sqlite`,
//! with Nix's own schema, so that real Nix opens a store of ours and we open one of Nix's. Locks, temporary roots and
//! permanent roots follow Nix's protocols too, because both may work on one store at the same time.
//!
//! **It must never know** how an object comes to be: no evaluation, no builder, no network of its own, no image. It does not read
//! the environment either: directories are given to it.
//!
//! - [`Store`]: what every store can do; [`LocalStore`] can do more (locks, staging, roots, collection).
//! - [`daemon`]: the store of the machine's own Nix, or another machine's.
//! - [`cache`]: binary caches, to take objects from and to make.
//! - [`fs_nar`]: file-system trees to and from NAR, with canonical metadata.
//! - [`progress`]: the observer that every long operation of this and the crates above reports to.

pub mod cache;
mod copy;
pub mod daemon;
pub mod error;
pub mod fs_nar;
pub mod local;
pub mod path_info;
pub mod progress;
mod store;

pub use copy::{copy, copy_objects};
pub use daemon::DaemonStore;
pub use error::StoreError;
pub use local::LocalStore;
pub use path_info::PathInfo;
pub use store::Store;
