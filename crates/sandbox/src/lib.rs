//! A process in Linux namespaces, with mounts, limits and seccomp.
//!
//! Layer: directly over the kernel. A [`Sandbox`] is plain data that says what the process sees (its root, mounts, ids,
//! network) and what it may do (capabilities, system calls, resource limits); [`Sandbox::spawn`] makes it real and
//! returns a [`Child`]; [`Child::follow`] reads its output under time limits. [`NetworkDoor`] opens sockets inside
//! the child's network.
//!
//! Architecture invariant: this crate knows nothing of derivations, stores or images. It is given host paths and bytes.
//!
//! # How a process is made
//! Forking a program of many threads leaves only async-signal-safe operations to the child: no allocation, no locks.
//! So the parent turns the description into a list of steps whose strings are all there already (`plan`), clones
//! itself straight into the new namespaces (`spawn`), and the child walks the list with nothing but system calls
//! (`child`). A failing step is reported by number through a pipe that closes by itself when the program starts.
//!
//! The child is process 1 of its process namespace and asks to be killed with its parent, so neither a crash nor
//! `kill -9` of the parent leaves a process or a mount behind: the kernel removes both with the namespaces.
//!
//! Where the kernel refuses namespaces, a process can be started without any ([`Root::Machine`]): what it leaves running is then
//! looked for and killed.
//!
//! Needs Linux 5.12 (`mount_setattr`), and 5.11 for an overlay root as an ordinary user.

mod cgroup;
mod child;
mod confine;
mod description;
mod door;
mod error;
mod follow;
mod furnish;
mod leavings;
mod passing;
mod plan;
mod refusal;
mod seccomp;
mod spawn;
mod terminal;
mod tunnel;

pub use cgroup::{Cgroups, Limits};
pub use description::{
    Capabilities, Entry, IdMap, IdRange, Identity, Mount, Network, Overlay, Root, Sandbox, Seccomp, StandardStreams,
    guarded_processes, standard_devices,
};
pub use door::{Family, NetworkDoor, Transport};
pub use error::Error;
pub use follow::{Ending, Watch};
pub use rustix::process::{Resource, Rlimit, Signal};
pub use spawn::{Child, Exit, probe, probe_without_users};
pub use terminal::Terminal;
pub use tunnel::{TUNNEL_ADDRESS, TUNNEL_MTU, Tunnel, TunnelEntrance};
