//! Units for systemd that podman generates services from (podman-systemd.unit(5)): `.container` and `.volume` files.

use std::fmt::Write;

use crate::definition::{Container, Definition, Health, Restart};
use crate::podman;
use crate::render::{Images, RenderedFile, ResolvedImage};
use crate::replicas;

/// Renders the units, and the configuration files that they mount.
pub(crate) fn render(definition: &Definition, images: &Images) -> Vec<RenderedFile> {
    let mut files = Vec::new();
    for (name, container) in &definition.containers {
        for instance in replicas::names(name, container) {
            let unit = container_unit(name, &instance, container, &images[name], definition);
            files.push(RenderedFile { path: format!("{instance}.container").into(), contents: unit });
            for (volume, settings) in &container.volumes {
                let volume_name = replicas::volume_name(name, &instance, volume, settings.shared);
                let path = format!("{volume_name}.volume").into();
                if !files.iter().any(|file| file.path == path) {
                    let contents = format!("[Volume]\nVolumeName={volume_name}\n");
                    files.push(RenderedFile { path, contents });
                }
            }
        }
        for (index, contents) in container.files.values().enumerate() {
            files.push(RenderedFile { path: config_file(name, index).into(), contents: contents.clone() });
        }
    }
    files
}

fn config_file(container: &str, index: usize) -> String {
    format!("{container}.files/file-{index}")
}

fn container_unit(
    name: &str,
    instance: &str,
    container: &Container,
    image: &ResolvedImage,
    definition: &Definition,
) -> String {
    let mut unit = format!("[Unit]\nDescription=Container {instance}\n");
    for other in container.depends_on.keys() {
        for needed in replicas::names(other, &definition.containers[other]) {
            // Started means healthy where the other one has a check of its own: its unit is ready only then.
            let _ = writeln!(unit, "Requires={needed}.service\nAfter={needed}.service");
        }
    }
    let _ = write!(unit, "\n[Container]\nContainerName={instance}\nImage={}\n", image.pinned());
    for (key, value) in settings(name, instance, container) {
        let _ = writeln!(unit, "{key}={value}");
    }
    let restart = match container.restart {
        Restart::Always | Restart::UnlessStopped => "always",
        Restart::OnFailure => "on-failure",
        Restart::No => "no",
    };
    let _ = write!(unit, "\n[Service]\nRestart={restart}\n");
    if container.auto_start.0 {
        unit.push_str("\n[Install]\nWantedBy=multi-user.target default.target\n");
    }
    unit
}

/// The lines of the section `[Container]`. All of them end up in the service's command line.
fn settings(name: &str, instance: &str, c: &Container) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    let mut add = |key: &'static str, value: String| lines.push((key, value));
    if let Some(entrypoint) = &c.entrypoint {
        // A list is told from a path by its brackets.
        let list = serde_json::Value::from(entrypoint.clone()).to_string();
        add("Entrypoint", escape(&list));
    }
    if let Some(cmd) = &c.cmd {
        add("Exec", cmd.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" "));
    }
    if let Some(workdir) = &c.workdir {
        add("WorkingDir", escape(workdir));
    }
    for (variable, value) in &c.env {
        add("Environment", quoted(&format!("{variable}={value}")));
    }
    for (secret, reference) in &c.secrets {
        let source = secret_name(secret, reference.key.as_deref());
        if let Some(variable) = &reference.env {
            add("Secret", format!("{source},type=env,target={variable}"));
        }
        if let Some(path) = &reference.path {
            add("Secret", format!("{source},type=mount,target={}", escape(path)));
        }
    }
    for port in &c.ports {
        add("PublishPort", podman::published(port));
    }
    for (volume, v) in &c.volumes {
        let source = replicas::volume_name(name, instance, volume, v.shared);
        add("Volume", format!("{source}.volume:{}{}", escape(&v.path), if v.read_only { ":ro" } else { "" }));
    }
    for (path, mount) in &c.bind_mounts {
        let host = mount.host_path.as_ref().unwrap_or(path);
        add("Volume", format!("{}:{}{}", escape(host), escape(path), if mount.is_read_only { ":ro" } else { "" }));
    }
    for (index, path) in c.files.keys().enumerate() {
        add("Volume", format!("./{}:{}:ro", config_file(name, index), escape(path)));
    }
    for entry in &c.tmpfs {
        add("Tmpfs", escape(entry));
    }
    if c.read_only_root {
        add("ReadOnly", "true".to_owned());
    }
    if let Some(health) = &c.health {
        health_settings(health, &mut add);
    }
    if let Some(user) = &c.user {
        let (user, group) = user.split_once(':').map_or((user.as_str(), None), |(user, group)| (user, Some(group)));
        add("User", escape(user));
        if let Some(group) = group {
            add("Group", escape(group));
        }
    }
    c.capabilities.add.iter().for_each(|capability| add("AddCapability", capability.clone()));
    c.capabilities.drop.iter().for_each(|capability| add("DropCapability", capability.clone()));
    c.devices.iter().for_each(|d| add("AddDevice", format!("{0}:{0}:{1}", escape(&d.path), d.permissions)));
    for (key, value) in podman::traefik_labels(instance, c) {
        add("Label", quoted(&format!("{key}={value}")));
    }
    for argument in podman::resource_arguments(c) {
        add("PodmanArgs", argument);
    }
    lines
}

/// podman's secrets have no keys inside; one that is wanted is part of the name.
pub(crate) fn secret_name(name: &str, key: Option<&str>) -> String {
    key.map_or_else(|| name.to_owned(), |key| format!("{name}-{key}"))
}

fn health_settings(health: &Health, add: &mut impl FnMut(&'static str, String)) {
    add("HealthCmd", escape(&podman::health_command(health)));
    add("HealthInterval", format!("{}s", health.interval));
    add("HealthTimeout", format!("{}s", health.timeout));
    add("HealthRetries", health.retries.to_string());
    add("HealthStartPeriod", format!("{}s", health.start_period));
    if podman::is_own_check(health) {
        add("Notify", "healthy".to_owned());
    }
}

/// systemd replaces `%x` and `$NAME` in a command line.
fn escape(text: &str) -> String {
    text.replace('%', "%%").replace('$', "$$")
}

/// A word in double quotes where it is not plain, with systemd's escapes (systemd.syntax(7)).
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=@+,%$".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return escape(text);
    }
    let mut word = String::from("\"");
    for c in escape(text).chars() {
        match c {
            '"' | '\\' => word.extend(['\\', c]),
            '\n' => word.push_str("\\n"),
            '\t' => word.push_str("\\t"),
            '\r' => word.push_str("\\r"),
            c if c.is_control() => {
                let mut bytes = [0; 4];
                c.encode_utf8(&mut bytes).bytes().for_each(|byte| {
                    let _ = write!(word, "\\x{byte:02x}");
                });
            }
            c => word.push(c),
        }
    }
    word.push('"');
    word
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn words_are_quoted_as_systemd_reads_them() {
        assert_eq!(quoted("plain/x=1"), "plain/x=1");
        assert_eq!(quoted(""), "\"\"");
        assert_eq!(quoted("a b\"c\\d"), "\"a b\\\"c\\\\d\"");
        assert_eq!(quoted("100% $HOME\n"), "\"100%% $$HOME\\n\"");
    }
}
