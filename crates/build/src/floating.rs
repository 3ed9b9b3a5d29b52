//! Outputs whose paths only building tells, from the builder's hands into the store.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use nix_formats::derivation::{Output, OutputName};
use nix_formats::hash::HashAlgo;
use nix_formats::self_hash::Places;
use store::fs_nar::TreeError;
use store::{LocalStore, PathInfo, Store, StoreError};

use crate::builder::Builder;
use crate::content_addressed::{Addressed, Made, address};
use crate::error::BuildError;
use crate::job::Job;
use crate::{checks, outputs};

/// Gives what the builder has made canonical metadata; how its content is hashed, for outputs of which nothing was said
/// as for those of sources.
pub(crate) fn take_over(
    job: &Job<'_>,
    made: &BTreeMap<OutputName, PathBuf>,
) -> Result<BTreeMap<OutputName, Made>, BuildError> {
    let mut all = BTreeMap::new();
    for (name, real) in made {
        let metadata = outputs::take_over(job, name, real)?;
        let (method, algo) = match &job.node.derivation.outputs[name] {
            Output::Fixed(address) => (address.method, address.hash.algo()),
            Output::Floating { method, algo } | Output::Impure { method, algo } => (*method, *algo),
            Output::InputAddressed(_) | Output::Deferred => {
                (nix_formats::content_address::Method::Nar, HashAlgo::Sha256)
            }
        };
        outputs::check_form(job, name, method, &metadata)?;
        let candidates = match job.rules.unscanned.contains(name) {
            true => Default::default(),
            false => job.inputs.clone(),
        };
        let stand_in = job.node.outputs[name].clone();
        all.insert(name.clone(), Made { stand_in, real: real.clone(), method, algo, candidates });
    }
    Ok(all)
}

/// Moves the outputs of a derivation to the places that their content gives them, and notes down where they are. With
/// `again`, they must be what was noted before.
pub(crate) fn install(
    builder: &Builder,
    job: &Job<'_>,
    made: &BTreeMap<OutputName, PathBuf>,
    again: bool,
) -> Result<(), BuildError> {
    let made = take_over(job, made)?;
    let mut addressed = address(&job.node.path, &made, Places::Counted)?;
    for one in addressed.values_mut() {
        one.info.ultimate = true;
    }
    let infos: BTreeMap<OutputName, PathInfo> =
        addressed.iter().map(|(name, one)| (name.clone(), one.info.clone())).collect();
    checks::check(job, &infos)?;
    for one in in_order(&addressed) {
        put(&builder.store, one)?;
    }
    if again {
        compare(builder, job, &infos)?;
    }
    for (name, info) in &infos {
        builder.realisations.note(&job.node.path, name, &info.path)?;
    }
    Ok(())
}

fn compare(builder: &Builder, job: &Job<'_>, infos: &BTreeMap<OutputName, PathInfo>) -> Result<(), BuildError> {
    for (name, info) in infos {
        let before = builder.realisations.find(&job.node.path, name);
        let Some(before) = before.filter(|before| *before != info.path) else { continue };
        let (registered, rebuilt) = (builder.store.real_path(&before), builder.store.real_path(&info.path));
        let differences = crate::difference::differences(&registered, &rebuilt)
            .map_err(BuildError::file("compare the output with", &rebuilt))?;
        let (derivation, output) = (job.node.path.clone(), name.clone());
        return Err(BuildError::NotDeterministic { derivation, output, registered, rebuilt, differences });
    }
    Ok(())
}

/// The outputs, each after those that it refers to.
pub(crate) fn in_order(addressed: &BTreeMap<OutputName, Addressed>) -> Vec<&Addressed> {
    let mut waiting: Vec<&Addressed> = addressed.values().collect();
    let mut ordered = Vec::with_capacity(waiting.len());
    while !waiting.is_empty() {
        let needs = |one: &Addressed, other: &Addressed| {
            one.info.path != other.info.path && one.info.references.contains(&other.info.path)
        };
        // What refers to itself only through others was refused when the paths were found.
        let position = waiting.iter().position(|one| !waiting.iter().any(|other| needs(one, other))).unwrap_or(0);
        ordered.push(waiting.remove(position));
    }
    ordered
}

fn put(store: &LocalStore, one: &Addressed) -> Result<(), BuildError> {
    let path = &one.info.path;
    store.add_temp_root(path)?;
    let Some(tree) = one.unchanged() else { return send(store, one) };
    let locks = store.lock(std::slice::from_ref(path))?;
    Ok(store.install(&locks, &[(tree.to_owned(), one.info.clone())])?)
}

/// Adds an object from its archive, which is made while it is read.
pub(crate) fn send(store: &dyn Store, one: &Addressed) -> Result<(), BuildError> {
    let pipe_error = BuildError::file("make a pipe for", one.info.path.to_absolute());
    let (mut reader, mut writer) = io::pipe().map_err(pipe_error)?;
    std::thread::scope(|scope| {
        let dumping = scope.spawn(move || {
            let mut out = io::BufWriter::with_capacity(1 << 16, &mut writer);
            one.write_nar(&mut out)?;
            io::Write::flush(&mut out).map_err(nix_formats::nar::NarError::Io)?;
            Ok::<_, TreeError>(())
        });
        let added = store.add_nar(&one.info, &mut reader);
        // The writer must not wait for a reader that has given up.
        drop(reader);
        match dumping.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)) {
            Err(error) if added.is_ok() => Err(StoreError::Tree(error)),
            _ => added,
        }
    })?;
    Ok(())
}
