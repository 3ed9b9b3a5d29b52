//! Checks of a definition that no schema makes: names, ports, references between containers, requests and limits.

use std::collections::BTreeSet;
use std::fmt;

use crate::definition::{Container, Definition, HealthCheck, HealthCondition, Port};
use crate::quantity;
use crate::render::{Images, RenderOptions, Target};

/// Something that a definition says and that cannot be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The option's path: `containers.web.ports`.
    pub option: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl Problem {
    pub(crate) fn new(container: &str, option: &str, message: impl Into<String>) -> Problem {
        Problem { option: format!("containers.{container}.{option}"), message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.option, self.message)
    }
}

/// Whether a text is a label as RFC 1123 defines it: what Kubernetes takes as the name of a Service.
pub(crate) fn is_dns_label(text: &str) -> bool {
    let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    text.len() <= 63
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && edge(text.as_bytes().first())
        && edge(text.as_bytes().last())
}

/// Problems of the definition itself, whatever the target.
pub(crate) fn definition(definition: &Definition) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (name, container) in &definition.containers {
        let mut report = |option: &str, message: String| problems.push(Problem::new(name, option, message));
        if !is_dns_label(name) || !name.starts_with(|c: char| c.is_ascii_lowercase()) || name.len() > 50 {
            report(
                "",
                "the name has to be lower-case letters, digits and dashes, begin with a letter and have 50 characters at most, since hosts and services are named by it (RFC 1123)".into(),
            );
        }
        environment(container, &mut report);
        ports(container, &mut report);
        paths(container, &mut report);
        resources(container, &mut report);
        dependencies(name, container, definition, &mut report);
    }
    problems.iter_mut().for_each(|problem| problem.option = problem.option.trim_end_matches('.').to_owned());
    problems
}

fn environment(container: &Container, report: &mut impl FnMut(&str, String)) {
    let valid = |name: &str| {
        !name.is_empty()
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    for variable in container.env.keys().filter(|name| !valid(name)) {
        report(
            "env",
            format!("\"{variable}\" is no name of a variable: letters, digits and underscores, no digit first"),
        );
    }
    for (name, secret) in &container.secrets {
        if !is_dns_label(name) {
            report("secrets", format!("\"{name}\" has to be lower-case letters, digits and dashes (RFC 1123)"));
        }
        if secret.env.is_none() && secret.path.is_none() {
            report("secrets", format!("\"{name}\" is used nowhere; give the `env` or the `path` that has it"));
        }
        if let Some(variable) = secret.env.as_deref() {
            if !valid(variable) {
                report("secrets", format!("\"{variable}\" is no name of a variable"));
            } else if container.env.contains_key(variable) {
                report("secrets", format!("the variable {variable} is in `env` as well"));
            }
        }
    }
}

fn ports(container: &Container, report: &mut impl FnMut(&str, String)) {
    let mut names = BTreeSet::new();
    let mut published = BTreeSet::new();
    for port in &container.ports {
        if port.container == 0 || port.host == Some(0) {
            report("ports", "0 is no port; ports are 1 to 65535".into());
        }
        if !is_dns_label(&port.name) || port.name.len() > 15 || !port.name.bytes().any(|byte| byte.is_ascii_lowercase())
        {
            report(
                "ports",
                format!(
                    "\"{}\" is no name of a port: lower-case letters, digits and dashes, with a letter, 15 characters at most (RFC 6335)",
                    port.name
                ),
            );
        }
        if !names.insert(&port.name) {
            report("ports", format!("two ports have the name \"{}\"", port.name));
        }
        if !published.insert((port.host.unwrap_or(port.container), port.protocol.as_str(), &port.address)) {
            report("ports", format!("port {} is published twice", port.host.unwrap_or(port.container)));
        }
    }
    let known = |wanted: u16| container.ports.iter().any(|port: &Port| port.container == wanted);
    if let Some(health) = &container.health {
        match &health.check {
            HealthCheck::Exec(command) if command.is_empty() => report("health", "`exec` has no program".into()),
            HealthCheck::Http(http) if !http.path.starts_with('/') => {
                report("health", format!("the path \"{}\" has to begin with a slash", http.path));
            }
            _ => {}
        }
        if health.interval == 0 || health.timeout == 0 || health.retries == 0 {
            report("health", "`interval`, `timeout` and `retries` have to be 1 at least".into());
        }
    }
    for ingress in &container.ingress {
        let labels = ingress.host.strip_prefix("*.").unwrap_or(&ingress.host);
        if !labels.split('.').all(is_dns_label) || ingress.host.len() > 253 {
            report("ingress", format!("\"{}\" is no name of a host (RFC 1123)", ingress.host));
        }
        if !ingress.path.starts_with('/') {
            report("ingress", format!("the path \"{}\" has to begin with a slash", ingress.path));
        }
        if !known(ingress.port) {
            report("ingress", format!("port {} is not among the container's `ports`", ingress.port));
        }
    }
}

fn paths(container: &Container, report: &mut impl FnMut(&str, String)) {
    let mut seen = BTreeSet::new();
    let volumes = container.volumes.values().map(|volume| ("volumes", volume.path.as_str()));
    let binds = container.bind_mounts.keys().map(|path| ("bindMounts", path.as_str()));
    let tmpfs = container.tmpfs.iter().map(|entry| ("tmpfs", entry.split(':').next().unwrap_or_default()));
    let files = container.files.keys().map(|path| ("files", path.as_str()));
    let secrets = container.secrets.values().filter_map(|secret| secret.path.as_deref()).map(|path| ("secrets", path));
    for (option, path) in volumes.chain(binds).chain(tmpfs).chain(files).chain(secrets) {
        let plain = path.starts_with('/') && !path.split('/').any(|part| part == "..") && !path.contains(':');
        if !plain || path == "/" {
            report(option, format!("\"{path}\" has to be an absolute path below the root, without `..` and colons"));
        }
        if !seen.insert(path.trim_end_matches('/')) {
            report(option, format!("something else is mounted at \"{path}\" already"));
        }
    }
    for name in container.volumes.keys().filter(|name| !is_dns_label(name)) {
        report("volumes", format!("\"{name}\" has to be lower-case letters, digits and dashes (RFC 1123)"));
    }
    for (name, volume) in &container.volumes {
        if volume.size.as_deref().is_some_and(|size| quantity::whole(size).is_none_or(|bytes| bytes == 0)) {
            report("volumes", format!("the size of \"{name}\" has to be a quantity such as 10Gi"));
        }
    }
}

fn resources(container: &Container, report: &mut impl FnMut(&str, String)) {
    let resources = &container.resources;
    for (kind, values) in [("requests", &resources.requests), ("limits", &resources.limits)] {
        for (resource, text) in values {
            if !["cpu", "memory"].contains(&resource.as_str()) {
                report("resources", format!("{kind}.{resource} is unknown; there are `cpu` and `memory`"));
            } else if quantity::parse(text).is_none_or(|value| value == 0) {
                report(
                    "resources",
                    format!("{kind}.{resource} = \"{text}\" has to be a quantity such as 500m or 256Mi"),
                );
            }
        }
    }
    for (resource, request) in &resources.requests {
        let limit = resources.limits.get(resource);
        if let Some(limit) = limit.filter(|limit| quantity::parse(request) > quantity::parse(limit)) {
            report("resources", format!("the request for {resource}, {request}, is above the limit, {limit}"));
        }
    }
}

fn dependencies(name: &str, container: &Container, all: &Definition, report: &mut impl FnMut(&str, String)) {
    for (other, dependency) in &container.depends_on {
        match all.containers.get(other) {
            None => report("dependsOn", format!("there is no container \"{other}\"")),
            Some(found) if dependency.condition == HealthCondition::Healthy && found.health.is_none() => {
                report("dependsOn", format!("\"{other}\" has no `health` that could be waited for"));
            }
            Some(_) => {}
        }
    }
    if reaches(all, name, name, &mut BTreeSet::new()) {
        report("dependsOn", format!("\"{name}\" needs itself, directly or through others"));
    }
}

fn reaches<'a>(all: &'a Definition, from: &str, wanted: &str, seen: &mut BTreeSet<&'a str>) -> bool {
    let Some(container) = all.containers.get(from) else { return false };
    container.depends_on.keys().any(|next| next == wanted || (seen.insert(next) && reaches(all, next, wanted, seen)))
}

/// Problems with the images: each container needs one, by digest.
pub(crate) fn images(definition: &Definition, images: &Images) -> Vec<Problem> {
    let mut problems = Vec::new();
    for name in definition.containers.keys() {
        match images.get(name) {
            None => problems.push(Problem::new(name, "image", "no image is known for it")),
            Some(image) if !is_digest(&image.digest) => {
                let found = &image.digest;
                problems.push(Problem::new(
                    name,
                    "image",
                    format!("\"{found}\" is no digest such as sha256:… with 64 digits"),
                ));
            }
            Some(_) => {}
        }
    }
    problems
}

fn is_digest(text: &str) -> bool {
    let lower_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.strip_prefix("sha256:").is_some_and(|hex| hex.len() == 64 && hex.bytes().all(lower_hex))
        || text.strip_prefix("sha512:").is_some_and(|hex| hex.len() == 128 && hex.bytes().all(lower_hex))
}

/// Problems with what is decided when rendering.
pub(crate) fn options(options: &RenderOptions) -> Vec<Problem> {
    let bad = options.namespace.as_deref().filter(|namespace| !is_dns_label(namespace));
    bad.map(|namespace| Problem {
        option: "namespace".into(),
        message: format!("\"{namespace}\" has to be lower-case letters, digits and dashes (RFC 1123)"),
    })
    .into_iter()
    .collect()
}

/// Problems that a single machine has and a cluster has not: two containers that want the same port of it.
pub(crate) fn target(definition: &Definition, target: Target) -> Vec<Problem> {
    let mut problems = Vec::new();
    if target == Target::Kubernetes {
        return problems;
    }
    let mut taken = std::collections::BTreeMap::new();
    for (name, container) in &definition.containers {
        for port in &container.ports {
            // On NixOS a virtual host leads to a port of the machine, published or not.
            let proxied = target == Target::Nixos && container.ingress.iter().any(|i| i.port == port.container);
            let Some(host) = port.host.or(proxied.then_some(port.container)) else { continue };
            let key = (host, port.protocol.as_str(), &port.address);
            match taken.insert(key, name) {
                Some(other) if other != name => {
                    problems.push(Problem::new(
                        name,
                        "ports",
                        format!("port {host} of the machine is taken by \"{other}\""),
                    ));
                }
                _ => {}
            }
        }
    }
    problems
}
