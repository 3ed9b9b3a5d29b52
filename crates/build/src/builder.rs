//! The entry to this crate: realises derivations.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use nix_formats::derivation::OutputName;
use nix_formats::narinfo::NarInfo;
use nix_formats::store_path::StorePath;
use store::cache::Substituters;
use store::progress::Progress;
use store::{LocalStore, Store};

use crate::buildenv::BuildEnv;
use crate::builtin::Builtin;
use crate::dynamic::{self, Rounds};
use crate::error::BuildError;
use crate::farm::{Farm, Seat};
use crate::graph::Graph;
use crate::needs::Needs;
use crate::options::Options;
use crate::realisations::Realisations;
use crate::schedule::{self, Attempt, Work};
use crate::substitute::Substitutes;
use crate::traces::Traces;
use crate::workplace::Workplace;
use crate::{job, remote};

/// Where notes are, below a store's state.
const REALISATIONS: &str = "wharf-realisations";

/// Realises derivations in a store: builds what is missing there, or takes it.
pub trait Realise: Send + Sync {
    /// Makes sure that the wanted outputs are in the store, building what is missing. The result is in the order of
    /// `wanted`.
    ///
    /// # Errors
    /// The first failure; all of them, as [`BuildError::Several`], with [`Options::keep_going`].
    fn realise(&self, wanted: &[Wanted]) -> Result<Vec<Realised>, BuildError>;

    /// What [`Realise::realise`] would do. Nothing is built or taken.
    ///
    /// # Errors
    /// A derivation is missing or of no use.
    fn outlook(&self, wanted: &[Wanted]) -> Result<Outlook, BuildError>;
}

/// Builds derivations into a store of this program.
pub struct Builder {
    pub(crate) store: Arc<LocalStore>,
    pub(crate) place: Workplace,
    pub(crate) substituters: Arc<Substituters>,
    pub(crate) farm: Farm,
    /// Where the outputs are of which only building told the paths.
    pub(crate) realisations: Realisations,
    pub(crate) traces: Traces,
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
#[derive(Debug, Default)]
pub struct Outlook {
    /// The derivations that would be built, in an order in which they could be.
    pub build: Vec<StorePath>,
    /// The objects that would be taken from binary caches.
    pub take: Vec<Taken>,
    /// How many bytes would be downloaded for them.
    pub download_size: u64,
    /// How many bytes they would take.
    pub nar_size: u64,
}

/// An object that would be taken.
#[derive(Debug)]
pub struct Taken {
    /// The object.
    pub path: StorePath,
    /// The size of its archive, in bytes, where it is known.
    pub download_size: Option<u64>,
    /// The size of its NAR, in bytes, where it is known.
    pub nar_size: Option<u64>,
    /// What its cache says of it; absent where a daemon takes it.
    pub info: Option<NarInfo>,
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
        let (log_dir, kept) = (store.log_dir(), store.state_dir().join("wharf-failed"));
        let place = Workplace::new(store.clone(), options, log_dir, kept);
        let realisations = Self::realisations(&store);
        let builder = Builder {
            store,
            place,
            substituters: Arc::default(),
            farm: Farm::default(),
            realisations,
            traces: Traces::default(),
        };
        builder.with_builtin(Box::new(BuildEnv))
    }

    /// The notes, in a store, of what outputs are of which only building told the paths.
    pub fn realisations(store: &LocalStore) -> Realisations {
        Realisations::new(store.state_dir().join(REALISATIONS))
    }

    /// The same for the store below a directory, which need not be opened for it.
    pub fn realisations_below(root: &std::path::Path) -> Realisations {
        Realisations::new(root.join("nix/var/nix").join(REALISATIONS))
    }

    /// Adds a builtin builder, in place of one with the same name.
    pub fn with_builtin(mut self, builtin: Box<dyn Builtin>) -> Builder {
        self.place.add(builtin);
        self
    }

    /// Takes from these binary caches what they have, instead of building it.
    pub fn with_substituters(mut self, substituters: Arc<Substituters>) -> Builder {
        self.substituters = substituters;
        self
    }

    /// Sends to these machines what they take, instead of building it here.
    pub fn with_farm(mut self, farm: Farm) -> Builder {
        self.farm = farm;
        self
    }

    /// Reports to this observer.
    pub fn with_progress(mut self, progress: Arc<dyn Progress>) -> Builder {
        self.place.progress = progress;
        self
    }

    /// How it builds.
    pub fn options(&self) -> &Options {
        &self.place.options
    }

    /// Builds every node of a graph, here or on other machines.
    fn build_all(&self, graph: &Graph) -> Result<(), BuildError> {
        let needs: Vec<OnceLock<Needs>> = graph.nodes.iter().map(|_| OnceLock::new()).collect();
        let options = &self.place.options;
        let work = Work {
            nodes: &graph.nodes,
            threads: options.jobs.max(1) + self.farm.slots(),
            keep_going: options.keep_going,
            seat: &|number| {
                let node = &graph.nodes[number];
                self.farm.seat(&node.path, needs[number].get_or_init(|| Needs::of(&node.derivation)), options)
            },
            build: &|number, seat: &Seat<'_>, cancelled| match seat.station() {
                Some(station) => remote::run(self, &graph.nodes[number], seat, station, cancelled),
                None => job::run(self, &graph.nodes[number], cancelled).map(|()| Attempt::Done),
            },
        };
        work.run()
    }

    /// Takes what the caches have, until all that is left has to be built. `None` if something cannot be built as it is.
    fn substitute(&self, wanted: &[Wanted], again: bool) -> Result<Option<Graph>, BuildError> {
        let mut substitutes = Substitutes::default();
        loop {
            let Some(graph) = Graph::new(self, wanted, again, &substitutes)? else { return Ok(None) };
            if graph.offered.is_empty() {
                return Ok(Some(graph));
            }
            substitutes.take(self, &graph.offered)?;
        }
    }

    /// Builds what a graph says.
    fn carry_out(&self, mut graph: Graph) -> Result<Vec<Realised>, BuildError> {
        let mut realised = std::mem::take(&mut graph.realised);
        self.build_all(&graph)?;
        for one in realised.iter_mut().filter(|one| graph.floating.contains(&one.derivation)) {
            let names = one.outputs.keys().cloned().collect();
            let wanted = Wanted::some(one.derivation.clone(), names);
            if let Some(found) = dynamic::realised(self, &wanted)? {
                *one = found;
            }
        }
        for output in realised.iter().flat_map(|realised| realised.outputs.values()) {
            self.store.add_temp_root(output)?;
        }
        Ok(realised)
    }

    /// Realises derivations that can all be built as they are.
    pub(crate) fn realise_known(&self, wanted: &[Wanted], again: bool) -> Result<Vec<Realised>, BuildError> {
        match self.substitute(wanted, again)? {
            Some(graph) => self.carry_out(graph),
            None => Err(BuildError::Derivation {
                derivation: wanted[0].derivation.clone(),
                problem: "it needs an output whose path is not known even after it was built".to_owned(),
            }),
        }
    }

    /// What would be done where only building tells some of the paths: as far as that can be known.
    fn vague_outlook(&self, wanted: &[Wanted]) -> Result<Outlook, BuildError> {
        let rounds = Rounds::new(self, wanted, false)?;
        let mut outlook = self.known_outlook(&rounds.known_inputs())?.unwrap_or_default();
        outlook.build.extend(rounds.rounds.into_iter().flatten());
        for wanted in wanted {
            if !outlook.build.contains(&wanted.derivation) {
                outlook.build.push(wanted.derivation.clone());
            }
        }
        Ok(outlook)
    }

    /// What would be built, in an order in which it could be.
    ///
    /// # Errors
    /// A derivation is missing or of no use.
    pub fn missing(&self, wanted: &[Wanted]) -> Result<Vec<StorePath>, BuildError> {
        Ok(self.outlook(wanted)?.build)
    }
}

impl Builder {
    /// What would be done, if everything can be built as it is.
    fn known_outlook(&self, wanted: &[Wanted]) -> Result<Option<Outlook>, BuildError> {
        let mut substitutes = Substitutes::default();
        loop {
            let graph = Graph::new(self, wanted, self.place.options.check, &substitutes)?;
            let Some(mut graph) = graph else { return Ok(None) };
            let take = self.substituters.plan(graph.offered.iter().cloned(), &*self.store, &*self.place.progress)?;
            // What cannot be taken whole has to be built, and its inputs may then be taken or built.
            let incomplete = take.incomplete();
            if !substitutes.refuse(graph.offered.intersection(&incomplete)) {
                let order = schedule::order(&mut graph.nodes);
                let build = order.into_iter().map(|node| graph.nodes[node].path.clone()).collect();
                let (download_size, nar_size) = (take.download_size(), take.nar_size());
                let take = take.objects().map(|info| Taken {
                    path: info.path.clone(),
                    download_size: info.file_size,
                    nar_size: Some(info.nar_size),
                    info: Some(info.clone()),
                });
                return Ok(Some(Outlook { build, take: take.collect(), download_size, nar_size }));
            }
        }
    }
}

impl Realise for Builder {
    fn realise(&self, wanted: &[Wanted]) -> Result<Vec<Realised>, BuildError> {
        let again = self.place.options.check;
        if let Some(graph) = self.substitute(wanted, again)? {
            return self.carry_out(graph);
        }
        Rounds::new(self, wanted, true)?.run(self)?;
        // What was built in a round is not built again, whatever is asked for.
        let mut all = Vec::with_capacity(wanted.len());
        for wanted in wanted {
            all.push(match dynamic::realised(self, wanted)? {
                Some(realised) => realised,
                None => self.realise_known(std::slice::from_ref(wanted), again)?.remove(0),
            });
        }
        Ok(all)
    }

    fn outlook(&self, wanted: &[Wanted]) -> Result<Outlook, BuildError> {
        match self.known_outlook(wanted)? {
            Some(outlook) => Ok(outlook),
            None => self.vague_outlook(wanted),
        }
    }
}
