//! The environment in which Nix starts a builder, to the variable: `initEnv` of
//! `libstore/unix/build/derivation-builder.cc` in C++ Nix.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;

use bstr::{BStr, BString, ByteSlice};
use nix_formats::hash::{Hash, HashAlgo};

use crate::attributes::Attributes;
use crate::options::Options;
use crate::rules::Rules;

/// Where the builder finds itself in a sandbox.
pub(crate) const BUILD_DIRECTORY: &str = "/build";

/// What a builder is given beside its arguments.
#[derive(Debug, Default)]
pub(crate) struct Environment {
    pub variables: BTreeMap<BString, BString>,
    /// The build directory, as the builder sees it.
    pub directory: String,
    /// Files in the build directory, by name.
    pub files: BTreeMap<BString, Vec<u8>>,
}

/// The environment of an ordinary builder. `graphs` are the texts of the exported graphs by file name, and
/// `structured` the JSON with everything in it, which replaces the variables. `directory` is the build directory, as the
/// builder sees it.
pub(crate) fn environment(
    attributes: &Attributes,
    rules: &Rules,
    options: &Options,
    fixed: bool,
    graphs: BTreeMap<String, String>,
    structured: Option<&crate::structured::Documents>,
    directory: &str,
) -> Environment {
    let mut result = Environment { directory: directory.to_owned(), ..Environment::default() };
    result.set("PATH", "/path-not-set");
    result.set("HOME", "/homeless-shelter");
    result.set("NIX_STORE", nix_formats::STORE_DIR);
    result.set("NIX_BUILD_CORES", &options.cores.to_string());
    match structured {
        Some(documents) => {
            result.file("NIX_ATTRS_SH_FILE", ".attrs.sh", documents.shell.as_bytes());
            result.file("NIX_ATTRS_JSON_FILE", ".attrs.json", documents.json.as_bytes());
        }
        None => {
            plain_attributes(attributes, rules, &mut result);
            result.files.extend(graphs.into_iter().map(|(name, text)| (name.into(), text.into_bytes())));
        }
    }
    for name in ["NIX_BUILD_TOP", "TMPDIR", "TEMPDIR", "TMP", "TEMP", "PWD"] {
        result.set(name, directory);
    }
    if fixed {
        // What it makes is checked afterwards, so it need not do so itself, and it may look outside.
        result.set("NIX_OUTPUT_CHECKED", "1");
        for name in &rules.impure_variables {
            let value = options.environment.get(name).map_or(&b""[..], |value| value.as_bytes());
            result.variables.insert(name.as_str().into(), value.into());
        }
    }
    result.set("NIX_LOG_FD", "2");
    result.set("TERM", "xterm-256color");
    result
}

fn plain_attributes(attributes: &Attributes, rules: &Rules, result: &mut Environment) {
    for (name, value) in &attributes.environment {
        if name.to_str().is_ok_and(|name| rules.pass_as_file.contains(name)) {
            let file = format!(".attr-{}", Hash::of(HashAlgo::Sha256, name).to_nix32());
            let variable = [name.as_slice(), b"Path"].concat();
            result.file(BStr::new(&variable), &file, value);
        } else {
            result.variables.insert(name.clone(), value.clone());
        }
    }
}

impl Environment {
    fn set(&mut self, name: &str, value: &str) {
        self.variables.insert(name.into(), value.into());
    }

    fn file(&mut self, variable: impl AsRef<[u8]>, file: &str, contents: &[u8]) {
        self.variables.insert(variable.as_ref().into(), format!("{}/{file}", self.directory).into());
        self.files.insert(file.into(), contents.to_vec());
    }
}
