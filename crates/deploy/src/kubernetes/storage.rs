//! What a pod mounts: claims, configuration files, secrets, memory, and paths of the node.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::Context;
use crate::definition::Volume;

/// The claims of a Deployment's volumes, and of those that a StatefulSet's replicas share.
pub(super) fn claims(cx: &Context<'_>) -> Vec<Value> {
    let own = |volume: &Volume| volume.shared || !cx.is_stateful();
    let claim = |(name, volume): (&String, &Volume)| {
        own(volume).then(|| {
            json!({
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "metadata": cx.metadata(&claim_name(cx, name)),
                "spec": claim_spec(volume),
            })
        })
    };
    cx.container.volumes.iter().filter_map(claim).collect()
}

/// The claims that a StatefulSet makes for each replica.
pub(super) fn claim_templates(cx: &Context<'_>) -> Vec<Value> {
    let own = cx.container.volumes.iter().filter(|(_, volume)| !volume.shared);
    own.map(|(name, volume)| json!({ "metadata": { "name": name }, "spec": claim_spec(volume) })).collect()
}

fn claim_name(cx: &Context<'_>, volume: &str) -> String {
    format!("{}-{volume}", cx.name)
}

fn claim_spec(volume: &Volume) -> Value {
    let mut spec = Map::new();
    spec.insert("accessModes".into(), json!([if volume.shared { "ReadWriteMany" } else { "ReadWriteOnce" }]));
    if let Some(class) = &volume.class {
        spec.insert("storageClassName".into(), class.clone().into());
    }
    // A claim has to name a size; a gibibyte is what a volume without one gets.
    let size = volume.size.as_deref().unwrap_or("1Gi");
    spec.insert("resources".into(), json!({ "requests": { "storage": size } }));
    Value::Object(spec)
}

/// The configuration files. The name has their hash, so a change makes a new object and with it new pods, and the old
/// one stays for a roll-back; for the same reason it is immutable.
pub(super) fn config_map(cx: &Context<'_>) -> Option<Value> {
    let files = &cx.container.files;
    (!files.is_empty()).then(|| {
        let data: Map<String, Value> =
            files.values().enumerate().map(|(index, text)| (file_key(index), text.clone().into())).collect();
        json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": cx.metadata(&config_map_name(cx)),
            "immutable": true,
            "data": data,
        })
    })
}

fn config_map_name(cx: &Context<'_>) -> String {
    let mut hash = Sha256::new();
    for (path, text) in &cx.container.files {
        // Lengths keep a path's end and a text's beginning apart.
        hash.update(format!("{}:{path}{}:{text}", path.len(), text.len()));
    }
    format!("{}-files-{}", cx.name, hex::encode(&hash.finalize()[..5]))
}

/// Keys have fewer characters than paths, so files are numbered in the order of their paths.
fn file_key(index: usize) -> String {
    format!("file-{index}")
}

/// The pod's volumes.
pub(super) fn volumes(cx: &Context<'_>) -> Vec<Value> {
    let c = cx.container;
    let mut volumes = Vec::new();
    for (name, volume) in &c.volumes {
        if volume.shared || !cx.is_stateful() {
            volumes.push(json!({ "name": name, "persistentVolumeClaim": { "claimName": claim_name(cx, name) } }));
        }
    }
    for (index, (path, mount)) in c.bind_mounts.iter().enumerate() {
        let host = mount.host_path.as_ref().unwrap_or(path);
        volumes.push(json!({ "name": format!("host-{index}"), "hostPath": { "path": host } }));
    }
    for (index, entry) in c.tmpfs.iter().enumerate() {
        let mut memory = Map::from_iter([("medium".to_owned(), Value::from("Memory"))]);
        if let Some(size) = tmpfs_size(entry) {
            memory.insert("sizeLimit".into(), size.into());
        }
        volumes.push(json!({ "name": format!("memory-{index}"), "emptyDir": memory }));
    }
    if !c.files.is_empty() {
        volumes.push(json!({ "name": "wharf-files", "configMap": { "name": config_map_name(cx) } }));
    }
    for (name, secret) in &c.secrets {
        if secret.path.is_some() {
            volumes
                .push(json!({ "name": secret_volume(name), "secret": { "secretName": name, "defaultMode": 0o440 } }));
        }
    }
    volumes
}

/// Volumes of a pod share one space of names, and a label has 63 characters.
fn secret_volume(name: &str) -> String {
    let hash = Sha256::digest(name.as_bytes());
    format!("secret-{}", hex::encode(&hash[..5]))
}

/// tmpfs writes `64m` where Kubernetes writes `64Mi`.
fn tmpfs_size(entry: &str) -> Option<String> {
    let size = entry.split_once(':')?.1.split(',').find_map(|option| option.strip_prefix("size="))?;
    let unit = size.chars().last().filter(char::is_ascii_alphabetic).map(|unit| unit.to_ascii_uppercase());
    Some(match unit {
        Some(unit) => format!("{}{unit}i", &size[..size.len() - 1]),
        None => size.to_owned(),
    })
}

/// The container's mounts.
pub(super) fn mounts(cx: &Context<'_>) -> Vec<Value> {
    let c = cx.container;
    let mut mounts = Vec::new();
    for (name, volume) in &c.volumes {
        mounts.push(mount(name, &volume.path, None, volume.read_only));
    }
    for (index, (path, bind)) in c.bind_mounts.iter().enumerate() {
        mounts.push(mount(&format!("host-{index}"), path, None, bind.is_read_only));
    }
    for (index, entry) in c.tmpfs.iter().enumerate() {
        let path = entry.split(':').next().unwrap_or_default();
        mounts.push(mount(&format!("memory-{index}"), path, None, false));
    }
    for (index, path) in c.files.keys().enumerate() {
        mounts.push(mount("wharf-files", path, Some(&file_key(index)), true));
    }
    for (name, secret) in &c.secrets {
        if let Some(path) = &secret.path {
            let key = secret.key.as_ref().unwrap_or(name);
            mounts.push(mount(&secret_volume(name), path, Some(key), true));
        }
    }
    mounts
}

fn mount(name: &str, path: &str, sub_path: Option<&str>, read_only: bool) -> Value {
    let mut fields = Map::new();
    fields.insert("name".into(), name.into());
    fields.insert("mountPath".into(), path.into());
    if let Some(sub_path) = sub_path {
        fields.insert("subPath".into(), sub_path.into());
    }
    if read_only {
        fields.insert("readOnly".into(), true.into());
    }
    Value::Object(fields)
}
