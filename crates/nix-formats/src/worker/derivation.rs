//! A derivation as it is sent to be built, with all its inputs as objects.

use std::collections::BTreeSet;
use std::io::{self, Write};

use super::wire::WireWriter;
use crate::derivation::{Derivation, Output};
use crate::store_path::StorePath;

/// Writes a derivation whose inputs are these objects.
pub fn write_derivation<W: Write>(
    writer: &mut WireWriter<W>,
    derivation: &Derivation,
    inputs: &BTreeSet<StorePath>,
) -> io::Result<()> {
    writer.number(derivation.outputs.len() as u64)?;
    for (name, output) in &derivation.outputs {
        let path = output.path(&derivation.name, name).map_err(io::Error::other)?;
        let (algo, hash) = match output {
            Output::InputAddressed(_) | Output::Deferred => (String::new(), String::new()),
            Output::Fixed(address) => {
                (format!("{}{}", address.method.prefix(), address.hash.algo().name()), address.hash.to_hex())
            }
            Output::Floating { method, algo } => (format!("{}{}", method.prefix(), algo.name()), String::new()),
            Output::Impure { method, algo } => (format!("{}{}", method.prefix(), algo.name()), "impure".to_owned()),
        };
        writer.string(name)?;
        writer.string(&path.map(|path| path.to_absolute()).unwrap_or_default())?;
        writer.string(&algo)?;
        writer.string(&hash)?;
    }
    writer.paths(inputs.iter())?;
    writer.string(&derivation.system)?;
    writer.bytes(&derivation.builder)?;
    writer.number(derivation.args.len() as u64)?;
    derivation.args.iter().try_for_each(|argument| writer.bytes(argument))?;
    writer.number(derivation.env.len() as u64)?;
    derivation.env.iter().try_for_each(|(name, value)| {
        writer.bytes(name)?;
        writer.bytes(value)
    })
}
