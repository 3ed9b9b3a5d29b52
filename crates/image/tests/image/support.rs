//! A store with objects made by hand, and the builder of images run on it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use build::{Attributes, Builtin, BuiltinContext, BuiltinError, BuiltinOutput};
use image::{Image, LayerCache, OciImage};
use nix_formats::derivation::{Derivation, Output};
use nix_formats::hash::HashAlgo;
use nix_formats::store_path::StorePath;
use serde_json::{Value, json};
use store::progress::{Silent, TaskId};
use store::{LocalStore, PathInfo, fs_nar};
use tempfile::TempDir;

/// A store path with a hash part of one character.
pub fn object(digit: char, name: &str) -> StorePath {
    StorePath::from_base_name(format!("{}-{name}", String::from(digit).repeat(32))).unwrap()
}

/// A file with its directories.
pub fn write(path: &Path, content: &[u8], mode: u32) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// A store, a cache and a place for files, removed with it.
pub struct Workshop {
    pub store: LocalStore,
    pub directory: TempDir,
}

impl Workshop {
    pub fn new() -> Self {
        let directory = TempDir::new().unwrap();
        Self { store: LocalStore::open(&directory.path().join("store")).unwrap(), directory }
    }

    pub fn cache(&self) -> LayerCache {
        LayerCache::new(self.directory.path().join("cache"))
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Adds an object with what `make` puts at the path it is given.
    pub fn add(&self, path: &StorePath, references: &[&StorePath], make: impl FnOnce(&Path)) {
        let staging = self.store.staging().unwrap();
        let tree = staging.path().join("object");
        make(&tree);
        fs_nar::canonicalise(&tree).unwrap();
        let (hash, size) = fs_nar::hash(&tree, &mut fs_nar::everything, HashAlgo::Sha256).unwrap();
        let mut info = PathInfo::new(path.clone(), hash, size);
        info.references = references.iter().map(|path| (*path).clone()).collect();
        let locks = self.store.lock(std::slice::from_ref(path)).unwrap();
        self.store.install(&locks, &[(tree, info)]).unwrap();
    }

    /// Debian's static busybox as a package: `bin/busybox`, and `bin/sh` as a link. `None` where it is not installed.
    pub fn busybox(&self) -> Option<StorePath> {
        let program = peers::available(&["busybox"]).then(|| peers::find("busybox")).flatten()?;
        let path = object('b', "busybox");
        self.add(&path, &[], |tree| {
            write(&tree.join("bin/busybox"), &fs::read(&program).unwrap(), 0o555);
            for applet in ["sh", "cat", "ls", "id", "stat", "env", "readlink"] {
                symlink("busybox", tree.join("bin").join(applet)).unwrap();
            }
        });
        Some(path)
    }

    /// What `buildEnv` gives for one package: its directory as a link.
    pub fn environment(&self, package: &StorePath) -> StorePath {
        let path = object('c', "environment");
        self.add(&path, &[package], |tree| {
            fs::create_dir(tree).unwrap();
            symlink(format!("{}/bin", package.to_absolute()), tree.join("bin")).unwrap();
            write(&tree.join("etc/motd"), b"hello from the root\n", 0o444);
        });
        path
    }

    /// Runs `builtin:oci-image` on a definition, and registers what it made.
    pub fn try_build(&self, digit: char, definition: Value) -> Result<Image, BuiltinError> {
        let path = object(digit, "image");
        self.run(&OciImage::new(self.cache()), &path, json!({ "image": definition }))?;
        Ok(Image::open(&self.store, &path, self.directory.path())?)
    }

    /// Runs a builder with structured attributes, and registers what it made.
    pub fn run(&self, builder: &dyn Builtin, path: &StorePath, attributes: Value) -> Result<(), BuiltinError> {
        let staging = self.store.staging().unwrap();
        let real_path = staging.path().join("out");
        let json = attributes.to_string();
        let derivation = Derivation {
            name: path.name().to_owned(),
            outputs: BTreeMap::from([("out".to_owned(), Output::InputAddressed(path.clone()))]),
            input_derivations: BTreeMap::new(),
            input_sources: BTreeSet::new(),
            system: "x86_64-linux".to_owned(),
            builder: builder.name().into(),
            args: Vec::new(),
            env: BTreeMap::from([("__json".into(), json.into())]),
        };
        let inputs = self.store.all_paths().unwrap();
        let output = BuiltinOutput { path: path.clone(), real_path: real_path.clone() };
        builder.build(&BuiltinContext {
            derivation_path: &object('0', "made.drv"),
            derivation: &derivation,
            attributes: &Attributes::of(&derivation).unwrap(),
            store: &self.store,
            input_closure: &inputs,
            scratch: TempDir::new_in(self.directory.path()).unwrap().path(),
            progress: &Silent,
            task: TaskId(0),
            outputs: &BTreeMap::from([("out".to_owned(), output)]),
            cancelled: None,
            log_line: &|_| {},
        })?;
        let references: Vec<_> = inputs.iter().collect();
        self.add(path, &references, |tree| fs::rename(&real_path, tree).unwrap());
        Ok(())
    }

    pub fn build(&self, digit: char, definition: Value) -> Image {
        self.try_build(digit, definition).unwrap()
    }
}

/// A definition with the defaults of `nix/docker-tools.nix`; `changes` win.
pub fn definition(layers: Value, changes: Value) -> Value {
    let mut definition = json!({
        "name": "wharf-test",
        "tag": "1",
        "created": "1970-01-01T00:00:01Z",
        "architecture": "amd64",
        "variant": null,
        "config": {},
        "fromImage": null,
        "fromImageName": null,
        "fromImageTag": null,
        "compressor": "gz",
        "includeNixDB": false,
        "layers": layers,
    });
    definition.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    definition
}

/// The layers of `buildImage`.
pub fn single(contents: &[&StorePath]) -> Value {
    json!({ "single": {
        "contents": absolute(contents), "keepContentsDirlinks": false, "customised": null, "uid": 0, "gid": 0
    } })
}

/// The layers of `buildLayeredImage`.
pub fn layered(contents: &[&StorePath], max_layers: usize) -> Value {
    json!({ "layered": {
        "contents": absolute(contents), "customised": null, "includeStorePaths": true, "maxLayers": max_layers, "layeringPipeline": null, "debug": false,
        "mtime": "1970-01-01T00:00:01Z", "uid": 0, "gid": 0, "uname": "root", "gname": "root"
    } })
}

fn absolute(objects: &[&StorePath]) -> Vec<String> {
    objects.iter().map(|object| object.to_absolute()).collect()
}

/// The members of a tar stream: name, and for a link its target.
pub fn members(tar: &[u8]) -> Vec<(String, Option<String>)> {
    let mut archive = ::tar::Archive::new(tar);
    let entries = archive.entries().unwrap().map(Result::unwrap);
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    entries.map(|entry| (text(&entry.path_bytes()), entry.link_name_bytes().map(|link| text(&link)))).collect()
}
