//! podman's arguments for what units and NixOS have no setting of their own for.

use crate::definition::{Container, Health, HealthCheck};
use crate::quantity;

/// The command that checks a container's health, run by a shell in it.
pub(crate) fn health_command(health: &Health) -> String {
    match &health.check {
        HealthCheck::Http(http) => {
            format!("wget -q -O /dev/null http://127.0.0.1:{}{} || exit 1", http.port, shell_word(&http.path))
        }
        HealthCheck::Tcp(port) => format!("nc -z 127.0.0.1 {port} || exit 1"),
        HealthCheck::Exec(command) => command.iter().map(|word| shell_word(word)).collect::<Vec<_>>().join(" "),
    }
}

/// Whether the check is a program that the definition names. Others need one that the image may not have, and a unit that
/// waits for such a check might never be ready.
pub(crate) fn is_own_check(health: &Health) -> bool {
    matches!(health.check, HealthCheck::Exec(_))
}

/// A word as the shell reads it back.
pub(crate) fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=@%+,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

/// Arguments that set the limits.
pub(crate) fn resource_arguments(container: &Container) -> Vec<String> {
    let resources = &container.resources;
    let mut arguments = Vec::new();
    if let Some(memory) = resources.limits.get("memory").and_then(|text| quantity::whole(text)) {
        arguments.push(format!("--memory={memory}"));
    }
    if let Some(memory) = resources.requests.get("memory").and_then(|text| quantity::whole(text)) {
        arguments.push(format!("--memory-reservation={memory}"));
    }
    if let Some(cpus) = resources.limits.get("cpu").and_then(|text| quantity::decimal(text)) {
        arguments.push(format!("--cpus={cpus}"));
    }
    arguments
}

/// A published port: `[address:][host:]container/protocol`. Without a host port podman chooses one.
pub(crate) fn published(port: &crate::definition::Port) -> String {
    let address = port.address.as_ref().map(|address| bracketed(address) + ":").unwrap_or_default();
    let host = port.host.map(|host| host.to_string()).unwrap_or_default();
    let separator = if address.is_empty() && host.is_empty() { "" } else { ":" };
    format!("{address}{host}{separator}{}/{}", port.container, port.protocol.as_str())
}

/// IPv6 addresses stand in brackets before a port.
fn bracketed(address: &str) -> String {
    if address.contains(':') && !address.starts_with('[') { format!("[{address}]") } else { address.to_owned() }
}

/// The labels by which Traefik serves a container's hosts.
pub(crate) fn traefik_labels(name: &str, container: &Container) -> Vec<(String, String)> {
    let mut labels = Vec::new();
    for (index, ingress) in container.ingress.iter().enumerate() {
        let router = format!("{name}-{index}");
        let path = if ingress.path == "/" { String::new() } else { format!(" && PathPrefix(`{}`)", ingress.path) };
        if index == 0 {
            labels.push(("traefik.enable".to_owned(), "true".to_owned()));
        }
        let mut add = |key: String, value: String| labels.push((key, value));
        add(format!("traefik.http.routers.{router}.rule"), format!("Host(`{}`){path}", ingress.host));
        add(format!("traefik.http.routers.{router}.service"), router.clone());
        if ingress.tls {
            add(format!("traefik.http.routers.{router}.tls"), "true".to_owned());
        }
        add(format!("traefik.http.services.{router}.loadbalancer.server.port"), ingress.port.to_string());
    }
    labels
}
