//! Builds real derivations in a store of their own, and compares with real Nix where it is installed.

mod crashes;
mod daemon;
mod failures;
mod farm;
mod floating;
mod mixed;
mod oracle;
mod realisations;
mod substitutes;
mod surroundings;
mod unconfined;
mod workshop;
