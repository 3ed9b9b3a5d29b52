//! Kubernetes manifests: a workload for each container, with what it needs around it.
//!
//! Each container has one file, `<name>.yaml`, that `kubectl apply` takes as it is; a namespace has its own, first.

mod network;
mod pod;
mod storage;
mod workload;

use serde_json::{Map, Value, json};

use crate::definition::{Container, Definition};
use crate::render::{Images, RenderError, RenderOptions, RenderedFile, ResolvedImage};
use crate::yaml;

/// What the manifests of one container are made from.
struct Context<'a> {
    name: &'a str,
    container: &'a Container,
    image: &'a ResolvedImage,
    namespace: Option<&'a str>,
}

impl Context<'_> {
    /// The metadata of an object of this container.
    fn metadata(&self, name: &str) -> Value {
        let mut metadata = Map::new();
        metadata.insert("name".into(), name.into());
        if let Some(namespace) = self.namespace {
            metadata.insert("namespace".into(), namespace.into());
        }
        let mut labels = self.selector();
        labels.insert("app.kubernetes.io/managed-by".into(), "wharf".into());
        // A tag is for people; a label's value has fewer characters than a tag may have.
        if let Some(tag) = self.image.tag.as_deref().filter(|tag| is_label_value(tag)) {
            labels.insert("app.kubernetes.io/version".into(), tag.into());
        }
        metadata.insert("labels".into(), labels.into());
        Value::Object(metadata)
    }

    /// The labels by which the container's pods are found. They never change, since a workload's selector cannot.
    fn selector(&self) -> Map<String, Value> {
        Map::from_iter([("app.kubernetes.io/name".to_owned(), self.name.into())])
    }

    /// Whether each replica has storage of its own.
    fn is_stateful(&self) -> bool {
        self.container.replicas.0 > 1 && self.container.volumes.values().any(|volume| !volume.shared)
    }
}

fn is_label_value(text: &str) -> bool {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    text.len() <= 63
        && edge(text.chars().next())
        && edge(text.chars().last())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

/// Renders the manifests.
pub(crate) fn render(
    definition: &Definition,
    images: &Images,
    options: &RenderOptions,
) -> Result<Vec<RenderedFile>, RenderError> {
    let mut files = Vec::new();
    if let Some(namespace) = &options.namespace {
        let object = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace } });
        files.push(RenderedFile { path: "00-namespace.yaml".into(), contents: yaml::documents(&[object])? });
    }
    for (name, container) in &definition.containers {
        let context = Context { name, container, image: &images[name], namespace: options.namespace.as_deref() };
        let mut objects = Vec::new();
        objects.extend(storage::config_map(&context));
        objects.extend(storage::claims(&context));
        objects.push(workload::workload(&context));
        objects.extend(workload::disruption_budget(&context));
        objects.extend(network::services(&context));
        objects.extend(network::ingresses(&context));
        files.push(RenderedFile { path: format!("{name}.yaml").into(), contents: yaml::documents(&objects)? });
    }
    Ok(files)
}
