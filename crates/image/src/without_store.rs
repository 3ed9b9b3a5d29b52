//! Images whose store objects are not on this machine: assembled from what caches say of them, and packed from their NARs.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use nix_formats::store_path::StorePath;
use serde::Deserialize;
use serde_json::{Map, Value};
use store::Store;
use store::progress::{Activity, Outcome, Progress, Task};

use crate::builtin::{Definition, Inputs, Layers, Making, object_of};
use crate::cache::LayerCache;
use crate::elsewhere::{Elsewhere, Outline};
use crate::error::{ImageError, io_error};
use crate::image::Image;
use crate::objects::Objects;
use crate::sink::LayerSink;

/// What an image is made from where nothing is put into a store.
pub struct WithoutStore<'a> {
    /// The attributes of the derivation whose builder is `builtin:oci-image`.
    pub attributes: &'a Map<String, Value>,
    /// The output that the derivation would have.
    pub output: &'a StorePath,
    /// What knows all inputs, and writes the NAR of each.
    pub store: Arc<dyn Store>,
    /// The inputs and everything that they refer to.
    pub inputs: &'a BTreeSet<StorePath>,
    /// What is remembered of layers.
    pub cache: &'a LayerCache,
    /// Takes the layers that are packed for the first time.
    pub sink: Option<&'a dyn LayerSink>,
    /// A directory for as long as the image is used.
    pub scratch: &'a Path,
    /// Hears of it.
    pub progress: &'a dyn Progress,
}

impl WithoutStore<'_> {
    /// What of the definition has to be in the store, since it is read as a file: layers that commands have made, and a
    /// base image.
    ///
    /// # Errors
    /// The attributes are not those of an image.
    pub fn needed(attributes: &Map<String, Value>) -> Result<BTreeSet<StorePath>, ImageError> {
        let definition = definition(attributes)?;
        let customised = match &definition.layers {
            Layers::Single(single) => &single.customised,
            Layers::Layered(layered) => &layered.customised,
        };
        let paths = customised.iter().chain(&definition.from_image);
        paths.map(|path| object_of(path)).collect()
    }

    /// Assembles the image; layers that are not known are packed, and go to the sink.
    ///
    /// # Errors
    /// The definition is wrong, or an object cannot be had or is not what it should be.
    pub fn assemble(&self) -> Result<Image, ImageError> {
        let definition = definition(self.attributes)?;
        let outline = if matches!(definition.layers, Layers::Single(_)) { Outline::Whole } else { Outline::Names };
        let (outlines, made) = (self.scratch.join("outlines"), self.scratch.join("image"));
        for directory in [&outlines, &made] {
            fs::create_dir_all(directory).map_err(io_error(format!("cannot make {}", directory.display())))?;
        }
        let elsewhere = Elsewhere::new(Arc::clone(&self.store), &outlines, outline);
        let objects = Objects::of_store(&*self.store, self.output).and_elsewhere(elsewhere);
        let inputs = Inputs::new(&*self.store, &objects, self.inputs);
        let making = Making {
            inputs: &inputs,
            cache: self.cache,
            sink: self.sink,
            output: self.output,
            real: &made,
            placed: &made,
            scratch: self.scratch,
        };
        let task = Task::start(self.progress, Activity::Pack, &definition.name, None);
        let image = making.image(definition, &task)?;
        task.finish(Outcome::Done);
        Ok(image)
    }
}

fn definition(attributes: &Map<String, Value>) -> Result<Definition, ImageError> {
    let image = attributes.get("image").unwrap_or(&Value::Null);
    Definition::deserialize(image).map_err(|error| ImageError::Definition(format!("image: {error}")))
}
