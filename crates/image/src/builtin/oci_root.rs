//! `builtin:oci-root`: a layer of what commands make of an image's root, run as its root without a virtual machine.
//!
//! nixpkgs starts a guest for `runAsRoot` and a tracer for `enableFakechroot`. Here the commands run in a sandbox whose
//! root directory is the image's tree: its user is 0 there and an ordinary one outside, owners are written down, and
//! what has changed afterwards is the layer.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

use build::{Builtin, BuiltinContext, BuiltinError};
use serde::Deserialize;

use super::commands::{Commands, Place};
use super::transport::{attribute, open};
use crate::docker::Selection;
use crate::error::{ImageError, io_error};
use crate::flatten::Flattened;
use crate::objects::Objects;
use crate::ownership::Ownership;
use crate::root_changes::{Before, Changed};
use crate::{root_tree, tree};

/// The name of the layer in the output.
const LAYER: &str = "layer.tar";

/// The builder `builtin:oci-root`.
pub struct OciRoot;

/// What `nix/docker-customise.nix` asks for.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Root {
    from_image: Option<PathBuf>,
    from_image_name: Option<String>,
    from_image_tag: Option<String>,
    contents: Vec<PathBuf>,
    merge: Merge,
    /// Whether the root gets a `/tmp`.
    tmp: bool,
    /// The shell that runs the commands, a path in the store.
    shell: PathBuf,
    /// What is run, in this order.
    commands: Vec<Step>,
}

/// How contents come to the root.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Merge {
    Copy,
    CopyKeepDirlinks,
    Link,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Step {
    place: Place,
    text: String,
}

impl Builtin for OciRoot {
    fn name(&self) -> &str {
        "builtin:oci-root"
    }

    fn build(&self, context: &BuiltinContext<'_>) -> Result<(), BuiltinError> {
        let wanted: Root = attribute(context, "root")?;
        let root = context.scratch.join("root");
        fs::create_dir(&root).map_err(io_error(format!("cannot make {}", root.display())))?;
        let before = base(context, &wanted, &root)?;
        let objects = Objects::of_store(context.store, &context.output("out")?.path);
        root_tree::write(&merged(&objects, &wanted)?, &root)?;
        before.set_modes(&root)?;
        let commands = Commands::new(context, &wanted.shell, &root, wanted.tmp)?;
        let ignored = ignored(&before, &commands);
        let mut owners = Ownership::default();
        for step in &wanted.commands {
            owners.extend(commands.run(step.place, &step.text)?);
        }
        remove_mount_points(&root, &before, &ignored)?;
        let changed = Changed { root: &root, before: &before, owners: &owners, owner: (0, 0), ignored: &ignored };
        write_layer(&changed, &context.output("out")?.real_path)?;
        Ok(())
    }
}

/// Unpacks the base image, if there is one.
fn base(context: &BuiltinContext<'_>, wanted: &Root, root: &Path) -> Result<Before, BuiltinError> {
    let Some(path) = &wanted.from_image else { return Ok(Before::default()) };
    let selection = Selection { name: wanted.from_image_name.as_deref(), tag: wanted.from_image_tag.as_deref() };
    let image = open(context, path, selection)?;
    let left_out = |name: &str| context.log(&format!("left out, since a user cannot make it: {name}"));
    Ok(root_tree::unpack(&Flattened::of(&image, context.scratch, &left_out)?, root)?)
}

fn merged(objects: &Objects, wanted: &Root) -> Result<tree::Directory, ImageError> {
    match wanted.merge {
        Merge::Copy => tree::copied(objects, &wanted.contents, false),
        Merge::CopyKeepDirlinks => tree::copied(objects, &wanted.contents, true),
        Merge::Link => tree::linked(objects, &wanted.contents),
    }
}

/// Where the commands see what is not the image's: the store objects that they are built from.
fn ignored(before: &Before, commands: &Commands<'_>) -> BTreeSet<PathBuf> {
    let objects = commands.objects().map(|object| Path::new("nix/store").join(object.base_name()));
    objects.filter(|path| !before.contains(path)).collect()
}

/// Removes what was made to mount the kernel's file systems and the store over it: empty directories, empty files and
/// links to other store objects. What commands have put there stays.
fn remove_mount_points(root: &Path, before: &Before, objects: &BTreeSet<PathBuf>) -> Result<(), ImageError> {
    let directories = ["dev", "proc", "sys", "nix/store", "nix"].map(PathBuf::from);
    let directories = directories.iter().filter(|path| !before.contains(path));
    for path in objects.iter().chain(directories) {
        let path = root.join(path);
        let is_directory = fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_dir());
        match if is_directory { fs::remove_dir(&path) } else { fs::remove_file(&path) } {
            Err(error) if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::DirectoryNotEmpty) => {
                return Err(io_error(format!("cannot remove {}", path.display()))(error));
            }
            _ => {}
        }
    }
    Ok(())
}

fn write_layer(changed: &Changed<'_>, output: &Path) -> Result<(), ImageError> {
    fs::create_dir(output).map_err(io_error(format!("cannot make {}", output.display())))?;
    let file = output.join(LAYER);
    let failed = || io_error(format!("cannot write {}", file.display()));
    let mut out = BufWriter::with_capacity(1 << 20, File::create(&file).map_err(failed())?);
    changed.pack(&mut out)?;
    out.flush().map_err(failed())
}
