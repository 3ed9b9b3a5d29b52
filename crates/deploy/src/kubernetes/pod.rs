//! The pod: its one container, probes, security and mounts.

use serde_json::{Map, Value, json};

use super::{Context, storage};
use crate::definition::{Health, HealthCheck, Port, Secret};

pub(super) fn spec(cx: &Context<'_>) -> Value {
    let mut spec = Map::new();
    // A service talks neither to the cluster's interface nor needs the variables of every other service.
    spec.insert("automountServiceAccountToken".into(), false.into());
    spec.insert("enableServiceLinks".into(), false.into());
    if let Some(group) = filesystem_group(cx) {
        // Fresh volumes and secrets belong to root; this opens them to the container's group.
        spec.insert("securityContext".into(), json!({ "fsGroup": group, "fsGroupChangePolicy": "OnRootMismatch" }));
    }
    spec.insert("containers".into(), json!([container(cx)]));
    let volumes = storage::volumes(cx);
    if !volumes.is_empty() {
        spec.insert("volumes".into(), volumes.into());
    }
    Value::Object(spec)
}

fn filesystem_group(cx: &Context<'_>) -> Option<u32> {
    let (user, group) = user_and_group(cx.container.user.as_deref()?);
    let group = group.or(user)?;
    let mounted_secret = cx.container.secrets.values().any(|secret| secret.path.is_some());
    ((!cx.container.volumes.is_empty() || mounted_secret) && group != 0).then_some(group)
}

/// `1000:100` as numbers. That they are numbers has been checked.
fn user_and_group(user: &str) -> (Option<u32>, Option<u32>) {
    let mut parts = user.splitn(2, ':').map(|part| part.parse().ok());
    (parts.next().flatten(), parts.next().flatten())
}

fn container(cx: &Context<'_>) -> Value {
    let c = cx.container;
    let mut fields = Map::new();
    let mut set = |name: &str, value: Value| {
        let empty = value.as_array().is_some_and(Vec::is_empty) || value.as_object().is_some_and(Map::is_empty);
        if !value.is_null() && !empty {
            fields.insert(name.to_owned(), value);
        }
    };
    set("name", cx.name.into());
    set("image", cx.image.pinned().into());
    // The digest says which image it is, so there is nothing to look for once it is there.
    set("imagePullPolicy", "IfNotPresent".into());
    set("command", c.entrypoint.clone().map(escape_all).into());
    set("args", c.cmd.clone().map(escape_all).into());
    set("workingDir", c.workdir.clone().into());
    set("env", environment(cx).into());
    set("ports", c.ports.iter().map(port).collect());
    set("resources", resources(cx));
    set("securityContext", security(cx));
    if let Some(health) = &c.health {
        let probe = probe(health);
        set("startupProbe", with(&probe, health.start_period.div_ceil(health.interval).max(health.retries), health));
        set("readinessProbe", with(&probe, health.retries, health));
        set("livenessProbe", with(&probe, health.retries, health));
    }
    set("volumeMounts", storage::mounts(cx).into());
    Value::Object(fields)
}

/// `$(NAME)` stands for a variable in Kubernetes; what is meant literally has its dollar doubled.
fn escape(text: &str) -> String {
    text.replace("$(", "$$(")
}

fn escape_all(texts: Vec<String>) -> Vec<String> {
    texts.iter().map(|text| escape(text)).collect()
}

fn environment(cx: &Context<'_>) -> Vec<Value> {
    let plain = cx.container.env.iter().map(|(name, value)| json!({ "name": name, "value": escape(value) }));
    let secret = |(name, secret): (&String, &Secret)| {
        let variable = secret.env.as_ref()?;
        let key = secret.key.as_ref().unwrap_or(name);
        Some(json!({ "name": variable, "valueFrom": { "secretKeyRef": { "name": name, "key": key } } }))
    };
    plain.chain(cx.container.secrets.iter().filter_map(secret)).collect()
}

fn port(port: &Port) -> Value {
    json!({ "name": port.name, "containerPort": port.container, "protocol": port.protocol.as_str().to_uppercase() })
}

fn resources(cx: &Context<'_>) -> Value {
    let resources = &cx.container.resources;
    let mut fields = Map::new();
    for (kind, values) in [("requests", &resources.requests), ("limits", &resources.limits)] {
        if !values.is_empty() {
            fields.insert(kind.into(), json!(values));
        }
    }
    Value::Object(fields)
}

fn security(cx: &Context<'_>) -> Value {
    let c = cx.container;
    let mut fields = Map::new();
    if let Some(user) = &c.user {
        let (user, group) = user_and_group(user);
        fields.insert("runAsUser".into(), json!(user));
        if let Some(group) = group {
            fields.insert("runAsGroup".into(), json!(group));
        }
        if user != Some(0) {
            fields.insert("runAsNonRoot".into(), true.into());
        }
    }
    if c.read_only_root {
        fields.insert("readOnlyRootFilesystem".into(), true.into());
    }
    let mut capabilities = Map::new();
    for (kind, list) in [("add", &c.capabilities.add), ("drop", &c.capabilities.drop)] {
        if !list.is_empty() {
            capabilities.insert(kind.into(), json!(list));
        }
    }
    if !capabilities.is_empty() {
        fields.insert("capabilities".into(), capabilities.into());
    }
    Value::Object(fields)
}

fn probe(health: &Health) -> Map<String, Value> {
    let (kind, action) = match &health.check {
        HealthCheck::Http(http) => ("httpGet", json!({ "path": http.path, "port": http.port })),
        HealthCheck::Tcp(port) => ("tcpSocket", json!({ "port": port })),
        HealthCheck::Exec(command) => ("exec", json!({ "command": command })),
    };
    Map::from_iter([(kind.to_owned(), action)])
}

fn with(probe: &Map<String, Value>, failures: u32, health: &Health) -> Value {
    let mut probe = probe.clone();
    probe.insert("periodSeconds".into(), health.interval.into());
    probe.insert("timeoutSeconds".into(), health.timeout.into());
    probe.insert("failureThreshold".into(), failures.into());
    Value::Object(probe)
}
