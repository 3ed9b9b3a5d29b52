//! `builtin:oci-image`: an image from store objects, written down as `image.json`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use build::{Builtin, BuiltinContext, BuiltinError};
use nix_formats::store_path::StorePath;
use serde::Deserialize;
use store::PathInfo;
use store::progress::{Activity, Outcome, Task};

use super::assemble::{Inputs, object_of};
use super::base;
use super::definition::{Definition, Group, Layered, Layers, Perm, Single, container_config, date};
use super::nix_db;
use crate::cache::LayerCache;
use crate::config::{ContainerConfig, History, ImageConfig, RootFs};
use crate::description;
use crate::docker::Selection;
use crate::error::{ImageError, io_error};
use crate::image::Image;
use crate::layer::Layer;
use crate::media::canonical_json;
use crate::objects::Objects;
use crate::pack::{Head, Owner, Pack, Permission, ROOT_MTIME, Style};
use crate::pipeline;
use crate::plan;
use crate::sink::{Destination, LayerSink};

/// The file that a derivation makes which runs commands on an image's root.
const CUSTOMISED: &str = "layer.tar";
/// Where archives of base images are unpacked that are compressed as a whole.
const UNPACKED: &str = "unpacked";

/// The builder `builtin:oci-image`.
pub struct OciImage {
    cache: LayerCache,
    sink: Option<Arc<dyn LayerSink>>,
}

impl OciImage {
    /// A builder that remembers digests of layers in `cache`.
    pub fn new(cache: LayerCache) -> Self {
        Self { cache, sink: None }
    }

    /// Gives the blobs of layers that are packed for the first time to a sink.
    pub fn with_sink(self, sink: Option<Arc<dyn LayerSink>>) -> Self {
        Self { sink, ..self }
    }
}

impl Builtin for OciImage {
    fn name(&self) -> &str {
        "builtin:oci-image"
    }

    fn build(&self, context: &BuiltinContext<'_>) -> Result<(), BuiltinError> {
        let attributes = context.attributes.structured.as_ref().ok_or("`builtin:oci-image` needs __structuredAttrs")?;
        let definition = attributes.get("image").ok_or("the attribute `image` is missing")?;
        let definition = Definition::deserialize(definition).map_err(|error| format!("image: {error}"))?;
        let output = context.output("out")?;
        let objects = Objects::of_store(context.store, &output.path);
        let inputs = Inputs::new(context.store, &objects, context.input_closure);
        let making = Making {
            inputs: &inputs,
            cache: &self.cache,
            sink: self.sink.as_deref(),
            output: &output.path,
            real: &output.real_path,
            placed: &objects.real_path(&output.path),
            scratch: context.scratch,
        };
        let task = Task::start(context.progress, Activity::Pack, &definition.name, None);
        let debug = matches!(&definition.layers, Layers::Layered(layered) if layered.debug);
        let image = making.image(definition, &task)?;
        if debug {
            list_layers(&image, context);
        }
        let file = output.real_path.join(description::FILE_NAME);
        let failed = || io_error(format!("cannot write {}", file.display()));
        fs::write(&file, image.description(&objects)?).map_err(failed())?;
        task.finish(Outcome::Done);
        Ok(())
    }
}

fn list_layers(image: &Image, context: &BuiltinContext<'_>) {
    for (number, layer) in image.layers.iter().enumerate() {
        context.log(&format!("layer {}: {}", number + 1, layer.diff_id()));
        layer.objects().iter().for_each(|path| context.log(&format!("    {}", path.to_absolute())));
    }
}

/// An image in the making.
pub(crate) struct Making<'a> {
    pub inputs: &'a Inputs<'a>,
    pub cache: &'a LayerCache,
    pub sink: Option<&'a dyn LayerSink>,
    /// What the image is called in the store.
    pub output: &'a StorePath,
    /// A directory for what the image needs of its own, and where that will be.
    pub real: &'a Path,
    pub placed: &'a Path,
    pub scratch: &'a Path,
}

impl Making<'_> {
    pub fn image(&self, definition: Definition, task: &Task<'_>) -> Result<Image, ImageError> {
        let created = date("created", &definition.created)?.to_string();
        let mut config = container_config(definition.config.clone().unwrap_or_default())?;
        let base = self.base(&definition)?;
        let below: &[Layer] = base.as_ref().map_or(&[], |base| &base.layers);
        let present: BTreeSet<_> = below.iter().flat_map(Layer::objects).cloned().collect();
        let packs = match &definition.layers {
            Layers::Single(single) => {
                vec![Pack { directories: definition.directories.clone(), ..self.single(single, &config, &present)? }]
            }
            Layers::Layered(layered) => {
                let others = below.len() + usize::from(definition.include_nix_db);
                let mut packs = self.layered(layered, &config, &present, others)?;
                packs.last_mut().into_iter().for_each(|root| root.directories.clone_from(&definition.directories));
                packs
            }
        };
        let database = definition.include_nix_db.then(|| self.database(&packs, &definition.layers)).transpose()?;
        let mut history = base.as_ref().map(|base| base::history(&base.config, below)).unwrap_or_default();
        history.extend(packs.iter().map(|pack| history_of(pack, &created)));
        let mut layers = below.to_vec();
        // Repositories have no capitals, derivations may.
        let name = definition.name.to_lowercase();
        let to = self.sink.map(|sink| Destination { sink, image: &name });
        layers.extend(self.inputs.pack(packs, self.cache, to, task)?);
        if let Some(database) = database {
            history.push(History {
                created: Some(created.clone()),
                comment: Some("Nix database".to_owned()),
                ..History::default()
            });
            layers.push(database);
        }
        if let Some(base) = &base {
            config = match definition.inherit_config {
                true => base::inherited(&base.config.config, config),
                false => ContainerConfig { env: base::merged_env(&base.config.config.env, &config.env), ..config },
            };
        }
        let config = ImageConfig {
            created: Some(created),
            author: None,
            architecture: definition.architecture,
            variant: definition.variant,
            os: "linux".to_owned(),
            config,
            rootfs: RootFs {
                kind: "layers".to_owned(),
                diff_ids: layers.iter().map(|layer| *layer.diff_id()).collect(),
            },
            history,
        };
        Ok(Image {
            name: Some(name),
            tag: Some(definition.tag.unwrap_or_else(|| self.output.hash_part().to_owned())),
            config_bytes: canonical_json(&config),
            config,
            layers,
            annotations: definition.annotations,
            archive_compression: definition.compressor.into(),
            nix_snapshotter: definition.nix_snapshotter,
            manifest_bytes: None,
        })
    }

    fn base(&self, definition: &Definition) -> Result<Option<Image>, ImageError> {
        let kept = self.real.join(UNPACKED);
        fs::create_dir_all(&kept).map_err(io_error(format!("cannot make {}", kept.display())))?;
        let image = definition.from_image.as_ref().map(|path| {
            let wanted =
                Selection { name: definition.from_image_name.as_deref(), tag: definition.from_image_tag.as_deref() };
            base::open_kept(self.inputs.objects, path, wanted, &kept, &self.placed.join(UNPACKED))
        });
        let image = image.transpose()?;
        base::remove_if_empty(&kept)?;
        Ok(image)
    }

    /// The layer with Nix's database of all objects that the layers hold.
    fn database(&self, packs: &[Pack], layers: &Layers) -> Result<Layer, ImageError> {
        let objects = packs.iter().flat_map(|pack| &pack.objects).cloned().collect();
        let closure = self.inputs.closure(&objects)?;
        let contents = layers.contents().iter().map(|path| object_of(path)).collect::<Result<BTreeSet<_>, _>>()?;
        let roots: Vec<_> = contents.into_iter().filter(|path| objects.contains(path)).collect();
        nix_db::layer(&closure, &roots, self.scratch, self.real, self.placed)
    }

    fn single(
        &self,
        single: &Single,
        config: &ContainerConfig,
        present: &BTreeSet<StorePath>,
    ) -> Result<Pack, ImageError> {
        let (head, mut roots) = match &single.customised {
            Some(customised) => self.customised(customised)?,
            None if single.contents.is_empty() => (Head::None, BTreeSet::new()),
            None => {
                let (contents, keep_dirlinks) = (single.contents.clone(), single.keep_contents_dirlinks);
                (Head::Copy { contents, keep_dirlinks }, self.inputs.references(&single.contents)?)
            }
        };
        roots.extend(self.inputs.named_in(&json(config)));
        let closure = self.inputs.closure(&roots)?.into_iter().map(|info| info.path);
        Ok(Pack {
            head,
            head_owner: Owner { uid: single.uid, gid: single.gid, ..Owner::ROOT },
            directories: Vec::new(),
            permissions: Vec::new(),
            objects: closure.filter(|path| !present.contains(path)).collect(),
            owner: Owner::ROOT,
            mtime: ROOT_MTIME,
            style: Style::Tar,
        })
    }

    fn layered(
        &self,
        layered: &Layered,
        config: &ContainerConfig,
        present: &BTreeSet<StorePath>,
        below: usize,
    ) -> Result<Vec<Pack>, ImageError> {
        let (head, mut roots) = match &layered.customised {
            Some(customised) => self.customised(customised)?,
            None => {
                let targets = self.inputs.link_targets(&layered.contents)?;
                (Head::Links { contents: layered.contents.clone() }, targets)
            }
        };
        roots.extend(self.inputs.named_in(&json(config)));
        let closure = if layered.include_store_paths { self.inputs.closure(&roots)? } else { Vec::new() };
        let mut present = present.clone();
        let chosen =
            layered.groups.iter().map(|group| self.group(group, &mut present)).collect::<Result<Vec<_>, _>>()?;
        let closure = closure.into_iter().filter(|info| !present.contains(&info.path));
        let closure: Vec<_> = closure.map(plan_object).collect();
        let below = below + chosen.len();
        let left = layers_left(layered.max_layers, below)?;
        let groups = match &layered.layering_pipeline {
            None => plan::layers(&closure, left),
            Some(pipeline) => check_count(pipeline::layers(&closure, pipeline)?, plan::MOST_LAYERS - below - 1)?,
        };
        let owner =
            Owner { uid: layered.uid, gid: layered.gid, uname: layered.uname.clone(), gname: layered.gname.clone() };
        let mtime = date("mtime", &layered.mtime)?.as_second();
        let mtime = u64::try_from(mtime).map_err(|_| ImageError::Definition("mtime: it is before 1970".to_owned()))?;
        let store_layer = |(objects, permissions)| Pack {
            head: Head::None,
            head_owner: owner.clone(),
            directories: Vec::new(),
            objects,
            owner: owner.clone(),
            permissions,
            mtime,
            style: Style::Stream,
        };
        let customisation = Pack {
            head,
            head_owner: Owner::ROOT,
            directories: Vec::new(),
            objects: Vec::new(),
            owner: Owner::ROOT,
            permissions: Vec::new(),
            mtime: ROOT_MTIME,
            style: Style::Tar,
        };
        let planned = groups.into_iter().map(|objects| (objects, Vec::new()));
        Ok(chosen.into_iter().chain(planned).map(store_layer).chain([customisation]).collect())
    }

    /// What a layer of the user's holds: the closure without what lower layers have, which it is added to.
    fn group(
        &self,
        group: &Group,
        present: &mut BTreeSet<StorePath>,
    ) -> Result<(Vec<StorePath>, Vec<Permission>), ImageError> {
        let objects = |paths: &[PathBuf]| paths.iter().map(|path| object_of(path)).collect::<Result<BTreeSet<_>, _>>();
        let ignored = objects(&group.ignore)?;
        let closure = self.inputs.closure(&objects(&group.deps)?)?.into_iter().map(|info| info.path);
        let own: Vec<_> = closure.filter(|path| !present.contains(path) && !ignored.contains(path)).collect();
        present.extend(own.iter().cloned());
        Ok((own, group.perms.iter().map(permission).collect::<Result<_, _>>()?))
    }

    /// The layer that a derivation has made, and what it refers to.
    fn customised(&self, output: &Path) -> Result<(Head, BTreeSet<StorePath>), ImageError> {
        let mut references = self.inputs.references(&[output.to_owned()])?;
        references.remove(&object_of(output)?);
        Ok((Head::Tar { file: output.join(CUSTOMISED) }, references))
    }
}

fn permission(perm: &Perm) -> Result<Permission, ImageError> {
    let octal = |text: &String| {
        let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o7777);
        mode.ok_or_else(|| ImageError::Definition(format!("perms: mode: `{text}` is no mode such as `0755`")))
    };
    Ok(Permission {
        object: object_of(&perm.path)?,
        regex: perm.regex.clone(),
        mode: perm.mode.as_ref().map(octal).transpose()?,
        uid: perm.uid,
        gid: perm.gid,
    })
}

/// How many layers store objects may take: one is for the image's root.
fn layers_left(max_layers: usize, below: usize) -> Result<usize, ImageError> {
    if !(2..=plan::MOST_LAYERS).contains(&max_layers) {
        let most = plan::MOST_LAYERS;
        return Err(ImageError::Definition(format!("maxLayers: it must be from 2 to {most}, and is {max_layers}")));
    }
    max_layers.checked_sub(below + 1).filter(|left| *left > 0).ok_or_else(|| {
        ImageError::Definition(format!(
            "maxLayers: it is {max_layers}, but {below} are taken by the base image or the Nix database, and two more \
             are needed"
        ))
    })
}

/// A pipeline decides the number of layers itself, up to what clients take.
fn check_count(groups: Vec<Vec<StorePath>>, most: usize) -> Result<Vec<Vec<StorePath>>, ImageError> {
    if groups.len() <= most {
        return Ok(groups);
    }
    let found = groups.len();
    let hint = "end it with [ \"limit_layers\" NUMBER ]";
    Err(ImageError::Definition(format!("layeringPipeline: it gives {found} layers, and there can be {most}; {hint}")))
}

fn plan_object(info: PathInfo) -> plan::Object {
    plan::Object { path: info.path, nar_size: info.nar_size, references: info.references }
}

fn json(config: &ContainerConfig) -> String {
    String::from_utf8_lossy(&canonical_json(config)).into_owned()
}

/// The layer's entry in the image's history, in the words of nixpkgs' script.
fn history_of(pack: &Pack, created: &str) -> History {
    let mut paths: Vec<PathBuf> = pack.objects.iter().map(|object| object.to_absolute().into()).collect();
    paths.extend(pack.head.paths().to_vec());
    let list: Vec<_> = paths.iter().map(|path| format!("'{}'", path.display())).collect();
    let comment = format!("store paths: [{}]", list.join(", "));
    History { created: Some(created.to_owned()), comment: Some(comment), ..History::default() }
}
