//! The entry to this crate: realises derivations.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use nix_formats::derivation::OutputName;
use nix_formats::store_path::StorePath;
use store::cache::{Plan, Substituters};
use store::progress::{Progress, Silent};
use store::{LocalStore, Store};

use crate::buildenv::BuildEnv;
use crate::builtin::Builtin;
use crate::error::BuildError;
use crate::graph::Graph;
use crate::options::Options;
use crate::schedule;
use crate::substitute::Substitutes;

/// Builds derivations into a store.
pub struct Builder {
    pub(crate) store: Arc<LocalStore>,
    pub(crate) options: Options,
    pub(crate) builtins: BTreeMap<String, Box<dyn Builtin>>,
    pub(crate) progress: Arc<dyn Progress>,
    pub(crate) substituters: Arc<Substituters>,
}

/// Outputs of a derivation that are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The derivation, which must be in the store.
    pub derivation: StorePath,
    /// Which of its outputs; all when absent.
    pub outputs: Option<BTreeSet<OutputName>>,
}

/// Outputs that are in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Realised {
    /// The derivation.
    pub derivation: StorePath,
    /// The wanted outputs by name.
    pub outputs: BTreeMap<OutputName, StorePath>,
}

/// What would be done to realise something.
#[derive(Default)]
pub struct Outlook {
    /// The derivations that would be built, in an order in which they could be.
    pub build: Vec<StorePath>,
    /// The objects that would be taken from binary caches.
    pub take: Plan,
}

impl Wanted {
    /// Every output of a derivation.
    pub fn all(derivation: StorePath) -> Wanted {
        Wanted { derivation, outputs: None }
    }

    /// Some outputs of a derivation.
    pub fn some(derivation: StorePath, outputs: BTreeSet<OutputName>) -> Wanted {
        Wanted { derivation, outputs: Some(outputs) }
    }
}

impl Builder {
    /// A builder that knows `builtin:buildenv` and no other builtin builder, and reports to nobody.
    pub fn new(store: Arc<LocalStore>, options: Options) -> Builder {
        let builder = Builder {
            store,
            options,
            builtins: BTreeMap::new(),
            progress: Arc::new(Silent),
            substituters: Arc::default(),
        };
        builder.with_builtin(Box::new(BuildEnv))
    }

    /// Adds a builtin builder, in place of one with the same name.
    pub fn with_builtin(mut self, builtin: Box<dyn Builtin>) -> Builder {
        self.builtins.insert(builtin.name().to_owned(), builtin);
        self
    }

    /// Takes from these binary caches what they have, instead of building it.
    pub fn with_substituters(mut self, substituters: Arc<Substituters>) -> Builder {
        self.substituters = substituters;
        self
    }

    /// Reports to this observer.
    pub fn with_progress(mut self, progress: Arc<dyn Progress>) -> Builder {
        self.progress = progress;
        self
    }

    /// How it builds.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Makes sure that the wanted outputs are in the store, building what is missing. The result is in the order of
    /// `wanted`.
    ///
    /// # Errors
    /// The first failure; all of them, as [`BuildError::Several`], with [`Options::keep_going`].
    pub fn realise(&self, wanted: &[Wanted]) -> Result<Vec<Realised>, BuildError> {
        let mut graph = self.substitute(wanted)?;
        let realised = std::mem::take(&mut graph.realised);
        schedule::run(self, graph)?;
        for output in realised.iter().flat_map(|realised| realised.outputs.values()) {
            self.store.add_temp_root(output)?;
        }
        Ok(realised)
    }

    /// Takes what the caches have, until all that is left has to be built.
    fn substitute(&self, wanted: &[Wanted]) -> Result<Graph, BuildError> {
        let mut substitutes = Substitutes::default();
        loop {
            let graph = Graph::new(self, wanted, &substitutes)?;
            if graph.offered.is_empty() {
                return Ok(graph);
            }
            substitutes.take(self, &graph.offered)?;
        }
    }

    /// What [`Builder::realise`] would build, in an order in which it could be.
    ///
    /// # Errors
    /// A derivation is missing or of no use.
    pub fn missing(&self, wanted: &[Wanted]) -> Result<Vec<StorePath>, BuildError> {
        Ok(self.outlook(wanted)?.build)
    }

    /// What [`Builder::realise`] would do. Nothing is built or taken.
    ///
    /// # Errors
    /// A derivation is missing or of no use.
    pub fn outlook(&self, wanted: &[Wanted]) -> Result<Outlook, BuildError> {
        let mut substitutes = Substitutes::default();
        loop {
            let mut graph = Graph::new(self, wanted, &substitutes)?;
            let take = self.substituters.plan(graph.offered.iter().cloned(), &*self.store, &*self.progress)?;
            // What cannot be taken whole has to be built, and its inputs may then be taken or built.
            let incomplete = take.incomplete();
            if !substitutes.refuse(graph.offered.intersection(&incomplete)) {
                let order = schedule::order(&mut graph);
                let build = order.into_iter().map(|node| graph.nodes[node].path.clone()).collect();
                return Ok(Outlook { build, take });
            }
        }
    }
}
