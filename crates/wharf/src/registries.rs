//! The registries that commands talk to: where the user says how to reach them, and who the user is there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::future::Future;
use std::io::ErrorKind;
use std::path::PathBuf;

use distribution::{Client, Reference, Registries, RegistriesConf};
use serde::Deserialize;

use crate::environment::{self, Environment};
use crate::failure::Failure;
use crate::settings::{Settings, Verbosity};

/// `registries.toml` in Wharf's directory of configuration.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
#[derive(Default)]
struct File {
    /// Host → addresses to pull from before the host itself.
    mirrors: BTreeMap<String, Vec<String>>,
    /// Hosts that may be spoken to without a valid certificate, or without TLS.
    insecure: BTreeSet<String>,
}

/// What the registry client is told. Nothing is asked of any registry yet.
pub(crate) fn client_settings(environment: &Environment) -> Result<distribution::Settings, Failure> {
    let file = configuration(environment)?;
    Ok(distribution::Settings {
        registries: Registries { mirrors: file.mirrors, insecure: file.insecure, conf: containers_conf(environment)? },
        auth_files: auth_files(environment),
        certificate_directories: certificate_directories(environment),
        docker: crate::docker_host::find(environment),
        certificate_file: environment::text("SSL_CERT_FILE").map(PathBuf::from),
        ..distribution::Settings::default()
    })
}

fn configuration(environment: &Environment) -> Result<File, Failure> {
    let base = environment::directory("XDG_CONFIG_HOME").or_else(|| Some(environment.home.as_ref()?.join(".config")));
    let Some(path) = base.map(|base| base.join("wharf/registries.toml")) else { return Ok(File::default()) };
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(File::default()),
        Err(error) => return Err(Failure::io("read", &path, error)),
    };
    toml::from_str(&text).map_err(|error| {
        Failure::new(format!("{} is not as it should be", path.display()))
            .because(error.to_string())
            .help("it has `insecure = [\"HOST\"]` and a table `[mirrors]` of `\"HOST\" = [\"https://…\"]`")
    })
}

/// `registries.conf` as podman and skopeo read it: the user's own in place of the machine's, and what is dropped beside both.
fn containers_conf(environment: &Environment) -> Result<RegistriesConf, Failure> {
    if let Some(file) = environment::text("CONTAINERS_REGISTRIES_CONF").filter(|file| !file.is_empty()) {
        return Ok(RegistriesConf::read(Some(file.as_ref()), &[])?);
    }
    let own = containers_directory(environment);
    let machine = PathBuf::from("/etc/containers");
    let file =
        own.iter().chain([&machine]).map(|directory| directory.join("registries.conf")).find(|file| file.exists());
    let directories: Vec<_> =
        [Some(machine), own].into_iter().flatten().map(|directory| directory.join("registries.conf.d")).collect();
    Ok(RegistriesConf::read(file.as_deref(), &directories)?)
}

fn containers_directory(environment: &Environment) -> Option<PathBuf> {
    let base = environment::directory("XDG_CONFIG_HOME").or_else(|| Some(environment.home.as_ref()?.join(".config")));
    base.map(|base| base.join("containers"))
}

/// Where docker and podman look for a registry's certificates.
fn certificate_directories(environment: &Environment) -> Vec<PathBuf> {
    let home = |path: &str| environment.home.as_ref().map(|home| home.join(path));
    let own = [containers_directory(environment).map(|own| own.join("certs.d")), home(".config/docker/certs.d")];
    let machine = ["/etc/containers/certs.d", "/etc/docker/certs.d"].map(|path| Some(PathBuf::from(path)));
    own.into_iter().chain(machine).flatten().collect()
}

/// Where credentials are looked for, in this order.
pub(crate) fn auth_files(environment: &Environment) -> Vec<PathBuf> {
    let home = |path: &str| environment.home.as_ref().map(|home| home.join(path));
    let given = environment::text("REGISTRY_AUTH_FILE").map(PathBuf::from);
    let runtime = environment::directory("XDG_RUNTIME_DIR").map(|dir| dir.join("containers/auth.json"));
    let docker = environment::directory("DOCKER_CONFIG").or_else(|| home(".docker")).map(|dir| dir.join("config.json"));
    [given, runtime, home(".config/containers/auth.json"), docker].into_iter().flatten().collect()
}

/// A client for one command.
pub(crate) fn client(settings: &Settings) -> Result<Client, Failure> {
    if settings.offline {
        return Err(Failure::usage("this command talks to a registry, and --offline forbids that"));
    }
    let told = client_settings(&settings.environment)?;
    let search = &told.registries.conf.unqualified_search;
    if settings.verbosity >= Verbosity::Debug && search.iter().any(|host| host != "docker.io") {
        eprintln!("note: names without a host mean docker.io; {} are not searched", search.join(", "));
    }
    Ok(Client::new(told))
}

/// Waits for work with registries.
pub(crate) fn wait<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(work)
}

/// A reference as people type it, `docker://` before it or not.
pub(crate) fn reference(text: &str) -> Result<Reference, Failure> {
    text.parse::<Reference>().map_err(|error| {
        Failure::usage(error.to_string())
            .help("a reference is [HOST[:PORT]/]NAME[:TAG][@DIGEST], such as localhost:5000/web:1.2")
    })
}
