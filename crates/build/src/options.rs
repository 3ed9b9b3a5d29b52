//! How to build.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use sandbox::{Limits, Watch};

/// How much of the machine builders are kept from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Isolation {
    /// They see their inputs and nothing else.
    #[default]
    Full,
    /// Those whose derivations ask for it, by `__noChroot`, see the machine.
    Relaxed,
    /// All see the machine.
    Off,
}

/// How to build. Every path is the host's.
#[derive(Debug, Clone)]
pub struct Options {
    /// How many derivations are built at the same time on this machine; with 0, all must be built on others, but for what
    /// is part of this program.
    pub jobs: usize,
    /// What builders are told as `NIX_BUILD_CORES`: how many processors each may use.
    pub cores: NonZeroUsize,
    /// The systems whose programs this machine runs, as `x86_64-linux`.
    pub systems: BTreeSet<String>,
    /// What this machine offers to derivations with `requiredSystemFeatures`.
    pub features: BTreeSet<String>,
    /// The program that is `/bin/sh` in the sandbox: one static file, started with `sh` as its name.
    pub shell: Option<PathBuf>,
    /// The certificates that fixed-output builders find as `/etc/ssl/certs/ca-certificates.crt`.
    pub certificates: Option<PathBuf>,
    /// The variables from which fixed-output builders may get what they list in `impureEnvVars`.
    pub environment: BTreeMap<String, OsString>,
    /// When a builder is killed.
    pub watch: Watch,
    /// What a builder and all that it starts may have together, where the machine has control groups.
    pub limits: Limits,
    /// How much of the machine builders are kept from.
    pub isolation: Isolation,
    /// Whether builders run without a sandbox, with a warning, where the kernel refuses namespaces and they can find the
    /// store without.
    pub sandbox_fallback: bool,
    /// The group whose members builders run as where this process is root; of one that has none, ids that nobody has.
    /// `None`: builders run as root, in a namespace where they have no rights.
    pub build_users_group: Option<String>,
    /// Goes on with what does not depend on a failed derivation.
    pub keep_going: bool,
    /// Keeps the build directory of a failed derivation.
    pub keep_failed: bool,
    /// Builds what is there already once more, and compares.
    pub check: bool,
}

impl Options {
    /// One build at a time, for the system of this program, with what the machine has, and without limits.
    pub fn new() -> Options {
        let mut features: BTreeSet<String> =
            ["nixos-test", "benchmark", "big-parallel"].into_iter().map(str::to_owned).collect();
        if rustix::fs::access("/dev/kvm", rustix::fs::Access::READ_OK | rustix::fs::Access::WRITE_OK).is_ok() {
            features.insert("kvm".to_owned());
        }
        let system = format!("{}-linux", std::env::consts::ARCH);
        let mut systems = BTreeSet::from([system]);
        if cfg!(target_arch = "x86_64") {
            systems.insert("i686-linux".to_owned());
        }
        Options {
            jobs: 1,
            cores: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            systems,
            features,
            shell: None,
            certificates: None,
            environment: BTreeMap::new(),
            watch: Watch::default(),
            limits: Limits::default(),
            isolation: Isolation::Full,
            sandbox_fallback: true,
            build_users_group: Some("nixbld".to_owned()),
            keep_going: false,
            keep_failed: false,
            check: false,
        }
    }
}

impl Default for Options {
    fn default() -> Options {
        Options::new()
    }
}
