//! How a container is reached: Services and Ingresses.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::Context;
use crate::definition::Ingress;

/// A Service for the ports; a StatefulSet has another one that names each of its pods.
pub(super) fn services(cx: &Context<'_>) -> Vec<Value> {
    let ports: Vec<Value> = cx
        .container
        .ports
        .iter()
        .map(|port| {
            json!({
                "name": port.name,
                "port": port.host.unwrap_or(port.container),
                "targetPort": port.name,
                "protocol": port.protocol.as_str().to_uppercase(),
            })
        })
        .collect();
    let mut services = Vec::new();
    if !ports.is_empty() {
        services.push(service(cx, cx.name, json!({ "selector": cx.selector(), "ports": ports })));
    }
    if cx.is_stateful() {
        let mut spec = json!({ "clusterIP": "None", "selector": cx.selector() });
        if !ports.is_empty() {
            spec["ports"] = ports.into();
        }
        services.push(service(cx, &format!("{}-pods", cx.name), spec));
    }
    services
}

fn service(cx: &Context<'_>, name: &str, spec: Value) -> Value {
    json!({ "apiVersion": "v1", "kind": "Service", "metadata": cx.metadata(name), "spec": spec })
}

/// One Ingress for each controller's class; the rules are those of the hosts.
pub(super) fn ingresses(cx: &Context<'_>) -> Vec<Value> {
    let mut by_class: BTreeMap<Option<&str>, Vec<&Ingress>> = BTreeMap::new();
    for ingress in &cx.container.ingress {
        by_class.entry(ingress.class.as_deref()).or_default().push(ingress);
    }
    let several = by_class.len() > 1;
    by_class
        .into_iter()
        .map(|(class, list)| {
            let name = match class {
                Some(class) if several => format!("{}-{class}", cx.name),
                _ => cx.name.to_owned(),
            };
            json!({
                "apiVersion": "networking.k8s.io/v1",
                "kind": "Ingress",
                "metadata": cx.metadata(&name),
                "spec": ingress_spec(cx, class, &list),
            })
        })
        .collect()
}

fn ingress_spec(cx: &Context<'_>, class: Option<&str>, list: &[&Ingress]) -> Value {
    let mut by_host: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for ingress in list {
        let path = json!({
            "path": ingress.path,
            "pathType": "Prefix",
            "backend": { "service": { "name": cx.name, "port": { "name": port_name(cx, ingress.port) } } },
        });
        by_host.entry(&ingress.host).or_default().push(path);
    }
    let rules: Vec<Value> =
        by_host.into_iter().map(|(host, paths)| json!({ "host": host, "http": { "paths": paths } })).collect();
    let mut spec = Map::new();
    if let Some(class) = class {
        spec.insert("ingressClassName".into(), class.into());
    }
    let tls: BTreeMap<String, Vec<&str>> =
        list.iter().filter(|ingress| ingress.tls).fold(BTreeMap::new(), |mut tls, ingress| {
            let secret = ingress.tls_secret.clone().unwrap_or_else(|| format!("{}-tls", cx.name));
            let hosts: &mut Vec<&str> = tls.entry(secret).or_default();
            if !hosts.contains(&ingress.host.as_str()) {
                hosts.push(&ingress.host);
            }
            tls
        });
    if !tls.is_empty() {
        let entries: Vec<Value> =
            tls.into_iter().map(|(secret, hosts)| json!({ "hosts": hosts, "secretName": secret })).collect();
        spec.insert("tls".into(), entries.into());
    }
    spec.insert("rules".into(), rules.into());
    Value::Object(spec)
}

/// The name of a port that has been checked to exist.
fn port_name<'a>(cx: &'a Context<'_>, number: u16) -> &'a str {
    cx.container.ports.iter().find(|port| port.container == number).map_or("", |port| &port.name)
}
