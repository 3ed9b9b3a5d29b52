//! The evaluator, the store and the builder of one command, joined.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use build::{Outlook, Wanted};
use eval::{ErrorKind, Evaluator, Host, Interp, Settings, Statistics, Symbol, Value};
use nix_formats::store_path::StorePath;
use store::Store;
use store::progress::{Activity, Outcome, Task};

use crate::derivations::Derivations;
use crate::derived::{self, Derived};
use crate::elsewhere::Elsewhere;
use crate::error::Error;
use crate::eval_cache::{EvalCache, Key, Recorder, Recording};
use crate::evaluate::CALL_ORIGIN;
use crate::files::{Access, Files};
use crate::host::ProjectHost;
use crate::native::Native;
use crate::options::Options;
use crate::own_binary;
use crate::packages::{self, Packages};
use crate::pins::Pins;
use crate::services::Services;
use crate::sources::Sources;
use crate::target::{Source, Target};

/// A store, a builder, and an evaluator over both.
pub struct Project {
    pub(crate) options: Arc<Options>,
    pub(crate) services: Arc<Services>,
    pub(crate) derivations: Arc<Derivations>,
    pub(crate) own_object: OnceLock<StorePath>,
    pub(crate) history: Arc<Mutex<History>>,
}

/// What a project has evaluated so far.
#[derive(Default)]
pub(crate) struct History {
    /// Targets whose derivations were known from the cache, so that they may not be in the store, and for which system.
    from_cache: Vec<(Target, String)>,
    /// The last evaluation's counters.
    statistics: Option<Statistics>,
}

impl Project {
    /// A project; its store is opened, and made if it is not there, when it is first needed.
    pub fn new(options: Options) -> Self {
        let options = Arc::new(options);
        Self {
            services: Arc::new(Services::new(Arc::clone(&options))),
            options,
            derivations: Arc::default(),
            own_object: OnceLock::new(),
            history: Arc::default(),
        }
    }

    /// The store.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn store(&self) -> Result<&Arc<dyn Store>, Error> {
        Ok(&self.services.open()?.store)
    }

    /// Evaluates a target and works on its value, on a thread with a deep stack. Both are done anew if something has to be
    /// built on the way, from sources that a project that writes nothing has not written.
    ///
    /// # Errors
    /// The evaluation fails, or `work` does.
    pub fn evaluate<R: Send>(
        &self,
        target: &Target,
        work: impl Fn(&Interp, Value) -> Result<R, Error> + Sync,
    ) -> Result<R, Error> {
        let packages = self.packages_for(target)?;
        self.evaluate_with(target, |interp| work(interp, self.value(interp, target, &packages)?))
    }

    /// Runs `work` on a thread with a deep stack, shown as the evaluation of the target.
    pub(crate) fn evaluate_with<R: Send>(
        &self,
        target: &Target,
        work: impl Fn(&Interp) -> Result<R, Error> + Sync,
    ) -> Result<R, Error> {
        let pure = self.is_pure(target);
        let evaluator = self.evaluator(pure, None);
        self.shown(target, &evaluator, |evaluator| match evaluator.run(&work) {
            Err(_) if self.derivations.lacked_inputs() => {
                self.with(|options| options.write = true).evaluator(pure, None).run(&work)
            }
            result => result,
        })
    }

    /// The same project with other options; what it has opened and evaluated is shared.
    pub(crate) fn with(&self, change: impl FnOnce(&mut Options)) -> Project {
        let mut options = Options::clone(&self.options);
        change(&mut options);
        Project {
            options: Arc::new(options),
            services: Arc::clone(&self.services),
            derivations: Arc::clone(&self.derivations),
            own_object: self.own_object.clone(),
            history: Arc::clone(&self.history),
        }
    }

    /// Runs `work` with an interpreter for expressions of the command line.
    ///
    /// # Errors
    /// Those of `work`.
    pub fn interpret<R: Send>(&self, work: impl FnOnce(&Interp) -> Result<R, Error> + Send) -> Result<R, Error> {
        let evaluator = self.evaluator(self.options.evaluation.pure, None);
        let result = evaluator.run(work);
        self.history().statistics = Some(evaluator.statistics());
        result
    }

    /// Shows an evaluation while it lasts, keeps its counters, and explains why it fails.
    fn shown<R>(
        &self,
        target: &Target,
        evaluator: &Evaluator,
        work: impl FnOnce(&Evaluator) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let task = Task::start(&*self.options.progress, Activity::Evaluate, &target.describe(), None);
        let result = work(evaluator).map_err(|error| self.explain(target, error));
        self.history().statistics = Some(evaluator.statistics());
        if result.is_ok() {
            task.finish(Outcome::Done);
        }
        result
    }

    /// Adds to a failed evaluation what the evaluator cannot know: that the built-in set is small on purpose.
    fn explain(&self, target: &Target, error: Error) -> Error {
        let Error::Eval { error, help: None } = error else { return error };
        // Without the set nobody has looked for the name in it.
        let uses_built_in = self.own_object.get().is_some()
            && self.packages_for(target).is_ok_and(|packages| packages == Packages::BuiltIn);
        let name = match &error.kind {
            ErrorKind::MissingAttr { name, candidates } if is_built_in_set(candidates) => Some(name),
            ErrorKind::UndefinedVariable { name, .. } => Some(name),
            // Of functions it is the target's own that is called with packages.
            ErrorKind::WrongArgument { name, .. } if is_in_call(error.pos) => Some(name),
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

    /// The derivations of a target, taken from the evaluation cache if nothing has changed that decides about them. Those of
    /// images that are wanted for several systems have [`Derived::platforms`].
    ///
    /// # Errors
    /// The evaluation fails, or its value is none.
    pub fn derivations(&self, target: &Target) -> Result<Vec<Derived>, Error> {
        let derived = self.derivations_of_system(target)?;
        match derived.iter().all(|one| one.systems.is_empty()) {
            true => Ok(derived),
            false => self.for_their_systems(target, derived),
        }
    }

    /// The derivations of a target for the system that is evaluated for.
    pub(crate) fn derivations_of_system(&self, target: &Target) -> Result<Vec<Derived>, Error> {
        let packages = self.packages_for(target)?;
        let pure = self.is_pure(target);
        let key = if self.options.use_cache { self.cache_key(target, &packages, pure) } else { None };
        let Some(key) = key else { return self.evaluate_derivations(target, &packages, None) };
        let cache = EvalCache::new(&self.options.cache);
        if let Some(derived) = cache.find(&key, &self.host(pure)) {
            self.history().from_cache.push((target.clone(), self.options.evaluation.system.clone()));
            return Ok(derived);
        }
        let recording = Arc::new(Recording::new());
        let derived = self.evaluate_derivations(target, &packages, Some(&recording))?;
        cache.keep(&key, &recording, &derived);
        Ok(derived)
    }

    fn evaluate_derivations(
        &self,
        target: &Target,
        packages: &Packages,
        recording: Option<&Arc<Recording>>,
    ) -> Result<Vec<Derived>, Error> {
        let evaluator = self.evaluator(self.is_pure(target), recording);
        self.shown(target, &evaluator, |evaluator| {
            let roots = evaluator.run(|interp| derived::roots(interp, self.value(interp, target, packages)?))?;
            derived::collect(evaluator, &roots, &target.describe())
        })
    }

    /// All that decides about a target's derivations beside what its evaluation reads. `None` where that is not known.
    fn cache_key(&self, target: &Target, packages: &Packages, pure: bool) -> Option<Key> {
        let options = &self.options;
        let place = match &target.source {
            // Where a flake begins is found out before it is read.
            Source::Flake { reference } => fetch::locate(&options.directory, reference).ok()?.0.to_string(),
            Source::File(_) | Source::Text(_) => String::new(),
        };
        Some(Key::of(&[
            env!("CARGO_PKG_VERSION").to_owned(),
            own_binary::identity(&options.binary).ok()?,
            format!("{target:?}"),
            place,
            format!("{packages:?}"),
            format!("{:?}", options.evaluation),
            format!("{pure} {} {:?} {}", options.restricted, options.allowed_uris, options.nixpkgs_docker_tools),
            format!("{:?}", options.arguments),
            format!("{:?}", options.locks),
            format!("{:?} {:?} {:?}", options.directory, options.data, options.daemon.as_ref().map(|one| &one.address)),
            Pins::expression_for(&options.directory).ok()?,
        ]))
    }

    /// Makes sure that the derivations are in the store, as `nix-instantiate` does.
    ///
    /// # Errors
    /// The store fails.
    pub fn instantiate(&self, derived: &[Derived]) -> Result<(), Error> {
        let paths: Vec<_> = derived.iter().map(|one| one.derivation.clone()).collect();
        let store = self.store()?;
        if self.derivations.write(&paths, &**store)?.is_empty() {
            return Ok(());
        }
        // The cache knew them, and the store does not, or not any more.
        let targets = std::mem::take(&mut self.history().from_cache);
        for (target, system) in targets {
            self.for_system(&system).evaluate_derivations(&target, &self.packages_for(&target)?, None)?;
        }
        self.derivations.write(&paths, &**store)?;
        Ok(())
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
        if !self.options.build.check {
            self.pack_what_comes(derived)?;
        }
        let realised = self.services.open()?.builder.realise(&wanted(derived))?;
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
        Ok(self.services.open()?.builder.outlook(&wanted(derived))?)
    }

    /// The outputs if all of them are in the store: then nothing need be written or asked of the builder.
    fn all_there(&self, derived: &[Derived]) -> Result<Option<Vec<StorePath>>, Error> {
        let store = self.store()?;
        let mut paths = Vec::with_capacity(derived.len());
        for one in derived {
            match &one.path {
                // The root first, so that nobody collects the object between the question and its use.
                Some(path) => {
                    store.add_temp_root(path)?;
                    if !store.is_valid(path)? {
                        return Ok(None);
                    }
                    paths.push(path.clone());
                }
                None => return Ok(None),
            }
        }
        Ok(Some(paths))
    }

    /// What the last evaluation did; `None` if there was none, because the evaluation cache knew the result.
    pub fn statistics(&self) -> Option<Statistics> {
        self.history().statistics
    }

    /// The store object of the running binary.
    pub(crate) fn own_object(&self) -> Result<StorePath, Error> {
        if let Some(path) = self.own_object.get() {
            return Ok(path.clone());
        }
        let path = own_binary::store_object(&**self.store()?, &self.options.binary, &self.options.cache)?;
        Ok(self.own_object.get_or_init(|| path).clone())
    }

    /// Where `pkgs` comes from for a target: what the user says, the lock file beside it, the search path, the binary.
    pub(crate) fn packages_for(&self, target: &Target) -> Result<Packages, Error> {
        match &self.options.packages {
            Some(packages) => Ok(packages.clone()),
            None => packages::of_target(target, &self.options.evaluation.search_path, &self.options.directory),
        }
    }

    /// A flake is evaluated purely, everything else as the user's own files; so is a flake with the user's own packages.
    fn is_pure(&self, target: &Target) -> bool {
        let locked = matches!(target.source, Source::Flake { .. }) && self.options.packages.is_none();
        self.options.evaluation.pure || (locked && !self.options.impure)
    }

    fn evaluator(&self, pure: bool, recording: Option<&Arc<Recording>>) -> Evaluator {
        let directory = self.options.directory.clone();
        let settings = Settings { pure, directory, ..self.options.evaluation.clone() };
        let inner = self.host(pure);
        let host: Box<dyn Host> = match recording {
            Some(recording) => Box::new(Recorder { inner, recording: Arc::clone(recording) }),
            None => Box::new(inner),
        };
        Evaluator::new(host, settings)
    }

    fn host(&self, pure: bool) -> ProjectHost {
        let options = &self.options;
        let access = match (pure, options.restricted) {
            (true, _) => Access::StoreOnly,
            (false, true) => {
                let entries = options.evaluation.search_path.iter();
                Access::below(entries.map(|entry| options.directory.join(&entry.path)))
            }
            (false, false) => Access::Machine,
        };
        ProjectHost {
            services: Arc::clone(&self.services),
            directory: options.directory.clone(),
            progress: Arc::clone(&options.progress),
            variables: Arc::clone(&options.variables),
            files: Files { store_directory: options.store_directory(), access, elsewhere: Elsewhere::default() },
            locks: options.locks.clone(),
            allowed_uris: options.allowed_uris.clone(),
            sources: Sources::new(options.write),
            derivations: Arc::clone(&self.derivations),
            native: (!options.nixpkgs_docker_tools).then(|| Native {
                services: Arc::clone(&self.services),
                binary: options.binary.clone(),
                cache: options.cache.clone(),
                directory: options.directory.clone(),
            }),
        }
    }

    fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a place is in the text that calls the target.
fn is_in_call(pos: eval::Pos) -> bool {
    pos.resolve().is_some_and(|(source, _)| source.origin == eval::Origin::Text(CALL_ORIGIN.to_owned()))
}

/// Whether the names are those of the built-in set: no other has both of these.
fn is_built_in_set(names: &[Symbol]) -> bool {
    ["userland", "dockerTools"].iter().all(|name| names.contains(&Symbol::intern(name)))
}

fn wanted(derived: &[Derived]) -> Vec<Wanted> {
    derived.iter().map(|one| Wanted::some(one.derivation.clone(), BTreeSet::from([one.output.clone()]))).collect()
}
