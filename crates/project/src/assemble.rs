//! Images that go somewhere else without their store objects being put into the store: what binary caches have is read from
//! there while it is packed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use build::{Attributes, Wanted};
use image::{Image, LayerCache, WithoutStore};
use nix_formats::derivation::Derivation;
use nix_formats::store_path::StorePath;
use store::Store;
use store::cache::WithCaches;
use tempfile::TempDir;

use crate::derived::Derived;
use crate::error::Error;
use crate::project::Project;

const BUILDER: &str = "builtin:oci-image";

/// An image that is in no store.
pub struct Assembled {
    /// The image.
    pub image: Image,
    /// What must stay as long as the image is used.
    _scratch: TempDir,
}

impl Project {
    /// Assembles an image. What of it is neither in the store nor in a cache is built into the store, with the layers that
    /// commands have made and base images, which are read as files.
    ///
    /// # Errors
    /// The derivation is no image's, or something of it can neither be had nor built.
    pub fn assemble(&self, one: &Derived) -> Result<Assembled, Error> {
        self.instantiate(std::slice::from_ref(one))?;
        let services = self.services.open()?;
        let store = &services.store;
        let derivation = self.image_derivation(one)?;
        let attributes = Attributes::of(&derivation).ok().and_then(|attributes| attributes.structured);
        let attributes = attributes.ok_or_else(|| no_image(one))?;
        let output = derivation.output_path("out").ok_or_else(|| no_image(one))?;
        let inputs = outputs(&**store, &derivation)?;
        let needed = WithoutStore::needed(&attributes).map_err(Error::Image)?;
        let files = inputs.iter().filter(|(path, _)| needed.contains(*path)).map(|(_, wanted)| wanted.clone());
        services.builder.realise(&files.collect::<Vec<_>>())?;
        let wanted: Vec<Wanted> = inputs.values().cloned().collect();
        let outlook = services.builder.outlook(&wanted)?;
        let built = wanted.into_iter().filter(|wanted| outlook.build.contains(&wanted.derivation));
        services.builder.realise(&built.collect::<Vec<_>>())?;
        let options = &self.options;
        let (substituters, progress) = (Arc::clone(&options.substituters), Arc::clone(&options.progress));
        let elsewhere = outlook.take.into_iter().filter_map(|taken| taken.info);
        let view = WithCaches::new(Arc::clone(store) as _, substituters, progress, elsewhere);
        let roots: Vec<_> = inputs.into_keys().chain(derivation.input_sources.iter().cloned()).collect();
        let closure = view.closure(&roots)?;
        let scratch = scratch(options.cache.clone())?;
        let image = WithoutStore {
            attributes: &attributes,
            output: &output,
            store: Arc::new(view),
            inputs: &closure,
            cache: &LayerCache::new(options.cache.join("layers")),
            sink: options.sink.as_deref(),
            scratch: scratch.path(),
            progress: &*options.progress,
        };
        Ok(Assembled { image: image.assemble().map_err(Error::Image)?, _scratch: scratch })
    }

    /// The derivation of the image itself: a script that streams one has it as an input.
    fn image_derivation(&self, one: &Derived) -> Result<Derivation, Error> {
        let store = self.store()?;
        let derivation = store.read_derivation(&one.derivation)?;
        if derivation.builder == BUILDER {
            return Ok(derivation);
        }
        for path in derivation.input_derivations.keys() {
            let input = store.read_derivation(path)?;
            if input.builder == BUILDER {
                return Ok(input);
            }
        }
        Err(no_image(one))
    }
}

/// The outputs that a derivation takes from others, and how to have them.
fn outputs(store: &dyn Store, derivation: &Derivation) -> Result<BTreeMap<StorePath, Wanted>, Error> {
    let mut outputs = BTreeMap::new();
    for (path, names) in &derivation.input_derivations {
        let input = store.read_derivation(path)?;
        for name in names {
            if let Some(output) = input.output_path(name) {
                outputs.insert(output, Wanted::some(path.clone(), BTreeSet::from([name.clone()])));
            }
        }
    }
    Ok(outputs)
}

fn scratch(cache: PathBuf) -> Result<TempDir, Error> {
    std::fs::create_dir_all(&cache).map_err(Error::io("create", &cache))?;
    tempfile::tempdir_in(&cache).map_err(Error::io("write to", &cache))
}

fn no_image(one: &Derived) -> Error {
    Error::target(
        format!("'{}' is no image that can be made without the store", one.name),
        "dockerTools.buildImage and its kin can; what pullImage, mergeImages and other derivations make goes through the store",
    )
}
