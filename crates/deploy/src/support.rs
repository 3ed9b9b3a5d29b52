//! What each target makes of each option: the one table, for rendering and for documentation.

use crate::definition::{Container, Health, HealthCheck, Restart};
use crate::render::Target;

/// How a target meets an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Support {
    /// The target has the same.
    Native,
    /// The target does it by other means, which are said.
    Emulated(&'static str),
    /// The target does less, which is said each time.
    Warning(&'static str),
    /// The target cannot do it.
    Error(&'static str),
}

impl Support {
    /// `native`, `emulated`, `warning` or `error`.
    pub fn kind(self) -> &'static str {
        match self {
            Support::Native => "native",
            Support::Emulated(_) => "emulated",
            Support::Warning(_) => "warning",
            Support::Error(_) => "error",
        }
    }

    /// What is said of it.
    pub fn note(self) -> &'static str {
        match self {
            Support::Native => "",
            Support::Emulated(note) | Support::Warning(note) | Support::Error(note) => note,
        }
    }
}

/// One option of `containers.<name>`.
#[derive(Debug, Clone, Copy)]
pub struct OptionRow {
    /// Its name.
    pub name: &'static str,
    /// What it says, in a few words.
    pub summary: &'static str,
    /// For each of [`Target::ALL`], in that order.
    support: [Support; 4],
}

impl OptionRow {
    /// What a target makes of the option in general; what it makes of a particular value may differ.
    pub fn on(&self, target: Target) -> Support {
        self.support[target as usize]
    }
}

const NATIVE: Support = Support::Native;
const fn emulated(note: &'static str) -> Support {
    Support::Emulated(note)
}
const fn warning(note: &'static str) -> Support {
    Support::Warning(note)
}
const fn error(note: &'static str) -> Support {
    Support::Error(note)
}
const fn row(name: &'static str, summary: &'static str, support: [Support; 4]) -> OptionRow {
    OptionRow { name, summary, support }
}
const fn same(name: &'static str, summary: &'static str, support: Support) -> OptionRow {
    row(name, summary, [support; 4])
}

const OWN_NETWORK: Support = emulated("a container has a network of its own here anyway");
const NSPAWN_ONLY: Support = error(
    "is about systemd-nspawn, which runs NixOS containers but no images; remove it, or deploy with nixos-rebuild",
);

// The columns are those of `Target::ALL`: Kubernetes, NixOS, quadlet, Compose.
static ROWS: &[OptionRow] = &[
    same("image", "the image, as a derivation or a reference", NATIVE),
    same("package", "a package whose main program is run", emulated("an image of the package's closure is built")),
    same("config", "a NixOS configuration", emulated("an image of the system with its init is built")),
    row("entrypoint", "the program", [emulated("`command`"), NATIVE, NATIVE, NATIVE]),
    row("cmd", "the arguments", [emulated("`args`"), NATIVE, NATIVE, NATIVE]),
    row("workdir", "the working directory", [NATIVE, NATIVE, NATIVE, NATIVE]),
    same("env", "environment variables", NATIVE),
    row(
        "secrets",
        "secrets that the target keeps, as variables or files",
        [NATIVE, emulated("podman secrets of the same names"), NATIVE, emulated("files in `./secrets`")],
    ),
    row(
        "files",
        "configuration files",
        [
            emulated("an immutable ConfigMap, named by its hash"),
            emulated("files in the Nix store"),
            emulated("files beside the units"),
            emulated("files beside the Compose file"),
        ],
    ),
    row("ports", "published ports", [emulated("a Service"), NATIVE, NATIVE, NATIVE]),
    row(
        "volumes",
        "storage that outlives the container",
        [emulated("a PersistentVolumeClaim"), NATIVE, emulated("a `.volume` unit"), NATIVE],
    ),
    row(
        "bindMounts",
        "paths of the machine",
        [warning("becomes a hostPath volume, which ties the pod to what is on its node"), NATIVE, NATIVE, NATIVE],
    ),
    row("tmpfs", "paths in memory", [emulated("an emptyDir in memory"), NATIVE, NATIVE, NATIVE]),
    same("readOnlyRoot", "a root that cannot be written", NATIVE),
    row(
        "health",
        "how to find out whether it works",
        [emulated("startup, readiness and liveness probes"), NATIVE, NATIVE, NATIVE],
    ),
    row(
        "restart",
        "when it is started again",
        [
            emulated("a workload's pods always restart"),
            emulated("the unit's Restart="),
            emulated("the unit's Restart="),
            NATIVE,
        ],
    ),
    row("resources", "processors and memory", [NATIVE, NATIVE, emulated("PodmanArgs="), NATIVE]),
    row("user", "the user and group", [NATIVE, NATIVE, NATIVE, NATIVE]),
    row("capabilities", "kernel capabilities", [NATIVE, NATIVE, NATIVE, NATIVE]),
    row(
        "devices",
        "devices of the machine",
        [
            error(
                "pods get devices from a device plugin, as a resource limit; mounting device files does not grant access",
            ),
            NATIVE,
            NATIVE,
            NATIVE,
        ],
    ),
    row(
        "dependsOn",
        "containers that it needs",
        [
            warning("pods start in no order; what fails for want of another is restarted until it is there"),
            NATIVE,
            emulated("Requires= and After="),
            NATIVE,
        ],
    ),
    row(
        "replicas",
        "how many of it run",
        [
            NATIVE,
            emulated("containers with numbered names on the one machine"),
            emulated("units with numbered names on the one machine"),
            NATIVE,
        ],
    ),
    row(
        "ingress",
        "addresses by which it is reached from outside",
        [
            NATIVE,
            emulated("a virtual host of nginx"),
            warning("becomes labels that Traefik reads; without Traefik nothing answers for the host"),
            warning("becomes labels that Traefik reads; without Traefik nothing answers for the host"),
        ],
    ),
    row(
        "autoStart",
        "whether it starts with the machine",
        [
            error("cannot be off: what is applied to a cluster runs; set `replicas` in the cluster to 0 instead"),
            NATIVE,
            NATIVE,
            emulated("a profile named \"manual\""),
        ],
    ),
    // Options of NixOS's own containers.
    same("ephemeral", "a root that is new each time", emulated("a container's root is new each time here anyway")),
    same("privateNetwork", "a network of its own", OWN_NETWORK),
    same(
        "restartIfChanged",
        "a restart when the definition changes",
        warning("a changed definition always restarts the container"),
    ),
    same(
        "timeoutStartSec",
        "how long the start may take",
        warning("has no effect; `health.startPeriod` says how long the program may take to start"),
    ),
    same("hostAddress", "the machine's address on the container's network", NSPAWN_ONLY),
    same("hostAddress6", "the machine's IPv6 address on the container's network", NSPAWN_ONLY),
    same("localAddress", "the container's address", NSPAWN_ONLY),
    same("localAddress6", "the container's IPv6 address", NSPAWN_ONLY),
    same("localMacAddress", "the container's hardware address", NSPAWN_ONLY),
    same("copyResolvConf", "a copy of the machine's resolv.conf", NSPAWN_ONLY),
    same("hostBridge", "the bridge that the container is attached to", NSPAWN_ONLY),
    same("interfaces", "network interfaces to move into the container", NSPAWN_ONLY),
    same("macvlans", "interfaces to make macvlans of", NSPAWN_ONLY),
    same("extraVeths", "further virtual interfaces", NSPAWN_ONLY),
    same("networkNamespace", "a network namespace to join", NSPAWN_ONLY),
    same("enableTun", "access to /dev/net/tun", NSPAWN_ONLY),
    same("privateUsers", "a range of user IDs", NSPAWN_ONLY),
    same("extraFlags", "arguments for systemd-nspawn", NSPAWN_ONLY),
    same("path", "the path of a built NixOS system", NSPAWN_ONLY),
    same("flake", "a flake with the NixOS system", NSPAWN_ONLY),
    same("nixpkgs", "the nixpkgs of the NixOS system", NSPAWN_ONLY),
    same("specialArgs", "further arguments of the NixOS system's modules", NSPAWN_ONLY),
];

/// All options, in the order in which they are documented.
pub fn options() -> &'static [OptionRow] {
    ROWS
}

/// What a target makes of an option, or `None` if there is no such option.
pub fn support(option: &str, target: Target) -> Option<Support> {
    ROWS.iter().find(|row| row.name == option).map(|row| row.on(target))
}

/// The options that a container's definition uses.
pub(crate) fn used(container: &Container) -> Vec<&str> {
    let own = [
        ("entrypoint", container.entrypoint.is_some()),
        ("cmd", container.cmd.is_some()),
        ("workdir", container.workdir.is_some()),
        ("env", !container.env.is_empty()),
        ("secrets", !container.secrets.is_empty()),
        ("files", !container.files.is_empty()),
        ("ports", !container.ports.is_empty()),
        ("volumes", !container.volumes.is_empty()),
        ("bindMounts", !container.bind_mounts.is_empty()),
        ("tmpfs", !container.tmpfs.is_empty()),
        ("readOnlyRoot", container.read_only_root),
        ("health", container.health.is_some()),
        ("restart", container.restart != Restart::Always),
        ("resources", container.resources != Default::default()),
        ("user", container.user.is_some()),
        ("capabilities", container.capabilities != Default::default()),
        ("devices", !container.devices.is_empty()),
        ("dependsOn", !container.depends_on.is_empty()),
        ("replicas", container.replicas.0 != 1),
        ("ingress", !container.ingress.is_empty()),
        ("autoStart", !container.auto_start.0),
    ];
    let nspawn = container.nspawn.iter().map(String::as_str);
    own.into_iter().filter(|(_, used)| *used).map(|(name, _)| name).chain(nspawn).collect()
}

/// What a target makes of this container's value of an option.
pub(crate) fn judge(option: &str, container: &Container, target: Target) -> Support {
    let fixed_host_port = container.ports.iter().any(|port| port.host.is_some());
    match (option, target) {
        ("restart", Target::Kubernetes) if matches!(container.restart, Restart::No | Restart::OnFailure) => {
            error("a service's pods always restart; what ends by itself is a Job, which is not rendered")
        }
        ("user", Target::Kubernetes) if !is_numeric_user(container) => {
            error("has to be numbers: Kubernetes cannot look names up in the image's passwd file")
        }
        ("tmpfs", Target::Kubernetes) if container.tmpfs.iter().any(|entry| !is_plain_tmpfs(entry)) => {
            error("an emptyDir takes only the option `size=`")
        }
        ("replicas", Target::Nixos | Target::Quadlet | Target::Compose)
            if container.replicas.0 > 1 && fixed_host_port =>
        {
            error("more than one cannot share a port of the machine; leave `ports.*.host` out")
        }
        ("secrets", Target::Compose) if container.secrets.values().any(|secret| secret.env.is_some()) => {
            error("Compose has secrets as files only; use `path` and let the program read the file")
        }
        ("ports", Target::Kubernetes) if container.ports.iter().any(|port| port.address.is_some()) => {
            warning("a Service has no address of a machine; `address` is left out")
        }
        ("volumes", Target::Compose)
            if container.replicas.0 > 1 && container.volumes.values().any(|volume| !volume.shared) =>
        {
            error("the replicas of a Compose service all mount the same volume; say so with `shared = true`")
        }
        ("volumes", Target::Nixos | Target::Quadlet | Target::Compose)
            if container.volumes.values().any(|volume| volume.size.is_some() || volume.class.is_some()) =>
        {
            warning("`size` and `class` have no effect on one machine, whose volumes share its disk")
        }
        ("ingress", Target::Nixos) if container.replicas.0 > 1 => {
            error("a virtual host leads to one container; put a load balancer before several")
        }
        ("health", Target::Nixos | Target::Quadlet | Target::Compose) if needs_a_client(container.health.as_ref()) => {
            warning(
                "becomes a command in the container, so the image must have `wget` or `nc`; use `exec` with a program that it has",
            )
        }
        ("resources", Target::Nixos | Target::Quadlet) if container.resources.requests.contains_key("cpu") => {
            warning("`requests.cpu` has no equal here; only limits and `requests.memory` are set")
        }
        _ => support(option, target).unwrap_or(NSPAWN_ONLY),
    }
}

fn needs_a_client(health: Option<&Health>) -> bool {
    matches!(health.map(|health| &health.check), Some(HealthCheck::Http(_) | HealthCheck::Tcp(_)))
}

fn is_numeric_user(container: &Container) -> bool {
    let numeric = |part: &str| part.parse::<u32>().is_ok();
    container.user.as_deref().is_none_or(|user| user.splitn(2, ':').all(numeric))
}

/// Whether a tmpfs entry has no options but a size.
fn is_plain_tmpfs(entry: &str) -> bool {
    entry.split_once(':').is_none_or(|(_, options)| options.split(',').all(|option| option.starts_with("size=")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_is_in_the_table_once_and_every_cell_that_is_not_native_says_why() {
        for (index, row) in ROWS.iter().enumerate() {
            assert!(ROWS[..index].iter().all(|other| other.name != row.name), "{} twice", row.name);
            for target in Target::ALL {
                assert_eq!(row.on(target) == NATIVE, row.on(target).note().is_empty(), "{} on {target}", row.name);
            }
        }
    }

    #[test]
    fn targets_index_their_columns() {
        for (index, target) in Target::ALL.into_iter().enumerate() {
            assert_eq!(target as usize, index);
        }
    }
}
