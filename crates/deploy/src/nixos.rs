//! A NixOS module: containers as `virtualisation.oci-containers` runs them, with podman.

use std::collections::BTreeSet;

use crate::definition::{Container, Definition, Health, Ingress, Restart};
use crate::nix_value::{NixValue, string};
use crate::podman;
use crate::quadlet::secret_name;
use crate::render::{Images, RenderedFile, ResolvedImage};
use crate::replicas;

/// Renders `containers.nix`.
pub(crate) fn render(definition: &Definition, images: &Images) -> Vec<RenderedFile> {
    let mut entries = vec![(path(&["virtualisation", "oci-containers", "backend"]), NixValue::Text("podman".into()))];
    let mut hosts = Vec::new();
    for (name, container) in &definition.containers {
        for instance in replicas::names(name, container) {
            let value = oci_container(name, &instance, container, &images[name], definition);
            entries.push((path(&["virtualisation", "oci-containers", "containers", &instance]), value));
            entries.extend(restart_policy(&instance, container));
        }
        hosts.extend(container.ingress.iter().map(|ingress| (container, ingress)));
    }
    if !hosts.is_empty() {
        entries.push((path(&["services", "nginx", "enable"]), NixValue::Bool(true)));
        entries.push((path(&["services", "nginx", "recommendedProxySettings"]), NixValue::Bool(true)));
    }
    for (container, ingress) in hosts {
        entries.extend(virtual_host(container, ingress));
    }
    // Two paths of one host say the same of the host itself.
    let mut seen = BTreeSet::new();
    entries.retain(|(path, _)| seen.insert(path.clone()));
    let header = "# Containers by digest. Import this module into the system's configuration.\n{ lib, pkgs, ... }:\n";
    let contents = format!("{header}{}\n", NixValue::Set(entries).print(0));
    vec![RenderedFile { path: "containers.nix".into(), contents }]
}

fn path(parts: &[&str]) -> Vec<String> {
    parts.iter().map(|part| (*part).to_owned()).collect()
}

fn oci_container(
    name: &str,
    instance: &str,
    c: &Container,
    image: &ResolvedImage,
    definition: &Definition,
) -> NixValue {
    let mut fields = Vec::new();
    let mut set = |key: &str, value: NixValue| {
        if !matches!(&value, NixValue::List(list) if list.is_empty()) {
            fields.push((path(&[key]), value));
        }
    };
    set("image", NixValue::Text(image.pinned()));
    // What is named by digest is asked for only where it is not there.
    set("pull", NixValue::Text("missing".into()));
    // The option takes one program; its further words go before the arguments.
    let entrypoint = c.entrypoint.as_deref().unwrap_or_default();
    if let Some((program, _)) = entrypoint.split_first() {
        set("entrypoint", NixValue::Text(program.clone()));
    }
    let words = entrypoint.iter().skip(1).chain(c.cmd.iter().flatten());
    set("cmd", NixValue::texts(words.cloned()));
    if let Some(workdir) = &c.workdir {
        set("workdir", NixValue::Text(workdir.clone()));
    }
    if !c.env.is_empty() {
        let variables = c.env.iter().map(|(variable, value)| (vec![variable.clone()], NixValue::Text(value.clone())));
        set("environment", NixValue::Set(variables.collect()));
    }
    set("ports", NixValue::texts(ports(c)));
    set("volumes", NixValue::List(volumes(name, instance, c)));
    if let Some(user) = &c.user {
        set("user", NixValue::Text(user.clone()));
    }
    let capabilities = c.capabilities.add.iter().map(|name| (name, true));
    let capabilities: Vec<_> = capabilities
        .chain(c.capabilities.drop.iter().map(|name| (name, false)))
        .map(|(name, has)| (vec![name.clone()], NixValue::Bool(has)))
        .collect();
    if !capabilities.is_empty() {
        set("capabilities", NixValue::Set(capabilities));
    }
    set("devices", NixValue::texts(c.devices.iter().map(|d| format!("{0}:{0}:{1}", d.path, d.permissions))));
    let needed = c.depends_on.keys().flat_map(|other| replicas::names(other, &definition.containers[other]));
    set("dependsOn", NixValue::texts(needed));
    if !c.auto_start.0 {
        set("autoStart", NixValue::Bool(false));
    }
    if c.health.as_ref().is_some_and(podman::is_own_check) {
        // The unit is ready when the check succeeds, so what needs it waits for that.
        set("podman", NixValue::Set(vec![(path(&["sdnotify"]), NixValue::Text("healthy".into()))]));
    }
    set("extraOptions", NixValue::texts(extra_options(c)));
    NixValue::Set(fields)
}

/// Published ports; one that a virtual host leads to is at least on the machine itself.
fn ports(c: &Container) -> Vec<String> {
    let published = |port: &crate::definition::Port| {
        let proxied = c.ingress.iter().any(|ingress| ingress.port == port.container);
        if port.host.is_none() && proxied {
            format!("127.0.0.1:{0}:{0}/{1}", port.container, port.protocol.as_str())
        } else {
            podman::published(port)
        }
    };
    c.ports.iter().map(published).collect()
}

fn volumes(name: &str, instance: &str, c: &Container) -> Vec<NixValue> {
    let text = |source: &str, target: &str, read_only: bool| {
        NixValue::Text(format!("{source}:{target}{}", if read_only { ":ro" } else { "" }))
    };
    let own = c
        .volumes
        .iter()
        .map(|(volume, v)| text(&replicas::volume_name(name, instance, volume, v.shared), &v.path, v.read_only));
    let binds = c
        .bind_mounts
        .iter()
        .map(|(path, mount)| text(mount.host_path.as_ref().unwrap_or(path), path, mount.is_read_only));
    let files = c.files.iter().enumerate().map(|(index, (path, contents))| {
        let file = format!("pkgs.writeText \"{name}-file-{index}\" {}", string(contents));
        NixValue::Raw(format!("\"${{{file}}}:{}:ro\"", string(path).trim_matches('"')))
    });
    own.chain(binds).chain(files).collect()
}

fn extra_options(c: &Container) -> Vec<String> {
    let mut options = Vec::new();
    for (secret, reference) in &c.secrets {
        let source = secret_name(secret, reference.key.as_deref());
        if let Some(variable) = &reference.env {
            options.push(format!("--secret={source},type=env,target={variable}"));
        }
        if let Some(path) = &reference.path {
            options.push(format!("--secret={source},type=mount,target={path}"));
        }
    }
    options.extend(c.tmpfs.iter().map(|entry| format!("--tmpfs={entry}")));
    if c.read_only_root {
        options.push("--read-only".to_owned());
    }
    if let Some(health) = &c.health {
        options.extend(health_options(health));
    }
    options.extend(podman::resource_arguments(c));
    options
}

fn health_options(health: &Health) -> [String; 5] {
    [
        format!("--health-cmd={}", podman::health_command(health)),
        format!("--health-interval={}s", health.interval),
        format!("--health-timeout={}s", health.timeout),
        format!("--health-retries={}", health.retries),
        format!("--health-start-period={}s", health.start_period),
    ]
}

/// The unit restarts always unless it is told otherwise.
fn restart_policy(instance: &str, c: &Container) -> Option<(Vec<String>, NixValue)> {
    let policy = match c.restart {
        Restart::Always | Restart::UnlessStopped => return None,
        Restart::OnFailure => "on-failure",
        Restart::No => "no",
    };
    let unit = format!("podman-{instance}");
    let value = NixValue::Raw(format!("lib.mkForce \"{policy}\""));
    Some((path(&["systemd", "services", &unit, "serviceConfig", "Restart"]), value))
}

fn virtual_host(c: &Container, ingress: &Ingress) -> Vec<(Vec<String>, NixValue)> {
    let published = c.ports.iter().find(|port| port.container == ingress.port).and_then(|port| port.host);
    let port = published.unwrap_or(ingress.port);
    let at = |rest: &[&str]| -> Vec<String> {
        ["services", "nginx", "virtualHosts", &ingress.host].iter().chain(rest).map(|part| (*part).to_owned()).collect()
    };
    let mut entries = vec![
        (at(&["locations", &ingress.path, "proxyPass"]), NixValue::Text(format!("http://127.0.0.1:{port}"))),
        (at(&["locations", &ingress.path, "proxyWebsockets"]), NixValue::Bool(true)),
    ];
    if ingress.tls {
        entries.push((at(&["forceSSL"]), NixValue::Raw("lib.mkDefault true".into())));
        entries.push((at(&["enableACME"]), NixValue::Raw("lib.mkDefault true".into())));
    }
    entries
}
