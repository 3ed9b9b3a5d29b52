//! Other machines that build, and who builds what.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use nix_formats::machines::Machine;
use nix_formats::store_path::StorePath;
use store::StoreError;
use store::daemon::{DaemonAddress, DaemonOptions, DaemonStore};
use store::progress::Progress;

use crate::error::BuildError;
use crate::needs::Needs;
use crate::options::Options;

/// Machines that builds are sent to.
#[derive(Default)]
pub struct Farm {
    stations: Vec<Station>,
    /// Whether they take inputs from binary caches, as far as those have them, instead of being sent all.
    pub(crate) substitutes: bool,
    taken: Mutex<Taken>,
}

/// How many builds are under way, and where.
#[derive(Default)]
struct Taken {
    here: usize,
    there: Vec<usize>,
    /// Why machines have failed that are not used any more.
    broken: Vec<Option<String>>,
}

/// A machine, and its daemon once it was spoken to.
pub(crate) struct Station {
    machine: Machine,
    address: DaemonAddress,
    daemon: OnceLock<DaemonStore>,
    connecting: Mutex<()>,
    /// Held while objects are sent, so that no two builds send the same.
    pub sending: Mutex<()>,
}

/// A place at which one derivation is built. It is free again when this is dropped.
pub(crate) struct Seat<'a> {
    farm: &'a Farm,
    /// The machine's number; `None` for this machine.
    there: Option<usize>,
}

impl Farm {
    /// These machines, each with the address at which its daemon is.
    pub fn new(machines: Vec<(Machine, DaemonAddress)>, substitutes: bool) -> Farm {
        let taken = Taken { here: 0, there: vec![0; machines.len()], broken: vec![None; machines.len()] };
        let station = |(machine, address)| Station {
            machine,
            address,
            daemon: OnceLock::new(),
            connecting: Mutex::new(()),
            sending: Mutex::new(()),
        };
        Farm { stations: machines.into_iter().map(station).collect(), substitutes, taken: Mutex::new(taken) }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.stations.is_empty()
    }

    /// How many builds can be under way on all machines together, this one left out.
    pub(crate) fn slots(&self) -> usize {
        self.stations.iter().map(|station| station.machine.jobs.get()).sum()
    }

    /// A place for a derivation: on the machine with the least to do for its speed, else here. `None` if every place that
    /// would do is taken.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn seat(
        &self,
        derivation: &StorePath,
        needs: &Needs,
        options: &Options,
    ) -> Result<Option<Seat<'_>>, BuildError> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let here = needs.check_here(derivation, options);
        // What is part of this program no other machine has, whatever was said of jobs.
        let jobs = if needs.builtin { options.jobs.max(1) } else { options.jobs };
        let can_here = here.is_ok() && jobs > 0;
        let only_here = needs.builtin || (needs.prefers_local && can_here);
        let fitting: Vec<usize> = (0..self.stations.len())
            .filter(|number| !only_here && taken.broken[*number].is_none())
            .filter(|number| self.stations[*number].machine.takes(&needs.system, &needs.features))
            .collect();
        let free =
            fitting.iter().copied().filter(|number| taken.there[*number] < self.stations[*number].machine.jobs.get());
        let load = |number: usize| taken.there[number] as f64 / self.stations[number].machine.speed;
        let speed = |number: usize| self.stations[number].machine.speed;
        let best = free.min_by(|a, b| load(*a).total_cmp(&load(*b)).then(speed(*b).total_cmp(&speed(*a))));
        if let Some(number) = best {
            taken.there[number] += 1;
            return Ok(Some(Seat { farm: self, there: Some(number) }));
        }
        if can_here && taken.here < jobs {
            taken.here += 1;
            return Ok(Some(Seat { farm: self, there: None }));
        }
        match here {
            _ if can_here || !fitting.is_empty() => Ok(None),
            Err(error) if self.is_empty() => Err(error),
            _ => Err(BuildError::NoMachine {
                derivation: derivation.clone(),
                system: needs.system.clone(),
                features: needs.features.iter().cloned().collect(),
                machines: self.describe(&taken, options),
            }),
        }
    }

    /// What there is, one a line, for whoever finds that nothing fits.
    fn describe(&self, taken: &Taken, options: &Options) -> Vec<String> {
        let list = |words: &std::collections::BTreeSet<String>| words.iter().cloned().collect::<Vec<_>>().join(", ");
        let here =
            format!("this machine: {}; {}; {} jobs", list(&options.systems), list(&options.features), options.jobs);
        let there = self.stations.iter().zip(&taken.broken).map(|(station, broken)| {
            let (address, Machine { systems, features, .. }) = (station.name(), &station.machine);
            let state = broken.as_ref().map(|reason| format!("; it has failed: {reason}")).unwrap_or_default();
            format!("{address}: {}; {}{state}", list(systems), list(features))
        });
        std::iter::once(here).chain(there).collect()
    }
}

impl Seat<'_> {
    /// The machine, unless it is this one.
    pub fn station(&self) -> Option<&Station> {
        self.there.map(|number| &self.farm.stations[number])
    }

    /// The machine has failed: nothing more is sent to it.
    pub fn give_up_station(&self, reason: String) {
        if let Some(number) = self.there {
            self.farm.taken.lock().unwrap_or_else(PoisonError::into_inner).broken[number] = Some(reason);
        }
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        let mut taken = self.farm.taken.lock().unwrap_or_else(PoisonError::into_inner);
        match self.there {
            Some(number) => taken.there[number] -= 1,
            None => taken.here -= 1,
        }
    }
}

impl Station {
    /// How it is named, without the parameters of its address.
    pub fn name(&self) -> &str {
        self.machine.address.split('?').next().unwrap_or_default()
    }

    /// Its store.
    pub fn daemon(&self, options: &Options, progress: &Arc<dyn Progress>) -> Result<&DaemonStore, StoreError> {
        let _connecting = self.connecting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(daemon) = self.daemon.get() {
            return Ok(daemon);
        }
        let seconds = |limit: Option<std::time::Duration>| limit.map_or(0, |limit| limit.as_secs());
        let mut settings = Vec::new();
        if let Some(limit) = options.watch.time {
            settings.push(("timeout".to_owned(), limit.as_secs().to_string()));
        }
        if let Some(limit) = options.watch.output {
            settings.push(("max-build-log-size".to_owned(), limit.to_string()));
        }
        let options = DaemonOptions {
            keep_failed: options.keep_failed,
            cores: 0,
            silence: seconds(options.watch.silence),
            settings,
            take_unsigned: true,
            ..DaemonOptions::default()
        };
        let daemon = self.address.open(options, Arc::clone(progress))?;
        Ok(self.daemon.get_or_init(|| daemon))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn farm(text: &str) -> Farm {
        let machines = Machine::parse_all(text, &mut |_| Ok(None)).unwrap();
        let socket = || DaemonAddress::parse("daemon", None).unwrap().unwrap();
        Farm::new(machines.into_iter().map(|machine| (machine, socket())).collect(), false)
    }

    fn needs(system: &str, features: &[&str]) -> Needs {
        let features = features.iter().map(|feature| (*feature).to_owned()).collect();
        Needs { system: system.to_owned(), features, ..Needs::default() }
    }

    #[test]
    fn places_are_given_by_need_and_load() {
        let farm = farm("slow a-linux - 2; fast a-linux - 2 4 kvm; other b-linux - 1 1 - bench");
        let path = StorePath::from_base_name("0c6rn30q4frawknapgwq386zq358m8r6-d.drv").unwrap();
        let mut options = Options::new();
        options.jobs = 1;
        options.systems = ["a-linux".to_owned()].into();
        let seat = |needs: &Needs| farm.seat(&path, needs, &options);
        let name = |seat: &Seat<'_>| seat.station().map_or("here", Station::name).to_owned();
        let plain = needs("a-linux", &[]);
        let first = seat(&plain).unwrap().unwrap();
        let second = seat(&plain).unwrap().unwrap();
        let third = seat(&plain).unwrap().unwrap();
        assert_eq!([&first, &second, &third].map(name), ["fast", "slow", "fast"]);
        // A feature that only one has, whose places are taken.
        assert!(seat(&needs("a-linux", &["kvm", "quantum"])).is_err());
        options.features.clear();
        let kvm = needs("a-linux", &["kvm"]);
        assert!(farm.seat(&path, &kvm, &options).unwrap().is_none());
        drop(first);
        assert_eq!(name(&farm.seat(&path, &kvm, &options).unwrap().unwrap()), "fast");
        // What is mandatory keeps others away.
        assert!(farm.seat(&path, &needs("b-linux", &[]), &options).is_err());
        assert_eq!(name(&farm.seat(&path, &needs("b-linux", &["bench"]), &options).unwrap().unwrap()), "other");
        // Here, where all others are taken, or where that is preferred.
        let local = Needs { prefers_local: true, ..plain.clone() };
        let here = farm.seat(&path, &local, &options).unwrap().unwrap();
        assert_eq!(name(&here), "here");
        assert!(farm.seat(&path, &local, &options).unwrap().is_none());
        drop(here);
        second.give_up_station("it smokes".to_owned());
        third.give_up_station("it burns".to_owned());
        drop((second, third));
        assert_eq!(name(&farm.seat(&path, &plain, &options).unwrap().unwrap()), "here");
        options.jobs = 0;
        let error = farm.seat(&path, &plain, &options).err().unwrap().to_string();
        assert!(error.contains("slow: a-linux; ; it has failed: it smokes"), "{error}");
    }
}
