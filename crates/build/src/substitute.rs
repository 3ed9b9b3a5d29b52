//! Taking outputs from binary caches instead of building them.

use std::collections::{BTreeMap, BTreeSet};

use nix_formats::derivation::{Derivation, Kind, OutputName};
use nix_formats::store_path::StorePath;
use store::Store;

use crate::attributes::Attributes;
use crate::builder::Builder;
use crate::error::BuildError;

/// How many builders of builders are looked at.
const LONGEST_CHAIN: usize = 64;

/// What may be taken from caches.
#[derive(Default)]
pub(crate) struct Substitutes {
    /// Objects that could not be taken, whatever a cache says.
    refused: BTreeSet<StorePath>,
}

/// Missing outputs of a derivation that may be asked for.
pub(crate) struct Candidate {
    pub outputs: Vec<StorePath>,
    /// Whether caches that nobody has named may be asked too.
    public: bool,
}

impl Substitutes {
    /// The missing outputs of a derivation, if there is any use in asking for them.
    pub fn candidate(
        &self,
        builder: &Builder,
        derivation: &Derivation,
        outputs: Vec<StorePath>,
    ) -> Result<Option<Candidate>, BuildError> {
        if outputs.iter().any(|output| self.refused.contains(output)) {
            return Ok(None);
        }
        Ok(may_ask(builder, derivation)?.map(|public| Candidate { outputs, public }))
    }

    /// Which objects the caches say the outputs of a derivation are, of which only building would tell otherwise. `None`
    /// if there is one of which none says it, or that no cache has.
    pub fn realised(
        &self,
        builder: &Builder,
        path: &StorePath,
        derivation: &Derivation,
    ) -> Result<Option<BTreeMap<OutputName, StorePath>>, BuildError> {
        let Some(public) = may_ask(builder, derivation)? else { return Ok(None) };
        let progress = &*builder.place.progress;
        let mut outputs = BTreeMap::new();
        for (name, id) in builder.traces.ids(&*builder.store, path, derivation)? {
            let Some(found) = builder.substituters.realisation(&id, public, progress) else { return Ok(None) };
            let there = builder.store.is_valid(&found)?;
            let offered = || builder.substituters.find(&found, public, progress).is_some();
            if self.refused.contains(&found) || !(there || offered()) {
                return Ok(None);
            }
            outputs.insert(name, found);
        }
        // What needs them looks there, once they are taken.
        for (name, found) in &outputs {
            builder.realisations.note(path, name, found)?;
        }
        Ok(Some(outputs))
    }

    /// Asks for all of them at the same time.
    pub fn ask<'a>(&self, builder: &Builder, candidates: impl IntoIterator<Item = &'a Candidate>) {
        let paths = candidates.into_iter().flat_map(|one| one.outputs.iter().map(|output| (output, one.public)));
        builder.substituters.ask(paths.collect::<Vec<_>>(), &*builder.place.progress);
    }

    /// Whether the caches have every one of the outputs.
    pub fn offer(&self, builder: &Builder, candidate: &Candidate) -> bool {
        let has = |path| builder.substituters.find(path, candidate.public, &*builder.place.progress).is_some();
        candidate.outputs.iter().all(has)
    }

    /// Takes objects with all that they refer to. What cannot be taken is remembered, to be built.
    pub fn take(&mut self, builder: &Builder, paths: &BTreeSet<StorePath>) -> Result<(), BuildError> {
        let (store, progress): (&dyn Store, _) = (&*builder.store, &*builder.place.progress);
        let plan = builder.substituters.plan(paths.iter().cloned(), store, progress)?;
        for error in builder.substituters.carry_out(&plan, store, progress) {
            progress.warn(&error.to_string());
        }
        for path in paths {
            if !store.is_valid(path)? {
                self.refused.insert(path.clone());
            }
        }
        Ok(())
    }

    /// Whether one of the objects could not be taken.
    pub fn has_refused(&self, paths: &BTreeSet<StorePath>) -> bool {
        !self.refused.is_disjoint(paths)
    }

    /// Remembers objects that cannot be taken; whether there is a new one among them.
    pub fn refuse<'a>(&mut self, paths: impl Iterator<Item = &'a StorePath>) -> bool {
        let before = self.refused.len();
        self.refused.extend(paths.cloned());
        self.refused.len() > before
    }
}

/// Whether the outputs of a derivation may be asked for; then, whether a public cache could have them.
fn may_ask(builder: &Builder, derivation: &Derivation) -> Result<Option<bool>, BuildError> {
    if builder.substituters.is_empty() || !allows_substitutes(derivation) {
        return Ok(None);
    }
    let public = is_public(&*builder.store, derivation)?;
    Ok((public || builder.substituters.has_named()).then_some(public))
}

fn allows_substitutes(derivation: &Derivation) -> bool {
    let attributes = Attributes::of(derivation).ok();
    // Nix takes any other text than "1" for no, but what is not there for yes.
    attributes.is_some_and(|attributes| !matches!(attributes.boolean("allowSubstitutes"), Ok(Some(false))))
}

/// Whether a public cache could have the outputs, so that one that nobody has named may be asked.
///
/// What public caches hold was built by a program that was built, and so on back to a first one that was downloaded. A
/// builder that is a source, as this program is where it serves as a shell, or that is part of this program or of this
/// machine, has left nothing in any public cache; asking would only tell strangers what is built here.
fn is_public(store: &dyn Store, derivation: &Derivation) -> Result<bool, BuildError> {
    let mut current = derivation.clone();
    for _ in 0..LONGEST_CHAIN {
        let Ok((builder, _)) = StorePath::split_absolute(&current.builder) else { return Ok(false) };
        let Some(next) = maker(store, &current, &builder)? else { return Ok(false) };
        if matches!(next.kind(), Ok(Kind::Fixed)) {
            return Ok(true);
        }
        current = next;
    }
    Ok(false)
}

/// The input derivation that has this output.
fn maker(store: &dyn Store, derivation: &Derivation, output: &StorePath) -> Result<Option<Derivation>, BuildError> {
    for (path, names) in &derivation.input_derivations {
        // Reading only those that can be it: an output has the name of its derivation, and its own behind a dash.
        if !path.derivation_name().is_some_and(|name| output.name().starts_with(name)) {
            continue;
        }
        let input = store.read_derivation(path)?;
        if names.iter().any(|name| input.output_path(name).as_ref() == Some(output)) {
            return Ok(Some(input));
        }
    }
    Ok(None)
}
