//! Derivations whose inputs are objects that are there: what is built where an input is not at the path, or stands behind
//! the placeholder, that the derivation names. It is `tryResolve` of `libstore/derivations.cc` in C++ Nix.

use std::convert::Infallible;

use bstr::{BString, ByteSlice};

use super::{Derivation, HashModuloError, Kind, Output, OutputName};
use crate::placeholder;
use crate::store_path::StorePath;

/// An output of an input derivation, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedInput {
    /// The input derivation.
    pub derivation: StorePath,
    /// The name of its output.
    pub output: OutputName,
    /// The path that the derivation names; `None` if only a placeholder stands there.
    pub expected: Option<StorePath>,
    /// Where the output is.
    pub path: StorePath,
}

impl ResolvedInput {
    /// The text in the derivation, and what is to be in its place, if it is another.
    fn replacement(&self) -> Option<(Vec<u8>, Vec<u8>)> {
        match &self.expected {
            Some(expected) if expected == &self.path => None,
            Some(expected) => Some((expected.hash_part().into(), self.path.hash_part().into())),
            None => {
                let placeholder = placeholder::upstream_output(&self.derivation, &self.output)?;
                Some((placeholder.into(), self.path.to_absolute().into()))
            }
        }
    }
}

impl Derivation {
    /// The derivation with objects in the place of all its input derivations, of which `inputs` tells every output that it
    /// needs. Paths of outputs that follow from the inputs are computed anew.
    pub fn resolve(&self, inputs: &[ResolvedInput]) -> Result<Derivation, HashModuloError<Infallible>> {
        let replacements: Vec<_> = inputs.iter().filter_map(ResolvedInput::replacement).collect();
        let rewrite = |text: &BString| -> BString {
            let mut text = text.to_vec();
            for (from, to) in &replacements {
                if text.contains_str(from) {
                    text = text.replace(from, to);
                }
            }
            text.into()
        };
        let mut resolved = Derivation {
            name: self.name.clone(),
            outputs: self.outputs.clone(),
            input_derivations: Default::default(),
            input_sources: self.input_sources.iter().chain(inputs.iter().map(|input| &input.path)).cloned().collect(),
            system: self.system.clone(),
            builder: rewrite(&self.builder),
            args: self.args.iter().map(rewrite).collect(),
            env: self.env.iter().map(|(name, value)| (rewrite(name), rewrite(value))).collect(),
        };
        if self.kind().map_err(HashModuloError::Kind)? == Kind::InputAddressed {
            resolved.outputs.values_mut().for_each(|output| *output = Output::Deferred);
            resolved.fill_output_paths(|_| -> Result<_, Infallible> { unreachable!("it has no input derivations") })?;
        }
        Ok(resolved)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_become_objects() {
        let path = |name: &str| StorePath::from_base_name(name).unwrap();
        let floating = path("g1w7hy3qg1w7hy3qg1w7hy3qg1w7hy3q-f.drv");
        let moved = path("0c6rn30q4frawknapgwq386zq358m8r6-m.drv");
        let (old, new) = (path("00000000000000000000000000000000-m"), path("11111111111111111111111111111111-m"));
        let there = path("22222222222222222222222222222222-f");
        let stand_in = placeholder::upstream_output(&floating, &"out".to_owned()).unwrap();
        let mut derivation = Derivation {
            name: "x".to_owned(),
            outputs: [("out".to_owned(), Output::Deferred)].into(),
            input_derivations: [
                (floating.clone(), ["out".to_owned()].into()),
                (moved.clone(), ["out".to_owned()].into()),
            ]
            .into(),
            input_sources: Default::default(),
            system: "s".to_owned(),
            builder: format!("{stand_in}/bin/b").into(),
            args: vec![format!("--with={}/x", old.to_absolute()).into()],
            env: [("a".into(), format!("{stand_in} {stand_in}").into())].into(),
        };
        let inputs = [
            ResolvedInput { derivation: floating, output: "out".to_owned(), expected: None, path: there.clone() },
            ResolvedInput { derivation: moved, output: "out".to_owned(), expected: Some(old), path: new.clone() },
        ];
        let resolved = derivation.resolve(&inputs).unwrap();
        assert_eq!(resolved.builder, format!("{}/bin/b", there.to_absolute()));
        assert_eq!(resolved.args, [format!("--with={}/x", new.to_absolute())]);
        assert_eq!(resolved.env[bstr::BStr::new("a")], format!("{0} {0}", there.to_absolute()));
        assert!(resolved.input_derivations.is_empty());
        assert_eq!(resolved.input_sources, [there, new].into());
        let out = resolved.output_path("out").unwrap();
        assert_eq!(resolved.env[bstr::BStr::new("out")], out.to_absolute());
        // What was computed for the inputs as they were is computed anew.
        derivation.outputs.insert("out".to_owned(), Output::InputAddressed(inputs[0].path.clone()));
        assert_eq!(derivation.resolve(&inputs).unwrap().output_path("out"), Some(out));
    }
}
