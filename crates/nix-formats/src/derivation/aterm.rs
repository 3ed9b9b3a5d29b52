//! Derivation → ATerm.

use super::hash_modulo::HashedInput;
use super::{Derivation, Output};
use crate::STORE_DIR;
use crate::content_address::ContentAddressError;
use crate::store_path::StorePath;

impl Derivation {
    /// The text of the `.drv` file: sorted, without white space.
    ///
    /// Fails only if a fixed output has a content address or a name that gives no store path.
    pub fn to_aterm(&self) -> Result<Vec<u8>, ContentAddressError> {
        let mut out = Vec::with_capacity(self.estimated_size());
        self.print_outputs(&mut out, |name, output| output.path(&self.name, name))?;
        self.print_inputs(&mut out);
        self.print_rest(&mut out, false);
        Ok(out)
    }

    /// The first part of the text: from the beginning to the inputs. `path` gives the outputs' paths, as far as they are
    /// to be shown.
    pub(super) fn print_outputs<E>(
        &self,
        out: &mut Vec<u8>,
        mut path: impl FnMut(&str, &Output) -> Result<Option<StorePath>, E>,
    ) -> Result<(), E> {
        out.extend_from_slice(b"Derive([");
        for (index, (name, output)) in self.outputs.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            print_output(out, name, output, path(name, output)?);
        }
        out.extend_from_slice(b"],");
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

    /// Close to the length of the text, so that printing seldom grows its buffer.
    pub(super) fn estimated_size(&self) -> usize {
        let env: usize = self.env.iter().map(|(key, value)| key.len() + value.len() + 8).sum();
        let args: usize = self.args.iter().map(|arg| arg.len() + 4).sum();
        256 + (self.outputs.len() + self.input_derivations.len() + self.input_sources.len()) * 128
            + env * 17 / 16
            + args
    }
}

fn print_output(out: &mut Vec<u8>, name: &str, output: &Output, path: Option<StorePath>) {
    out.push(b'(');
    print_string(out, name.as_bytes());
    out.extend_from_slice(b",\"");
    if let Some(path) = path {
        push_store_path(out, path.base_name());
    }
    out.extend_from_slice(b"\",\"");
    let mut hex = [0; 128];
    let (method, algo, hash) = match output {
        Output::InputAddressed(_) | Output::Deferred => {
            out.extend_from_slice(b"\",\"\")");
            return;
        }
        Output::Fixed(address) => (address.method, address.hash.algo(), address.hash.hex(&mut hex)),
        Output::Floating { method, algo } => (*method, *algo, ""),
        Output::Impure { method, algo } => (*method, *algo, "impure"),
    };
    for part in [method.prefix(), algo.name(), "\",\"", hash, "\")"] {
        out.extend_from_slice(part.as_bytes());
    }
}

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
///
/// `inputs` are hashes with an output each, in any order. Inputs of equal hash merge their outputs.
pub(super) fn print_hashed_inputs(out: &mut Vec<u8>, mut inputs: Vec<HashedInput<'_>>) {
    // The order of the bytes is that of their digits.
    inputs.sort_unstable_by(|(a, one), (b, other)| (a.bytes(), one).cmp(&(b.bytes(), other)));
    inputs.dedup();
    each(out, inputs.chunk_by(|(a, _), (b, _)| a == b), |out, outputs| {
        out.extend_from_slice(b"(\"");
        out.extend_from_slice(outputs[0].0.hex(&mut [0; 128]).as_bytes());
        out.extend_from_slice(b"\",");
        print_names(out, outputs.iter().map(|(_, output)| *output));
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
