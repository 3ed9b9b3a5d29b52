//! GitLab: the child pipeline that a plan becomes.

use serde_json::{Map, Value, json};

use super::{INSTALL, Planned, Settings, indented};
use crate::render::RenderError;
use crate::yaml;

/// The image that the jobs run in. They need a shell, curl and certificates of it only.
pub(super) const JOB_IMAGE: &str = "docker.io/library/buildpack-deps:bookworm-curl";

/// The lines of `before_script` that install the binary.
pub(super) fn install_lines(width: usize) -> String {
    let script = format!("{INSTALL}export PATH=\"$HOME/.local/bin:$PATH\"\n");
    format!("{:width$}- |\n{}", "", indented(&script, width + 2))
}

/// The pipeline of the planned containers: a job for each. In a merge request they are built, else pushed too.
///
/// # Errors
/// A text that cannot be written as YAML.
pub fn child_pipeline(planned: &[Planned], settings: &Settings) -> Result<String, RenderError> {
    let mut pipeline = Map::new();
    pipeline.insert("stages".into(), json!(["containers"]));
    if planned.is_empty() {
        // GitLab refuses a pipeline without jobs.
        pipeline
            .insert("nothing-to-build".into(), json!({ "stage": "containers", "script": ["echo nothing to build"] }));
    }
    for container in planned {
        pipeline.insert(container.name.clone(), job(container, settings));
    }
    yaml::documents(&[Value::Object(pipeline)])
}

fn job(container: &Planned, settings: &Settings) -> Value {
    json!({
        "stage": "containers",
        "image": JOB_IMAGE,
        "timeout": "1 hour",
        "variables": {
            "WHARF_URL": settings.binary_url,
            "WHARF_SHA256": settings.binary_sha256,
            "CONTAINER": container.target,
            "REPOSITORY": format!("{}/{}", settings.registry, container.name),
        },
        "before_script": [format!("{INSTALL}export PATH=\"$HOME/.local/bin:$PATH\"\n")],
        "script": [
            "if [ \"$PARENT_PIPELINE_SOURCE\" = merge_request_event ]; then wharf build \"$CONTAINER\" --no-link; exit 0; fi\n\
             printf '%s' \"${REGISTRY_PASSWORD:-$CI_REGISTRY_PASSWORD}\" |\n  \
             wharf login \"${REPOSITORY%%/*}\" --username \"${REGISTRY_USER:-$CI_REGISTRY_USER}\" --password-stdin\n\
             wharf ci push \"$CONTAINER\" --to \"$REPOSITORY\"\n"
        ],
    })
}
