//! `builtin:oci-bundle`: a directory that an OCI runtime runs, as `ociTools.buildContainer` makes it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use build::{Builtin, BuiltinContext, BuiltinError};
use store::progress::{Activity, Outcome, Task};

use super::assemble::Inputs;
use crate::error::{ImageError, io_error};
use crate::media::canonical_json;
use crate::objects::Objects;

/// Where the runtime mounts what the kernel gives; they must be there, since the bundle cannot be written.
const MOUNT_POINTS: [&str; 3] = ["dev", "proc", "sys"];

/// The builder `builtin:oci-bundle`.
pub struct OciBundle;

impl Builtin for OciBundle {
    fn name(&self) -> &str {
        "builtin:oci-bundle"
    }

    fn build(&self, context: &BuiltinContext<'_>) -> Result<(), BuiltinError> {
        let attributes =
            context.attributes.structured.as_ref().ok_or("`builtin:oci-bundle` needs __structuredAttrs")?;
        let config = attributes.get("config").ok_or("the attribute `config` is missing")?;
        let config = canonical_json(config);
        let output = context.output("out")?;
        let objects = Objects::of_store(context.store, &output.path);
        let inputs = Inputs::new(context.store, &objects, context.input_closure);
        let closure = inputs.closure(&inputs.named_in(&String::from_utf8_lossy(&config)))?;
        let size = closure.iter().map(|info| info.nar_size).sum();
        let task = Task::start(context.progress, Activity::Pack, output.path.name(), Some(size));
        let root = output.real_path.join("rootfs");
        for mount_point in MOUNT_POINTS {
            create_directories(&root.join(mount_point))?;
        }
        let store = root.join("nix/store");
        create_directories(&store)?;
        for info in closure {
            copy(&objects.real_path(&info.path), &store.join(info.path.base_name()))?;
            task.advance(info.nar_size);
        }
        let file = output.real_path.join("config.json");
        fs::write(&file, config).map_err(io_error(format!("cannot write {}", file.display())))?;
        task.finish(Outcome::Done);
        Ok(())
    }
}

fn create_directories(path: &Path) -> Result<(), ImageError> {
    fs::create_dir_all(path).map_err(io_error(format!("cannot make {}", path.display())))
}

/// Copies a store object; the kernel shares the blocks where the file system can.
fn copy(from: &Path, to: &Path) -> Result<(), ImageError> {
    let failed = || io_error(format!("cannot copy {}", from.display()));
    let kind = fs::symlink_metadata(from).map_err(failed())?.file_type();
    if kind.is_symlink() {
        return symlink(fs::read_link(from).map_err(failed())?, to).map_err(failed());
    }
    if !kind.is_dir() {
        return fs::copy(from, to).map(drop).map_err(failed());
    }
    fs::create_dir(to).map_err(failed())?;
    for entry in fs::read_dir(from).map_err(failed())? {
        let name = entry.map_err(failed())?.file_name();
        copy(&from.join(&name), &to.join(&name))?;
    }
    Ok(())
}
