//! Derivation → ATerm.

use std::collections::{BTreeMap, BTreeSet};

use super::{Derivation, Output};
use crate::STORE_DIR;
use crate::content_address::ContentAddressError;

impl Derivation {
    /// The text of the `.drv` file: sorted, without white space.
    ///
    /// Fails only if a fixed output has a content address or a name that gives no store path.
    pub fn to_aterm(&self) -> Result<Vec<u8>, ContentAddressError> {
        let mut out = Vec::with_capacity(self.estimated_size());
        self.print_outputs(&mut out, false)?;
        self.print_inputs(&mut out);
        self.print_rest(&mut out, false);
        Ok(out)
    }

    /// The first part of the text: from the beginning to the inputs.
    pub(super) fn print_outputs(&self, out: &mut Vec<u8>, masked: bool) -> Result<(), ContentAddressError> {
        out.extend_from_slice(b"Derive(");
        list(out, &self.outputs, |out, (name, output)| self.print_output(out, name, output, masked))?;
        out.push(b',');
        Ok(())
    }

    /// The second part: the input derivations by their paths.
    pub(super) fn print_inputs(&self, out: &mut Vec<u8>) {
        each(out, &self.input_derivations, |out, (path, outputs)| {
            out.extend_from_slice(b"(\"");
            push_store_path(out, path.base_name());
            out.extend_from_slice(b"\",");
            print_names(out, outputs.iter().map(String::as_str));
            out.push(b')');
        });
    }

    /// The third part: all after the input derivations. Where the values of the outputs' variables are masked, the places
    /// in `out` where each belongs, in the order of the outputs.
    pub(super) fn print_rest(&self, out: &mut Vec<u8>, masked: bool) -> Vec<usize> {
        let mut holes = Vec::new();
        out.push(b',');
        each(out, &self.input_sources, |out, path| {
            out.push(b'"');
            push_store_path(out, path.base_name());
            out.push(b'"');
        });
        out.push(b',');
        print_string(out, self.system.as_bytes());
        out.push(b',');
        print_string(out, &self.builder);
        out.push(b',');
        each(out, &self.args, |out, arg| print_string(out, arg));
        out.push(b',');
        each(out, &self.env, |out, (key, value)| {
            out.push(b'(');
            print_string(out, key);
            out.push(b',');
            if masked && std::str::from_utf8(key).is_ok_and(|key| self.outputs.contains_key(key)) {
                holes.push(out.len() + 1);
                print_string(out, b"");
            } else {
                print_string(out, value);
            }
            out.push(b')');
        });
        out.push(b')');
        holes
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
    pub(super) fn estimated_size(&self) -> usize {
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

/// As [`list`], for what cannot fail.
fn each<T>(out: &mut Vec<u8>, items: impl IntoIterator<Item = T>, mut print: impl FnMut(&mut Vec<u8>, T)) {
    out.push(b'[');
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        print(out, item);
    }
    out.push(b']');
}

/// The second part of the text where hashes stand for the input derivations.
pub(super) fn print_hashed_inputs(out: &mut Vec<u8>, inputs: &BTreeMap<String, BTreeSet<&str>>) {
    each(out, inputs, |out, (hash, outputs)| {
        out.extend_from_slice(b"(\"");
        out.extend_from_slice(hash.as_bytes());
        out.extend_from_slice(b"\",");
        print_names(out, outputs.iter().copied());
        out.push(b')');
    });
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
        let (mut escaped, mut len) = ([0; 2 * STRIDE], 0);
        for byte in bytes {
            if special(byte) {
                escaped[len] = b'\\';
                len += 1;
            }
            escaped[len] = match byte {
                b'\n' => b'n',
                b'\r' => b'r',
                b'\t' => b't',
                other => *other,
            };
            len += 1;
        }
        out.extend_from_slice(&escaped[..len]);
    }
    out.push(b'"');
}
