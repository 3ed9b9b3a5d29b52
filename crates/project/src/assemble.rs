//! Images of objects that binary caches have: each is read once, and packed while it comes. It is put into the store on the way, or,
//! where the image only goes somewhere else, not at all.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use build::{Attributes, Wanted};
use image::{Image, LayerCache, WithoutStore};
use nix_formats::derivation::Derivation;
use nix_formats::narinfo::NarInfo;
use nix_formats::store_path::StorePath;
use serde_json::{Map, Value};
use store::cache::WithCaches;
use store::{LocalStore, Store};
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
        let derivation = self.image_derivation(one)?.ok_or_else(|| no_image(one))?;
        let recipe = Recipe::of(self, &derivation)?.ok_or_else(|| no_image(one))?;
        let elsewhere = build_inputs(self, std::slice::from_ref(&recipe))?;
        recipe.assemble(self, &elsewhere, None)
    }

    /// Takes what images need from binary caches into the store, and packs it while it comes, so that nothing is read again
    /// when the images are built. What is not done here, building them does.
    ///
    /// # Errors
    /// The store fails, or something that an image needs cannot be built.
    pub(crate) fn pack_what_comes(&self, derived: &[Derived]) -> Result<(), Error> {
        let Some(local) = &self.services.open()?.local else { return Ok(()) };
        // These build everything, whatever fails.
        if self.options.build.keep_going || self.options.substituters.is_empty() {
            return Ok(());
        }
        let mut recipes = Vec::new();
        for one in derived {
            let derivation = self.image_derivation(one)?;
            let recipe = derivation.map(|derivation| Recipe::of(self, &derivation)).transpose()?.flatten();
            if let Some(recipe) = recipe
                && !recipe.is_there(&**local)?
            {
                recipes.push(recipe);
            }
        }
        let elsewhere = build_inputs(self, &recipes)?;
        for recipe in recipes.iter().filter(|_| !elsewhere.is_empty()) {
            // A cache that fails has its say when the image is built, where others are asked too.
            let _ = recipe.assemble(self, &elsewhere, Some(local));
        }
        Ok(())
    }

    /// The derivation of the image itself, if there is one: a script that streams an image has it as an input.
    fn image_derivation(&self, one: &Derived) -> Result<Option<Derivation>, Error> {
        let store = self.store()?;
        let derivation = store.read_derivation(&one.derivation)?;
        if derivation.builder == BUILDER {
            return Ok(Some(derivation));
        }
        for path in derivation.input_derivations.keys() {
            let input = store.read_derivation(path)?;
            if input.builder == BUILDER {
                return Ok(Some(input));
            }
        }
        Ok(None)
    }
}

/// What an image is made of.
struct Recipe {
    /// The attributes of its derivation.
    attributes: Map<String, Value>,
    output: StorePath,
    /// The outputs of other derivations that it needs, and how to have them.
    inputs: BTreeMap<StorePath, Wanted>,
    sources: BTreeSet<StorePath>,
}

impl Recipe {
    fn of(project: &Project, derivation: &Derivation) -> Result<Option<Self>, Error> {
        let attributes = Attributes::of(derivation).ok().and_then(|attributes| attributes.structured);
        let (Some(attributes), Some(output)) = (attributes, derivation.output_path("out")) else { return Ok(None) };
        let inputs = outputs(&**project.store()?, derivation)?;
        Ok(Some(Self { attributes, output, inputs, sources: derivation.input_sources.clone() }))
    }

    /// Whether nothing has to be fetched for it.
    fn is_there(&self, store: &dyn Store) -> Result<bool, Error> {
        if store.is_valid(&self.output)? {
            return Ok(true);
        }
        for path in self.inputs.keys() {
            if !store.is_valid(path)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Packs the image's layers, of which some objects are elsewhere. They are put into `keep`, if there is such.
    fn assemble(
        &self,
        project: &Project,
        elsewhere: &[NarInfo],
        keep: Option<&Arc<LocalStore>>,
    ) -> Result<Assembled, Error> {
        let options = &project.options;
        let (substituters, progress) = (Arc::clone(&options.substituters), Arc::clone(&options.progress));
        let store = Arc::clone(project.store()?);
        let view = WithCaches::new(store, substituters, progress, elsewhere.iter().cloned());
        let view = match keep {
            Some(local) => view.keeping(Arc::clone(local)),
            None => view,
        };
        let roots: Vec<_> = self.inputs.keys().chain(&self.sources).cloned().collect();
        let closure = view.closure(&roots)?;
        let scratch = scratch(options.cache.clone())?;
        let image = WithoutStore {
            attributes: &self.attributes,
            output: &self.output,
            store: Arc::new(view),
            inputs: &closure,
            cache: &LayerCache::new(options.cache.join("layers")),
            sink: options.sink.as_deref(),
            scratch: scratch.path(),
            progress: &*options.progress,
        };
        Ok(Assembled { image: image.assemble().map_err(Error::Image)?, _scratch: scratch })
    }
}

/// Builds what no cache has, and takes what is read as files. What remains, as caches describe it.
fn build_inputs(project: &Project, recipes: &[Recipe]) -> Result<Vec<NarInfo>, Error> {
    let opened = project.services.open()?;
    let (mut files, mut wanted) = (Vec::new(), Vec::new());
    for recipe in recipes {
        let needed = WithoutStore::needed(&recipe.attributes).map_err(Error::Image)?;
        files.extend(recipe.inputs.iter().filter(|(path, _)| needed.contains(*path)).map(|(_, one)| one.clone()));
        wanted.extend(recipe.inputs.values().cloned());
    }
    opened.builder.realise(&files)?;
    let outlook = opened.builder.outlook(&wanted)?;
    let built = wanted.into_iter().filter(|wanted| outlook.build.contains(&wanted.derivation));
    opened.builder.realise(&built.collect::<Vec<_>>())?;
    let mut elsewhere = Vec::new();
    for info in outlook.take.into_iter().filter_map(|taken| taken.info) {
        if !opened.store.is_valid(&info.path)? {
            elsewhere.push(info);
        }
    }
    Ok(elsewhere)
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
