//! The evaluated definition as plain data: what `nix/deploy.nix` gives as JSON.

use std::collections::BTreeMap;

use serde::Deserialize;

/// All containers of a project.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// The containers by name.
    pub containers: BTreeMap<String, Container>,
}

/// Why JSON is no definition.
#[derive(Debug, thiserror::Error)]
#[error("the evaluated definition does not have the form that is expected: {0}")]
pub struct DefinitionError(#[from] serde_json::Error);

impl Definition {
    /// Reads the JSON of an evaluated definition.
    ///
    /// # Errors
    /// The text is no JSON, or has a field that is unknown, missing or of the wrong type.
    pub fn from_json(text: &str) -> Result<Definition, DefinitionError> {
        Ok(serde_json::from_str(text)?)
    }
}

/// One container, as `containers.<name>` defines it. `None` and empty mean: as the image says.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct Container {
    /// The program with its first arguments.
    pub entrypoint: Option<Vec<String>>,
    /// The arguments.
    pub cmd: Option<Vec<String>>,
    /// The directory in which the program starts.
    pub workdir: Option<String>,
    /// Environment variables.
    pub env: BTreeMap<String, String>,
    /// Secrets that the target keeps, by the name that they have there.
    pub secrets: BTreeMap<String, Secret>,
    /// Configuration files: content by path.
    pub files: BTreeMap<String, String>,
    /// Published ports.
    pub ports: Vec<Port>,
    /// Storage that outlives the container, by name.
    pub volumes: BTreeMap<String, Volume>,
    /// Directories and files of the machine, by their path in the container.
    pub bind_mounts: BTreeMap<String, BindMount>,
    /// Paths that are in memory, each with options after a colon if there are any: `/run:size=64m`.
    pub tmpfs: Vec<String>,
    /// Whether nothing but volumes can be written.
    pub read_only_root: bool,
    /// How to find out whether the container works.
    pub health: Option<Health>,
    /// When a container that has ended is started again.
    pub restart: Restart,
    /// What the container may use.
    pub resources: Resources,
    /// `user[:group]`, numbers or names.
    pub user: Option<String>,
    /// Kernel capabilities without the `CAP_` prefix.
    pub capabilities: Capabilities,
    /// Devices of the machine.
    pub devices: Vec<Device>,
    /// Containers that this one needs, by name.
    pub depends_on: BTreeMap<String, Dependency>,
    /// How many of it run.
    pub replicas: Replicas,
    /// The addresses under which it is reached from outside, by HTTP.
    pub ingress: Vec<Ingress>,
    /// Whether it starts with the machine.
    pub auto_start: AutoStart,
    /// The names of those options of NixOS's own `containers` that are in use and about its way to run them.
    pub nspawn: Vec<String>,
}

/// A count of replicas, one by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Replicas(pub u32);

impl Default for Replicas {
    fn default() -> Self {
        Replicas(1)
    }
}

/// Whether a container starts by itself; it does by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct AutoStart(pub bool);

impl Default for AutoStart {
    fn default() -> Self {
        AutoStart(true)
    }
}

/// A secret, by reference: its content is never part of a definition.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Secret {
    /// The environment variable that has it.
    pub env: Option<String>,
    /// The file that has it.
    pub path: Option<String>,
    /// The key inside the secret, where a target's secrets have several.
    pub key: Option<String>,
}

/// A port of the container, and where it is published.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Port {
    /// Its name: lower-case letters, digits and dashes, 15 characters at most.
    pub name: String,
    /// The port that the program listens on.
    pub container: u16,
    /// The port on the machine, or of the service.
    pub host: Option<u16>,
    /// The machine's address to listen on.
    pub address: Option<String>,
    /// The transport.
    pub protocol: Protocol,
}

/// A port's transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl Protocol {
    /// `tcp` or `udp`.
    pub fn as_str(self) -> &'static str {
        match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        }
    }
}

/// Storage with a name.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Volume {
    /// Where the container sees it.
    pub path: String,
    /// How much is needed, as Kubernetes writes quantities: `10Gi`.
    pub size: Option<String>,
    /// The class of storage.
    pub class: Option<String>,
    /// Whether the container may only read it.
    pub read_only: bool,
    /// Whether all replicas have the same one.
    pub shared: bool,
}

/// A path of the machine in the container.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct BindMount {
    /// The path on the machine; the container's if absent.
    pub host_path: Option<String>,
    /// Whether the container may only read it.
    pub is_read_only: bool,
}

/// How to find out whether a container works.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Health {
    /// What to do.
    pub check: HealthCheck,
    /// Seconds between checks.
    pub interval: u32,
    /// Seconds that one check may take.
    pub timeout: u32,
    /// Failures in a row after which the container counts as broken.
    pub retries: u32,
    /// Seconds that the container may take to start.
    pub start_period: u32,
}

/// A check's kind.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HealthCheck {
    /// A request whose answer must be a success.
    Http(HttpCheck),
    /// A connection that must be taken.
    Tcp(u16),
    /// A program in the container that must succeed.
    Exec(Vec<String>),
}

/// An HTTP check.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpCheck {
    /// The port.
    pub port: u16,
    /// The path of the request.
    pub path: String,
}

/// When a container is started again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Restart {
    /// Whenever it ends.
    #[default]
    Always,
    /// Whenever it ends, unless somebody stopped it.
    UnlessStopped,
    /// When it ends with a failure.
    OnFailure,
    /// Never.
    No,
}

/// What a container may use, as Kubernetes writes quantities: `500m` processors, `256Mi` of memory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Resources {
    /// What is set aside for it.
    pub requests: BTreeMap<String, String>,
    /// What it never gets more of.
    pub limits: BTreeMap<String, String>,
}

/// Changes to the capabilities that containers have.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Capabilities {
    /// Those to have as well.
    pub add: Vec<String>,
    /// Those not to have; `ALL` is all of them.
    pub drop: Vec<String>,
}

/// A device of the machine in the container.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Device {
    /// Its path on the machine and in the container.
    pub path: String,
    /// Of `r`, `w` and `m` what is allowed.
    pub permissions: String,
}

/// A container that another one needs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Dependency {
    /// What the other must be before this one starts.
    pub condition: HealthCondition,
}

/// A state to wait for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HealthCondition {
    /// Its program runs.
    #[default]
    Started,
    /// Its health check succeeds.
    Healthy,
}

/// An address under which a container is reached by HTTP.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Ingress {
    /// The name of the host.
    pub host: String,
    /// The paths that begin so.
    pub path: String,
    /// The container's port.
    pub port: u16,
    /// Whether the connection is encrypted.
    pub tls: bool,
    /// The secret with the certificate, where the target keeps certificates so.
    pub tls_secret: Option<String>,
    /// The class of the controller.
    pub class: Option<String>,
}
