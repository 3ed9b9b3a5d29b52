//! Collecting garbage by a daemon. It knows what no root needs, and can be told what of it to delete and how much; what is
//! old, and how much there is, is found out here.

use std::collections::{BTreeMap, BTreeSet};

use nix_formats::store_path::StorePath;

use super::DaemonStore;
use crate::local::{Collected, GcOptions};
use crate::{PathInfo, Store, StoreError};

const COLLECT_GARBAGE: u64 = 20;
const RETURN_DEAD: u64 = 1;
const DELETE_DEAD: u64 = 2;
const DELETE_SPECIFIC: u64 = 3;

impl DaemonStore {
    /// Deletes what no root needs, as the options say. What goes first is the daemon's choice.
    ///
    /// # Errors
    /// The daemon refuses, or something that was to be deleted is needed meanwhile.
    pub fn collect_garbage(&self, options: &GcOptions) -> Result<Collected, StoreError> {
        let max_freed = options.max_freed.unwrap_or(u64::MAX);
        if max_freed == 0 {
            return Ok(Collected::default());
        }
        if options.keep_registered_since.is_none() && !options.dry_run {
            return self.collect(DELETE_DEAD, &BTreeSet::new(), max_freed);
        }
        let dead = self.collect(RETURN_DEAD, &BTreeSet::new(), u64::MAX)?.paths;
        let mut infos = BTreeMap::new();
        for path in &dead {
            infos.extend(self.path_info(path)?.map(|info| (path.clone(), info)));
        }
        let kept = needed_by_young(&infos, options.keep_registered_since.unwrap_or(i64::MAX));
        let doomed: BTreeSet<StorePath> = dead.into_iter().filter(|path| !kept.contains(path)).collect();
        match options.dry_run {
            true => Ok(foresee(doomed, &infos, max_freed)),
            false if doomed.is_empty() => Ok(Collected::default()),
            false => self.collect(DELETE_SPECIFIC, &doomed, max_freed),
        }
    }

    /// How much there is: the sizes of all objects as archives.
    pub fn total_size(&self) -> Result<u64, StoreError> {
        let mut size = 0;
        for path in self.all_paths()? {
            size += self.path_info(&path)?.map_or(0, |info| info.nar_size);
        }
        Ok(size)
    }

    fn collect(&self, action: u64, paths: &BTreeSet<StorePath>, max_freed: u64) -> Result<Collected, StoreError> {
        self.call(
            COLLECT_GARBAGE,
            |out| {
                out.number(action)?;
                out.paths(paths.iter())?;
                // What is alive stays.
                out.flag(false)?;
                out.number(max_freed)?;
                // Three options that mean nothing any more.
                (0..3).try_for_each(|_| out.number(0))
            },
            |answer, _| {
                let (paths, bytes) = (answer.paths()?, answer.number()?);
                answer.number()?;
                Ok(Collected { paths, bytes })
            },
        )
    }
}

/// What was registered since a time, and what of the rest it needs.
fn needed_by_young(infos: &BTreeMap<StorePath, PathInfo>, since: i64) -> BTreeSet<StorePath> {
    let young = infos.values().filter(|info| info.registration_time >= since);
    let mut kept: BTreeSet<StorePath> = young.map(|info| info.path.clone()).collect();
    let mut stack: Vec<StorePath> = kept.iter().cloned().collect();
    while let Some(info) = stack.pop().and_then(|path| infos.get(&path)) {
        let new = info.references.iter().filter(|reference| kept.insert((*reference).clone()));
        stack.extend(new.cloned().collect::<Vec<_>>());
    }
    kept
}

/// What would go, as far as can be known: the daemon may choose others first.
fn foresee(doomed: BTreeSet<StorePath>, infos: &BTreeMap<StorePath, PathInfo>, max_freed: u64) -> Collected {
    let mut foreseen = Collected::default();
    for path in doomed {
        if foreseen.bytes >= max_freed {
            break;
        }
        foreseen.bytes += infos.get(&path).map_or(0, |info| info.nar_size);
        foreseen.paths.insert(path);
    }
    foreseen
}
