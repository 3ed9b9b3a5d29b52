//! What outputs may refer to: `allowedReferences` and its siblings, as `libstore/build/derivation-check.cc` in C++ Nix
//! checks them.

use std::collections::{BTreeMap, BTreeSet};

use nix_formats::derivation::OutputName;
use nix_formats::store_path::StorePath;
use store::PathInfo;

use crate::error::BuildError;
use crate::job::Job;
use crate::rules::{OutputCheck, Target};

/// Checks every output.
pub(crate) fn check(job: &Job<'_>, infos: &BTreeMap<OutputName, PathInfo>) -> Result<(), BuildError> {
    for (name, info) in infos {
        if let Some(check) = job.rules.checks.of(name) {
            Checker { job, infos, name, info, check }.run()?;
        }
    }
    Ok(())
}

struct Checker<'a> {
    job: &'a Job<'a>,
    infos: &'a BTreeMap<OutputName, PathInfo>,
    name: &'a str,
    info: &'a PathInfo,
    check: &'a OutputCheck,
}

impl Checker<'_> {
    fn run(&self) -> Result<(), BuildError> {
        let check = self.check;
        self.limit("", self.info.nar_size, check.max_size)?;
        self.refuse_outside(&self.info.references, check.allowed_references.as_ref())?;
        self.refuse_inside(&self.info.references, &check.disallowed_references)?;
        let deep = check.max_closure_size.is_some()
            || check.allowed_requisites.is_some()
            || !check.disallowed_requisites.is_empty();
        if !deep {
            return Ok(());
        }
        let (mut closure, size) = self.closure()?;
        self.limit("closure ", size, check.max_closure_size)?;
        if check.ignore_self {
            closure.remove(&self.info.path);
        }
        self.refuse_outside(&closure, check.allowed_requisites.as_ref())?;
        self.refuse_inside(&closure, &check.disallowed_requisites)
    }

    fn limit(&self, what: &str, size: u64, limit: Option<u64>) -> Result<(), BuildError> {
        match limit {
            Some(limit) if size > limit => {
                Err(self.job.reject(self.name, format!("its {what}size is {size} bytes; the limit is {limit} bytes")))
            }
            _ => Ok(()),
        }
    }

    fn refuse_outside(&self, used: &BTreeSet<StorePath>, allowed: Option<&BTreeSet<Target>>) -> Result<(), BuildError> {
        let Some(allowed) = allowed else { return Ok(()) };
        let allowed = self.paths(allowed)?;
        self.refuse(used.difference(&allowed))
    }

    fn refuse_inside(&self, used: &BTreeSet<StorePath>, disallowed: &BTreeSet<Target>) -> Result<(), BuildError> {
        let disallowed = self.paths(disallowed)?;
        self.refuse(used.intersection(&disallowed))
    }

    fn refuse<'p>(&self, bad: impl Iterator<Item = &'p StorePath>) -> Result<(), BuildError> {
        let bad: Vec<String> = bad.map(|path| format!("\n  {}", path.to_absolute())).collect();
        match bad.is_empty() {
            true => Ok(()),
            false => Err(self.job.reject(self.name, format!("it is not allowed to refer to{}", bad.concat()))),
        }
    }

    fn paths(&self, targets: &BTreeSet<Target>) -> Result<BTreeSet<StorePath>, BuildError> {
        let path = |target: &Target| match target {
            Target::Path(path) => Ok(path.clone()),
            Target::Output(output) => self.infos.get(output).map(|info| info.path.clone()).ok_or_else(|| {
                let known: Vec<&str> = self.infos.keys().map(String::as_str).collect();
                let problem = format!("its check names the output '{output}'; the outputs are {}", known.join(", "));
                self.job.reject(self.name, problem)
            }),
        };
        targets.iter().map(path).collect()
    }

    /// Everything that the output refers to, and its size. Other outputs are not in the store yet.
    fn closure(&self) -> Result<(BTreeSet<StorePath>, u64), BuildError> {
        let new: BTreeMap<&StorePath, &PathInfo> = self.infos.values().map(|info| (&info.path, info)).collect();
        let mut closure = BTreeSet::from([self.info.path.clone()]);
        let mut queue = vec![self.info.path.clone()];
        let mut size = 0;
        while let Some(path) = queue.pop() {
            let info = match new.get(&path) {
                Some(info) => (*info).clone(),
                None => self.job.place.store.require(&path)?,
            };
            size += info.nar_size;
            queue.extend(info.references.into_iter().filter(|reference| closure.insert(reference.clone())));
        }
        Ok((closure, size))
    }
}
