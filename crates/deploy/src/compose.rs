//! A Compose file, as the Compose specification defines it, and the configuration files beside it.

use serde_json::{Map, Value, json};

use crate::definition::{Container, Definition, Health, HealthCheck, HealthCondition, Port, Restart};
use crate::podman;
use crate::quantity;
use crate::render::{Images, RenderError, RenderedFile, ResolvedImage};
use crate::yaml;

/// Renders `compose.yaml` and `files/`.
pub(crate) fn render(definition: &Definition, images: &Images) -> Result<Vec<RenderedFile>, RenderError> {
    let mut services = Map::new();
    let mut volumes = Map::new();
    let mut secrets = Map::new();
    let mut files = Vec::new();
    for (name, container) in &definition.containers {
        services.insert(name.clone(), service(name, container, &images[name]));
        for volume in container.volumes.keys() {
            volumes.insert(format!("{name}-{volume}"), json!({}));
        }
        for (secret, reference) in &container.secrets {
            let source = secret_source(secret, reference.key.as_deref());
            let file = match &reference.key {
                Some(key) => format!("./secrets/{secret}/{key}"),
                None => format!("./secrets/{secret}"),
            };
            secrets.insert(source, json!({ "file": file }));
        }
        for (index, contents) in container.files.values().enumerate() {
            files.push(RenderedFile { path: config_file(name, index).into(), contents: contents.clone() });
        }
    }
    let mut document = Map::new();
    document.insert("services".into(), services.into());
    for (section, entries) in [("volumes", volumes), ("secrets", secrets)] {
        if !entries.is_empty() {
            document.insert(section.into(), entries.into());
        }
    }
    let contents = yaml::documents(&[Value::Object(document)])?;
    files.insert(0, RenderedFile { path: "compose.yaml".into(), contents });
    Ok(files)
}

fn secret_source(name: &str, key: Option<&str>) -> String {
    key.map_or_else(|| name.to_owned(), |key| format!("{name}-{key}"))
}

fn config_file(container: &str, index: usize) -> String {
    format!("files/{container}/file-{index}")
}

fn service(name: &str, c: &Container, image: &ResolvedImage) -> Value {
    let mut fields = Map::new();
    let mut set = |key: &str, value: Value| {
        let empty = value.as_array().is_some_and(Vec::is_empty) || value.as_object().is_some_and(Map::is_empty);
        if !value.is_null() && !empty {
            fields.insert(key.to_owned(), value);
        }
    };
    set("image", image.pinned().into());
    set("entrypoint", c.entrypoint.as_ref().map(|words| escape_all(words)).into());
    set("command", c.cmd.as_ref().map(|words| escape_all(words)).into());
    set("working_dir", c.workdir.as_deref().map(escape).into());
    set("environment", c.env.iter().map(|(name, value)| (name.clone(), Value::from(escape(value)))).collect());
    set("secrets", mounted_secrets(c).into());
    set("ports", c.ports.iter().map(port).collect());
    set("volumes", mounts(name, c).into());
    set("tmpfs", json!(c.tmpfs));
    set("read_only", c.read_only_root.then_some(true).into());
    set("healthcheck", c.health.as_ref().map(health).into());
    set("restart", restart(c.restart).into());
    set("user", c.user.clone().into());
    set("cap_add", json!(c.capabilities.add));
    set("cap_drop", json!(c.capabilities.drop));
    set("devices", c.devices.iter().map(|d| format!("{0}:{0}:{1}", d.path, d.permissions)).collect());
    set("labels", podman::traefik_labels(name, c).into_iter().map(|(key, value)| (key, Value::from(value))).collect());
    set("depends_on", dependencies(c));
    if c.replicas.0 != 1 {
        set("deploy", json!({ "replicas": c.replicas.0 }));
    }
    if !c.auto_start.0 {
        set("profiles", json!(["manual"]));
    }
    let (requests, limits) = (&c.resources.requests, &c.resources.limits);
    set("cpus", limits.get("cpu").and_then(|text| quantity::decimal(text)?.parse::<f64>().ok()).into());
    set("mem_limit", limits.get("memory").and_then(|text| bytes(text)).into());
    set("mem_reservation", requests.get("memory").and_then(|text| bytes(text)).into());
    Value::Object(fields)
}

fn bytes(text: &str) -> Option<String> {
    quantity::whole(text).map(|bytes| format!("{bytes}b"))
}

/// Compose replaces `$NAME`; what is meant literally has its dollar doubled.
fn escape(text: &str) -> String {
    text.replace('$', "$$")
}

fn escape_all(texts: &[String]) -> Vec<String> {
    texts.iter().map(|text| escape(text)).collect()
}

fn mounted_secrets(c: &Container) -> Vec<Value> {
    let mount = |(name, secret): (&String, &crate::definition::Secret)| {
        let target = secret.path.as_ref()?;
        Some(json!({ "source": secret_source(name, secret.key.as_deref()), "target": target }))
    };
    c.secrets.iter().filter_map(mount).collect()
}

fn port(port: &Port) -> Value {
    podman::published(port).into()
}

fn mounts(name: &str, c: &Container) -> Vec<Value> {
    let entry = |kind: &str, source: String, target: &str, read_only: bool| {
        let mut fields = Map::new();
        fields.insert("type".into(), kind.into());
        fields.insert("source".into(), source.into());
        fields.insert("target".into(), target.into());
        if read_only {
            fields.insert("read_only".into(), true.into());
        }
        Value::Object(fields)
    };
    let volumes = c.volumes.iter().map(|(volume, v)| entry("volume", format!("{name}-{volume}"), &v.path, v.read_only));
    let binds = c
        .bind_mounts
        .iter()
        .map(|(path, mount)| entry("bind", escape(mount.host_path.as_ref().unwrap_or(path)), path, mount.is_read_only));
    let files = c
        .files
        .keys()
        .enumerate()
        .map(|(index, path)| entry("bind", format!("./{}", config_file(name, index)), path, true));
    volumes.chain(binds).chain(files).collect()
}

fn health(health: &Health) -> Value {
    let test: Vec<String> = match &health.check {
        HealthCheck::Exec(command) => std::iter::once("CMD".to_owned()).chain(escape_all(command)).collect(),
        _ => vec!["CMD-SHELL".to_owned(), escape(&podman::health_command(health))],
    };
    json!({
        "test": test,
        "interval": format!("{}s", health.interval),
        "timeout": format!("{}s", health.timeout),
        "retries": health.retries,
        "start_period": format!("{}s", health.start_period),
    })
}

fn restart(restart: Restart) -> &'static str {
    match restart {
        Restart::Always => "always",
        Restart::UnlessStopped => "unless-stopped",
        Restart::OnFailure => "on-failure",
        Restart::No => "no",
    }
}

fn dependencies(c: &Container) -> Value {
    let condition = |condition| match condition {
        HealthCondition::Started => "service_started",
        HealthCondition::Healthy => "service_healthy",
    };
    c.depends_on.iter().map(|(name, d)| (name.clone(), json!({ "condition": condition(d.condition) }))).collect()
}
