//! Images for several systems: the target is evaluated once for each, and nothing is emulated. What another system's image
//! needs comes from binary caches.

use crate::derived::Derived;
use crate::error::Error;
use crate::project::Project;
use crate::target::Target;

impl Project {
    /// Finds the derivations of each image for the systems that it is wanted for.
    pub(crate) fn for_their_systems(&self, target: &Target, derived: Vec<Derived>) -> Result<Vec<Derived>, Error> {
        let own = self.options.evaluation.system.clone();
        let mut others: Vec<(String, Vec<Derived>)> = vec![(own.clone(), derived.clone())];
        for system in derived.iter().flat_map(|one| &one.systems) {
            if others.iter().all(|(known, _)| known != system) {
                others.push((system.clone(), self.for_system(system).derivations_of_system(target)?));
            }
        }
        derived.into_iter().map(|one| with_platforms(one, &others, &own)).collect()
    }

    /// The same project, evaluating for another system.
    pub(crate) fn for_system(&self, system: &str) -> Project {
        self.with(|options| options.evaluation.system = system.to_owned())
    }
}

/// The image for this system, or else for the first that is wanted, with those for all.
fn with_platforms(one: Derived, all: &[(String, Vec<Derived>)], own: &str) -> Result<Derived, Error> {
    let of_system = |system: &String| {
        let found = all.iter().find(|(known, _)| known == system);
        let found = found.and_then(|(_, derived)| derived.iter().find(|other| other.attribute == one.attribute));
        found.cloned().ok_or_else(|| {
            Error::target(
                format!("'{}' has an image for {own}, and none for {system}", one.name),
                "its `system` names both, so the definition must have it for both",
            )
        })
    };
    let platforms = one.systems.iter().map(of_system).collect::<Result<Vec<_>, _>>()?;
    let here = one.systems.iter().position(|system| system == own).unwrap_or(0);
    match platforms.get(here).cloned() {
        Some(main) if platforms.len() == 1 => Ok(main),
        Some(main) => Ok(Derived { platforms, ..main }),
        None => Ok(one),
    }
}
