//! Where Docker's daemon listens: as Docker's own client finds it out.

use std::fs;
use std::path::{Path, PathBuf};

use distribution::{Digest, DockerHost};
use serde::Deserialize;

use crate::environment::{self, Environment};

/// The contexts that `docker context` keeps.
#[derive(Deserialize)]
struct Context {
    #[serde(rename = "Endpoints")]
    endpoints: Endpoints,
}

#[derive(Deserialize)]
struct Endpoints {
    docker: Endpoint,
}

#[derive(Deserialize)]
struct Endpoint {
    #[serde(rename = "Host")]
    host: String,
}

/// `DOCKER_HOST`, else the context that is in use, else the socket of a daemon of the machine's or of the user's.
pub(crate) fn find(environment: &Environment) -> DockerHost {
    let tls = environment::text("DOCKER_TLS_VERIFY").is_some_and(|value| !value.is_empty());
    let config = environment::directory("DOCKER_CONFIG").or_else(|| Some(environment.home.as_ref()?.join(".docker")));
    let certificates = environment::directory("DOCKER_CERT_PATH").or_else(|| config.clone().filter(|_| tls));
    let given = environment::text("DOCKER_HOST").filter(|address| !address.is_empty());
    let of_context = || context(config.as_deref()?);
    let address = given.or_else(of_context).unwrap_or_else(socket);
    DockerHost { address, certificates, verify: tls }
}

fn context(config: &Path) -> Option<String> {
    #[derive(Deserialize)]
    struct File {
        #[serde(rename = "currentContext")]
        current: Option<String>,
    }
    let read = |path: PathBuf| fs::read(path).ok();
    let current = || serde_json::from_slice::<File>(&read(config.join("config.json"))?).ok()?.current;
    let name = environment::text("DOCKER_CONTEXT").or_else(current).filter(|name| name != "default")?;
    let meta = config.join("contexts/meta").join(Digest::of(name.as_bytes()).hex()).join("meta.json");
    let context: Context = serde_json::from_slice(&read(meta)?).ok()?;
    Some(context.endpoints.docker.host)
}

fn socket() -> String {
    let machine = PathBuf::from("/var/run/docker.sock");
    let own = environment::directory("XDG_RUNTIME_DIR").map(|directory| directory.join("docker.sock"));
    let found = own.filter(|own| !machine.exists() && own.exists()).unwrap_or(machine);
    format!("unix://{}", found.display())
}
