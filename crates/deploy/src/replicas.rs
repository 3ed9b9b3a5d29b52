//! Several replicas on one machine: containers with numbered names.

use crate::definition::Container;

/// The names under which a container runs on a machine: its own, or `name-1`, `name-2`, … if there are several.
pub(crate) fn names(name: &str, container: &Container) -> Vec<String> {
    match container.replicas.0 {
        1 => vec![name.to_owned()],
        count => (1..=count).map(|number| format!("{name}-{number}")).collect(),
    }
}

/// The name of a volume for one of them: each has its own, unless the volume is shared.
pub(crate) fn volume_name(container: &str, instance: &str, volume: &str, shared: bool) -> String {
    format!("{}-{volume}", if shared { container } else { instance })
}
