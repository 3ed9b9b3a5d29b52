//! The workload: a Deployment, or a StatefulSet where each replica has storage of its own.

use serde_json::{Value, json};

use super::{Context, pod, storage};

pub(super) fn workload(cx: &Context<'_>) -> Value {
    let template = json!({
        "metadata": { "labels": cx.metadata(cx.name)["labels"] },
        "spec": pod::spec(cx),
    });
    let selector = json!({ "matchLabels": cx.selector() });
    if cx.is_stateful() {
        return json!({
            "apiVersion": "apps/v1",
            "kind": "StatefulSet",
            "metadata": cx.metadata(cx.name),
            "spec": {
                "replicas": cx.container.replicas.0,
                "serviceName": format!("{}-pods", cx.name),
                "selector": selector,
                "template": template,
                "volumeClaimTemplates": storage::claim_templates(cx),
            },
        });
    }
    // Two pods cannot both hold a volume that one node has, so the old one goes before the new one comes.
    let strategy =
        if cx.container.volumes.values().any(|volume| !volume.shared) { "Recreate" } else { "RollingUpdate" };
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": cx.metadata(cx.name),
        "spec": {
            "replicas": cx.container.replicas.0,
            "strategy": { "type": strategy },
            "selector": selector,
            "template": template,
        },
    })
}

/// Several replicas are there so that one may go: nodes are drained one pod at a time.
pub(super) fn disruption_budget(cx: &Context<'_>) -> Option<Value> {
    (cx.container.replicas.0 > 1).then(|| {
        json!({
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": cx.metadata(cx.name),
            "spec": { "maxUnavailable": 1, "selector": { "matchLabels": cx.selector() } },
        })
    })
}
