//! The evaluator, the store and the builder of one command, joined.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use build::{Builder, BuiltinError, FetchUrl, Outlook, Wanted};
use distribution::OciPull;
use eval::{ErrorKind, Evaluator, Interp, Settings, Symbol, Value};
use fetch::Fetcher;
use image::LayerCache;
use nix_formats::store_path::StorePath;
use store::progress::{Activity, Outcome, Progress, Task, TaskId};
use store::{LocalStore, Store};

use crate::derivations::Derivations;
use crate::derived::{self, Derived};
use crate::error::Error;
use crate::files::Access;
use crate::host::ProjectHost;
use crate::options::Options;
use crate::own_binary;
use crate::packages::Packages;
use crate::sources::Sources;
use crate::target::{Source, Target};

/// A store, a builder, and an evaluator over both.
pub struct Project {
    pub(crate) options: Options,
    store: Arc<LocalStore>,
    builder: Arc<Builder>,
    fetcher: Arc<Fetcher>,
    derivations: Arc<Derivations>,
    own_object: OnceLock<StorePath>,
}

impl Project {
    /// Opens the store, making it if it is not there.
    ///
    /// # Errors
    /// The store cannot be opened.
    pub fn open(options: Options) -> Result<Self, Error> {
        let store = Arc::new(LocalStore::open(&options.data)?);
        let settings = fetch::Settings {
            cache: options.cache.join("fetch"),
            offline: options.offline,
            network: Arc::clone(&options.network),
            access_tokens: options.access_tokens.clone(),
            ..fetch::Settings::default()
        };
        let fetcher = Arc::new(Fetcher::new(Arc::clone(&store) as _, Arc::clone(&options.progress), settings));
        let builder = Builder::new(Arc::clone(&store), options.build.clone())
            .with_progress(Arc::clone(&options.progress))
            .with_substituters(Arc::clone(&options.substituters))
            .with_builtin(Box::new(FetchUrl(Downloads(Arc::clone(&fetcher)))));
        let layers = LayerCache::new(options.cache.join("layers"));
        let builder = image::builtins(&layers).into_iter().fold(builder, Builder::with_builtin);
        let builder = builder.with_builtin(Box::new(OciPull::new(options.registries.clone())));
        Ok(Self {
            options,
            store,
            builder: Arc::new(builder),
            fetcher,
            derivations: Arc::default(),
            own_object: OnceLock::new(),
        })
    }

    /// The store.
    pub fn store(&self) -> &Arc<LocalStore> {
        &self.store
    }

    /// Evaluates a target and works on its value, on a thread with a deep stack.
    ///
    /// # Errors
    /// The evaluation fails, or `work` does.
    pub fn evaluate<R: Send>(
        &self,
        target: &Target,
        work: impl FnOnce(&Interp, Value) -> Result<R, Error> + Send,
    ) -> Result<R, Error> {
        self.evaluate_with(target, |interp| work(interp, self.value(interp, target)?))
    }

    /// Runs `work` on a thread with a deep stack, shown as the evaluation of the target.
    pub(crate) fn evaluate_with<R: Send>(
        &self,
        target: &Target,
        work: impl FnOnce(&Interp) -> Result<R, Error> + Send,
    ) -> Result<R, Error> {
        let task = Task::start(&*self.options.progress, Activity::Evaluate, &target.describe(), None);
        let result = self.evaluator(target).run(work).map_err(|error| self.explain(error))?;
        task.finish(Outcome::Done);
        Ok(result)
    }

    /// Adds to a failed evaluation what the evaluator cannot know: that the built-in set is small on purpose.
    fn explain(&self, error: Error) -> Error {
        let Error::Eval { error, help: None } = error else { return error };
        // Without the set nobody has looked for the name in it.
        let uses_built_in = self.options.packages == Packages::BuiltIn && self.own_object.get().is_some();
        let name = match &error.kind {
            ErrorKind::MissingAttr { name, candidates } if is_built_in_set(candidates) => Some(name),
            ErrorKind::UndefinedVariable { name, .. } | ErrorKind::WrongArgument { name, .. } => Some(name),
            _ => None,
        };
        let help = name.filter(|_| uses_built_in).map(|name| {
            format!(
                "if '{name}' is to come from pkgs: the package set that Wharf carries has no such package\n\
                 name another set with --pkgs, as --pkgs '<nixpkgs>' or --pkgs ./pkgs.nix, or make the project a flake \
                 with\n  inputs.nixpkgs.url = \"github:NixOS/nixpkgs/nixos-25.11\";"
            )
        });
        Error::Eval { error, help }
    }

    /// The derivations of a target.
    ///
    /// # Errors
    /// The evaluation fails, or its value is none.
    pub fn derivations(&self, target: &Target) -> Result<Vec<Derived>, Error> {
        self.evaluate(target, |interp, value| derived::collect(interp, value, &target.describe()))
    }

    /// Makes sure that the derivations are in the store, as `nix-instantiate` does.
    ///
    /// # Errors
    /// The store fails.
    pub fn instantiate(&self, derived: &[Derived]) -> Result<(), Error> {
        let paths: Vec<_> = derived.iter().map(|one| one.derivation.clone()).collect();
        Ok(self.derivations.write(&paths, &*self.store)?)
    }

    /// Makes sure that the outputs are in the store, building what is missing; their paths, in order.
    ///
    /// # Errors
    /// A build fails.
    pub fn realise(&self, derived: &[Derived]) -> Result<Vec<StorePath>, Error> {
        if !self.options.build.check
            && let Some(paths) = self.all_there(derived)?
        {
            return Ok(paths);
        }
        self.instantiate(derived)?;
        let realised = self.builder.realise(&wanted(derived))?;
        let outputs = derived.iter().zip(realised).map(|(one, realised)| realised.outputs[&one.output].clone());
        Ok(outputs.collect())
    }

    /// What [`Project::realise`] would do.
    ///
    /// # Errors
    /// The store fails.
    pub fn outlook(&self, derived: &[Derived]) -> Result<Outlook, Error> {
        if self.all_there(derived)?.is_some() {
            return Ok(Outlook::default());
        }
        self.instantiate(derived)?;
        Ok(self.builder.outlook(&wanted(derived))?)
    }

    /// The outputs if all of them are in the store: then nothing need be written or asked of the builder.
    fn all_there(&self, derived: &[Derived]) -> Result<Option<Vec<StorePath>>, Error> {
        let mut paths = Vec::with_capacity(derived.len());
        for one in derived {
            match &one.path {
                // The root first, so that nobody collects the object between the question and its use.
                Some(path) => {
                    self.store.add_temp_root(path)?;
                    if !self.store.is_valid(path)? {
                        return Ok(None);
                    }
                    paths.push(path.clone());
                }
                None => return Ok(None),
            }
        }
        Ok(Some(paths))
    }

    /// The store object of the running binary.
    pub(crate) fn own_object(&self) -> Result<StorePath, Error> {
        if let Some(path) = self.own_object.get() {
            return Ok(path.clone());
        }
        let path = own_binary::store_object(&self.store, &self.options.binary, &self.options.cache)?;
        Ok(self.own_object.get_or_init(|| path).clone())
    }

    fn evaluator(&self, target: &Target) -> Evaluator {
        let options = &self.options;
        // A flake is evaluated purely, everything else as the user's own files; so is a flake with the user's own packages.
        let locked = matches!(target.source, Source::Flake { .. }) && options.packages == Packages::BuiltIn;
        let pure = options.access == Access::StoreOnly || (locked && !options.impure);
        let settings = Settings {
            pure,
            system: options.system.clone(),
            current_time: std::time::UNIX_EPOCH.elapsed().map_or(0, |time| time.as_secs() as i64),
            search_path: options.search_path.clone(),
            home: options.home.clone(),
            ..Settings::default()
        };
        let host = ProjectHost {
            store: Arc::clone(&self.store),
            builder: Arc::clone(&self.builder),
            fetcher: Arc::clone(&self.fetcher),
            directory: options.directory.clone(),
            progress: Arc::clone(&options.progress),
            variables: Arc::clone(&options.variables),
            access: if pure { Access::StoreOnly } else { Access::Machine },
            sources: Sources::new(options.write),
            derivations: Arc::clone(&self.derivations),
        };
        Evaluator::new(Box::new(host), settings)
    }
}

/// The fetcher as `builtin:fetchurl` needs it.
struct Downloads(Arc<Fetcher>);

impl build::Fetcher for Downloads {
    fn fetch(
        &self,
        url: &str,
        out: &mut dyn std::io::Write,
        progress: &dyn Progress,
        task: TaskId,
    ) -> Result<(), BuiltinError> {
        Ok(self.0.download(url, out, &mut |bytes| progress.advance(task, bytes))?)
    }
}

/// Whether the names are those of the built-in set: no other has both of these.
fn is_built_in_set(names: &[Symbol]) -> bool {
    ["userland", "dockerTools"].iter().all(|name| names.contains(&Symbol::intern(name)))
}

fn wanted(derived: &[Derived]) -> Vec<Wanted> {
    derived.iter().map(|one| Wanted::some(one.derivation.clone(), BTreeSet::from([one.output.clone()]))).collect()
}
