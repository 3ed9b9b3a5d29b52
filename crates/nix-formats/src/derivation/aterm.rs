//! Derivation → ATerm.

use std::collections::{BTreeMap, BTreeSet};

use super::{Derivation, Output};
use crate::STORE_DIR;
use crate::content_address::ContentAddressError;

/// How the inputs and the outputs are written: as they are, or as the hash modulo wants them.
pub(super) struct Form<'a> {
    /// What stands in place of the input derivations' paths, sorted; `None`: the paths themselves.
    pub inputs: Option<&'a BTreeMap<String, BTreeSet<&'a str>>>,
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
                print_names(out, outputs.iter().map(String::as_str));
                out.push(b')');
                Ok(())
            })?,
            Some(inputs) => list(&mut out, inputs, |out, (hash, outputs)| {
                out.extend_from_slice(b"(\"");
                out.extend_from_slice(hash.as_bytes());
                out.extend_from_slice(b"\",");
                print_names(out, outputs.iter().copied());
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

fn print_names<'a>(out: &mut Vec<u8>, names: impl Iterator<Item = &'a str>) {
    out.push(b'[');
    for (index, name) in names.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        print_string(out, name.as_bytes());
    }
    out.push(b']');
}

/// How many bytes are looked at together.
const STRIDE: usize = 32;

fn print_string(out: &mut Vec<u8>, text: &[u8]) {
    let special = |byte: &u8| matches!(byte, b'"' | b'\\' | b'\n' | b'\r' | b'\t');
    out.push(b'"');
    for bytes in text.chunks(STRIDE) {
        // Without an early exit, the compiler compares all bytes at once.
        if !bytes.iter().fold(false, |found, byte| found | special(byte)) {
            out.extend_from_slice(bytes);
            continue;
        }
        for byte in bytes {
            let escaped = match byte {
                b'\n' => b'n',
                b'\r' => b'r',
                b'\t' => b't',
                other => *other,
            };
            if special(byte) {
                out.push(b'\\');
            }
            out.push(escaped);
        }
    }
    out.push(b'"');
}
