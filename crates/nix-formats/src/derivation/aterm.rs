//! Derivation → ATerm.

use std::collections::BTreeSet;

use super::{Derivation, Output, OutputName};
use crate::STORE_DIR;
use crate::content_address::ContentAddressError;

/// How the inputs and the outputs are written: as they are, or as the hash modulo wants them.
pub(super) struct Form<'a> {
    /// What stands in place of the input derivations' paths, sorted; `None`: the paths themselves.
    pub inputs: Option<&'a [(String, BTreeSet<OutputName>)]>,
    /// Blank the paths of the outputs, and the variables of the same name.
    pub mask_outputs: bool,
}

impl Derivation {
    /// The text of the `.drv` file: sorted, without white space.
    ///
    /// Fails only if a fixed output has a content address or a name that gives no store path.
    pub fn to_aterm(&self) -> Result<Vec<u8>, ContentAddressError> {
        self.print(&Form { inputs: None, mask_outputs: false })
    }

    pub(super) fn print(&self, form: &Form<'_>) -> Result<Vec<u8>, ContentAddressError> {
        let mut out = Vec::with_capacity(self.estimated_size());
        out.extend_from_slice(b"Derive(");
        list(&mut out, &self.outputs, |out, (name, output)| self.print_output(out, name, output, form.mask_outputs))?;
        out.push(b',');
        match form.inputs {
            None => list(&mut out, &self.input_derivations, |out, (path, outputs)| {
                out.extend_from_slice(b"(\"");
                push_store_path(out, path.base_name());
                out.extend_from_slice(b"\",");
                print_names(out, outputs);
                out.push(b')');
                Ok(())
            })?,
            Some(inputs) => list(&mut out, inputs, |out, (hash, outputs)| {
                out.extend_from_slice(b"(\"");
                out.extend_from_slice(hash.as_bytes());
                out.extend_from_slice(b"\",");
                print_names(out, outputs);
                out.push(b')');
                Ok(())
            })?,
        }
        out.push(b',');
        list(&mut out, &self.input_sources, |out, path| {
            out.push(b'"');
            push_store_path(out, path.base_name());
            out.push(b'"');
            Ok(())
        })?;
        out.push(b',');
        print_string(&mut out, self.system.as_bytes());
        out.push(b',');
        print_string(&mut out, &self.builder);
        out.push(b',');
        list(&mut out, &self.args, |out, arg| {
            print_string(out, arg);
            Ok(())
        })?;
        out.push(b',');
        list(&mut out, &self.env, |out, (key, value)| {
            let masked = form.mask_outputs && std::str::from_utf8(key).is_ok_and(|key| self.outputs.contains_key(key));
            out.push(b'(');
            print_string(out, key);
            out.push(b',');
            print_string(out, if masked { b"" } else { value });
            out.push(b')');
            Ok(())
        })?;
        out.push(b')');
        Ok(out)
    }

    fn print_output(
        &self,
        out: &mut Vec<u8>,
        name: &str,
        output: &Output,
        masked: bool,
    ) -> Result<(), ContentAddressError> {
        out.push(b'(');
        print_string(out, name.as_bytes());
        let path = if masked { None } else { output.path(&self.name, name)? };
        out.extend_from_slice(b",\"");
        if let Some(path) = path {
            push_store_path(out, path.base_name());
        }
        out.extend_from_slice(b"\",\"");
        let (method, algo, hash) = match output {
            Output::InputAddressed(_) | Output::Deferred => {
                out.extend_from_slice(b"\",\"\")");
                return Ok(());
            }
            Output::Fixed(address) => (address.method, address.hash.algo(), address.hash.to_hex()),
            Output::Floating { method, algo } => (*method, *algo, String::new()),
            Output::Impure { method, algo } => (*method, *algo, "impure".to_owned()),
        };
        for part in [method.prefix(), algo.name(), "\",\"", &hash, "\")"] {
            out.extend_from_slice(part.as_bytes());
        }
        Ok(())
    }

    /// Close to the length of the text, so that printing seldom grows its buffer.
    fn estimated_size(&self) -> usize {
        let env: usize = self.env.iter().map(|(key, value)| key.len() + value.len() + 8).sum();
        let args: usize = self.args.iter().map(|arg| arg.len() + 4).sum();
        256 + (self.outputs.len() + self.input_derivations.len() + self.input_sources.len()) * 128
            + env * 17 / 16
            + args
    }
}

fn list<T>(
    out: &mut Vec<u8>,
    items: impl IntoIterator<Item = T>,
    mut print: impl FnMut(&mut Vec<u8>, T) -> Result<(), ContentAddressError>,
) -> Result<(), ContentAddressError> {
    out.push(b'[');
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        print(out, item)?;
    }
    out.push(b']');
    Ok(())
}

fn push_store_path(out: &mut Vec<u8>, base_name: &str) {
    out.extend_from_slice(STORE_DIR.as_bytes());
    out.push(b'/');
    out.extend_from_slice(base_name.as_bytes());
}

fn print_names(out: &mut Vec<u8>, names: &BTreeSet<OutputName>) {
    out.push(b'[');
    for (index, name) in names.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        print_string(out, name.as_bytes());
    }
    out.push(b']');
}

fn print_string(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    let mut rest = text;
    while let Some(position) = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | b'\n' | b'\r' | b'\t')) {
        out.extend_from_slice(&rest[..position]);
        out.push(b'\\');
        out.push(match rest[position] {
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            other => other,
        });
        rest = &rest[position + 1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}
