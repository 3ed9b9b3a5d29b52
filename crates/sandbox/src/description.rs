//! What a sandboxed process sees and may do, as plain data.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::process::{Resource, Rlimit};

use crate::tunnel::TunnelEntrance;

/// A process to be started in namespaces of its own.
///
/// User, mount, process, IPC and UTS namespaces are always new, unless the root is [`Root::Machine`]; the network is by
/// [`Network`].
#[derive(Debug)]
pub struct Sandbox {
    /// Where the root file system comes from.
    pub root: Root,
    /// An existing directory of the host over which the root is mounted while it is assembled. Only the child sees
    /// that mount.
    pub stage: PathBuf,
    /// Everything put into the root, in this order. Missing parent directories are made.
    pub mounts: Vec<Mount>,
    /// Makes the root itself read-only once the mounts are in place (mounts keep their own setting).
    pub read_only_root: bool,
    /// The program, inside the root: the first of these that can be executed, as a shell goes through `PATH`.
    /// A relative one starts at `directory`.
    pub programs: Vec<PathBuf>,
    /// The arguments, `argv[0]` included.
    pub arguments: Vec<OsString>,
    /// The whole environment; nothing is inherited.
    pub environment: Vec<(OsString, OsString)>,
    /// The working directory, inside the root.
    pub directory: PathBuf,
    /// Who the process is, in the ids of its own user namespace.
    pub identity: Identity,
    /// How those ids are ids of the host.
    pub ids: IdMap,
    /// Which network it has.
    pub network: Network,
    /// For a private network: where to hand over a device through which everything that is not local goes.
    pub tunnel: Option<TunnelEntrance>,
    /// The host name it sees.
    pub host_name: String,
    /// Directories of the host's control groups that the process is put into before it starts.
    pub cgroups: Vec<PathBuf>,
    /// Resource limits, soft and hard.
    pub limits: Vec<(Resource, Rlimit)>,
    /// Which system calls are refused.
    pub seccomp: Seccomp,
    /// The capabilities it and its children can ever have (within its user namespace).
    pub capabilities: Capabilities,
    /// Forbids gaining privileges by setuid programs.
    pub no_new_privileges: bool,
    /// Whether it may make user namespaces, in which it would have every capability again. Only for a process with a
    /// user namespace of its own, which is where the limit is set.
    pub user_namespaces: bool,
    /// Turns off address space randomisation, as builds that embed addresses need it to be reproducible.
    pub fixed_addresses: bool,
    /// Standard input, output and error.
    pub streams: StandardStreams,
    /// Makes standard input the controlling terminal.
    pub controlling_terminal: bool,
}

/// The three standard streams of the process. They may be the same open file.
#[derive(Debug)]
pub struct StandardStreams {
    /// File descriptor 0.
    pub input: OwnedFd,
    /// File descriptor 1.
    pub output: OwnedFd,
    /// File descriptor 2.
    pub error: OwnedFd,
}

/// Where the root file system comes from.
#[derive(Debug, Clone)]
pub enum Root {
    /// An empty file system in memory.
    Tmpfs,
    /// A directory of the host, writable.
    Directory(PathBuf),
    /// Directories stacked with `overlayfs`.
    Overlay(Overlay),
    /// The machine's own, and no namespace: for where the kernel refuses them. The process sees all that its user sees, so
    /// there must be no mounts; the ids are the host's, and the network and the host name too, whatever is said of them.
    Machine,
}

/// The parts of an overlay root.
#[derive(Debug, Clone)]
pub struct Overlay {
    /// The directory that `lower` is relative to. Short relative names keep many layers within the one page that
    /// `mount(2)` has for its options.
    pub base: PathBuf,
    /// Read-only directories, the topmost first, relative to `base` and without `:`, `,` or `\`.
    pub lower: Vec<PathBuf>,
    /// Takes the changes; absolute.
    pub upper: PathBuf,
    /// An empty directory on the file system of `upper`; absolute.
    pub work: PathBuf,
}

/// One thing in the root.
#[derive(Debug, Clone)]
pub struct Mount {
    /// The absolute path inside the root. Symbolic links in it are followed within the root, never out of it.
    pub target: PathBuf,
    /// What is there.
    pub entry: Entry,
}

/// What can be put into a root.
#[derive(Debug, Clone)]
pub enum Entry {
    /// A directory with these permission bits.
    Directory(u32),
    /// A file with this text and these permission bits, in place of whatever the root has there. Left out where a
    /// link leads to a mount that is read-only: what is there then stays.
    File(Vec<u8>, u32),
    /// A symbolic link with this target.
    Symlink(PathBuf),
    /// A file or directory of the host (a symbolic link is followed). The mounts below it come along.
    Bind {
        /// The path on the host.
        source: PathBuf,
        /// Whether it can be changed.
        writable: bool,
    },
    /// A file system in memory with this mode and, where given, at most this size in bytes.
    Tmpfs {
        /// The permission bits of its top directory.
        mode: u32,
        /// The limit in bytes; half of the memory when absent.
        size: Option<u64>,
    },
    /// The directory that the root has there, made if need be; it stays writable when the root becomes read-only.
    Writable,
    /// The processes of the new process namespace. Where the kernel refuses (inside a container that masks parts of
    /// `/proc`), the host's is bound instead.
    Proc,
    /// A private set of pseudo-terminals.
    Terminals,
    /// The kernel's `/sys`, read-only.
    Sys,
}

/// Who the process is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// User id.
    pub user: u32,
    /// Primary group id.
    pub group: u32,
    /// Supplementary groups. Ignored where the kernel forbids to set them, as for an ordinary user's namespace.
    pub groups: Vec<u32>,
}

/// The ids that exist in the user namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdMap {
    /// Exactly the identity's user and group, which are the caller's own on the host. Needs no privilege.
    Single,
    /// Several ranges; needs root.
    Ranges {
        /// User ids.
        users: Vec<IdRange>,
        /// Group ids.
        groups: Vec<IdRange>,
    },
    /// No user namespace: ids and capabilities are the host's. Needs root, unless the root is [`Root::Machine`] and the
    /// identity the caller's own.
    Host,
}

/// A run of ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdRange {
    /// The first id inside.
    pub inside: u32,
    /// The first id on the host.
    pub outside: u32,
    /// How many.
    pub count: u32,
}

impl IdMap {
    /// Every id that the caller has is itself. Nothing if the caller may not hand on its ids, or has hardly any: an
    /// ordinary user, or "root" of a namespace made by one.
    pub fn own() -> Option<IdMap> {
        const FEW: u64 = 1000;
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        let map = |name: &str| -> Option<Vec<IdRange>> {
            let ranges = own_ranges(&std::fs::read_to_string(name).ok()?);
            let count: u64 = ranges.iter().map(|range| u64::from(range.count)).sum();
            (count >= FEW).then_some(ranges)
        };
        Some(IdMap::Ranges { users: map("/proc/self/uid_map")?, groups: map("/proc/self/gid_map")? })
    }
}

/// The ids of a namespace by its map, in lines of "first inside, first outside, count", each mapped to itself.
fn own_ranges(map: &str) -> Vec<IdRange> {
    let range = |line: &str| {
        let mut fields = line.split_whitespace().map(|field| field.parse::<u32>().ok());
        let (inside, count) = (fields.next()??, fields.nth(1)??);
        Some(IdRange { inside, outside: inside, count })
    };
    map.lines().filter_map(range).collect()
}

/// The network of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// That of the caller.
    Host,
    /// A new one with only a loopback interface, which is up.
    Private,
    /// A new one with nothing up.
    None,
}

/// A set of system calls that are refused or answered without effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seccomp {
    /// Nothing is filtered.
    Off,
    /// What Nix refuses its builders: setting setuid and setgid bits is `EPERM`, extended attributes are `ENOTSUP`.
    Builder,
    /// What a container has no business doing: kernel keyrings, modules, tracing hooks, clocks and the like are `EPERM`.
    Container,
    /// As [`Seccomp::Container`], and changing owners or ids succeeds without effect, for programs that insist on it
    /// in a namespace which has only one id.
    ContainerOneId,
}

/// A set of capabilities, one bit for each number of `capabilities(7)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities(pub u64);

impl Capabilities {
    /// None at all.
    pub const NONE: Capabilities = Capabilities(0);
    /// What container engines commonly grant: chown, dac_override, fowner, fsetid, kill, setgid, setuid, setpcap,
    /// net_bind_service, net_raw, sys_chroot, mknod, audit_write, setfcap.
    pub const CONTAINER: Capabilities = Capabilities(0xa804_25fb);

    /// Whether capability number `number` is in the set.
    pub fn contains(self, number: u32) -> bool {
        number < 64 && self.0 >> number & 1 == 1
    }
}

impl Mount {
    /// A mount at `target`.
    pub fn new(target: impl Into<PathBuf>, entry: Entry) -> Mount {
        Mount { target: target.into(), entry }
    }

    /// The host's `source` at `target`, not to be changed.
    pub fn read_only(source: impl Into<PathBuf>, target: impl Into<PathBuf>) -> Mount {
        Mount::new(target, Entry::Bind { source: source.into(), writable: false })
    }

    /// The host's `source` at `target`, to be changed.
    pub fn writable(source: impl Into<PathBuf>, target: impl Into<PathBuf>) -> Mount {
        Mount::new(target, Entry::Bind { source: source.into(), writable: true })
    }
}

/// The `/dev` that a program may expect: the harmless devices of the host, links to the standard streams, shared
/// memory of at most `shared_memory` bytes and private pseudo-terminals.
pub fn standard_devices(shared_memory: Option<u64>) -> Vec<Mount> {
    let mut mounts = vec![Mount::new("/dev", Entry::Directory(0o755))];
    for name in ["full", "null", "random", "tty", "urandom", "zero"] {
        let device = Path::new("/dev").join(name);
        // Bound, not made: only the host's root can make device nodes.
        if device.exists() {
            mounts.push(Mount::writable(&device, &device));
        }
    }
    for (name, to) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
    ] {
        mounts.push(Mount::new(Path::new("/dev").join(name), Entry::Symlink(to.into())));
    }
    mounts.push(Mount::new("/dev/shm", Entry::Tmpfs { mode: 0o1777, size: shared_memory }));
    mounts.push(Mount::new("/dev/pts", Entry::Terminals));
    mounts.push(Mount::new("/dev/ptmx", Entry::Symlink("/dev/pts/ptmx".into())));
    mounts
}

/// A fresh `/proc` without what is the whole machine's: the kernel's settings read-only, its memory, keys and levers
/// hidden. The host's root keeps its power over these files even where it has no capability, since it owns them.
pub fn guarded_processes() -> Vec<Mount> {
    let exists = |path: &&str| Path::new(*path).exists();
    let hidden = ["/proc/kcore", "/proc/keys", "/proc/sysrq-trigger", "/proc/timer_list"];
    let fixed = ["/proc/sys", "/proc/irq", "/proc/bus", "/proc/fs"];
    let mut mounts = vec![Mount::new("/proc", Entry::Proc)];
    mounts.extend(hidden.into_iter().filter(exists).map(|path| Mount::writable("/dev/null", path)));
    mounts.extend(fixed.into_iter().filter(exists).map(|path| Mount::read_only(path, path)));
    mounts
}
