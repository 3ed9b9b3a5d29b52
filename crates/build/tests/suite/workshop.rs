//! A store to build in, with a static shell as the only tool.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use build::{BuildError, Builder, Options, Realise, Realised, Wanted};
use nix_formats::content_address::{ContentAddress, Method};
use nix_formats::derivation::{Derivation, HashModulo, Output};
use nix_formats::hash::{Hash, HashAlgo};
use nix_formats::placeholder::own_output;
use nix_formats::store_path::StorePath;
use store::{LocalStore, Store, fs_nar};

/// Says by name what a test lacks; with `WHARF_REQUIRE_PEERS=1` that is a failure.
pub fn lacks(peer: &str) {
    assert!(std::env::var_os("WHARF_REQUIRE_PEERS").is_none_or(|value| value != "1"), "needs {peer}");
    println!("skipped: needs {peer}");
}

pub fn busybox() -> Option<PathBuf> {
    let found = ["/bin/busybox", "/usr/bin/busybox"].map(PathBuf::from).into_iter().find(|path| path.exists());
    if found.is_none() {
        lacks("busybox-static");
    }
    found
}

pub struct Workshop {
    pub store: Arc<LocalStore>,
    pub busybox: StorePath,
    memo: Mutex<BTreeMap<StorePath, HashModulo>>,
    place: tempfile::TempDir,
}

/// A derivation in the making.
pub struct Recipe<'a> {
    workshop: &'a Workshop,
    derivation: Derivation,
}

impl Workshop {
    /// Nothing where the shell is not installed and need not be.
    pub fn new() -> Option<Workshop> {
        let busybox = busybox()?;
        let place = tempfile::tempdir().unwrap();
        let store = Arc::new(LocalStore::open(&place.path().join("root")).unwrap());
        let tree = place.path().join("busybox");
        std::fs::create_dir_all(tree.join("bin")).unwrap();
        std::fs::copy(busybox, tree.join("bin/busybox")).unwrap();
        for applet in [
            "sh", "cat", "mkdir", "ln", "env", "sort", "ls", "id", "sleep", "mkfifo", "chmod", "echo", "seq", "cp",
            "rm", "head", "stat", "touch", "grep", "printf", "readlink", "yes", "hostname", "dd", "tr",
        ] {
            std::os::unix::fs::symlink("busybox", tree.join("bin").join(applet)).unwrap();
        }
        let busybox = store.add_tree("busybox", &tree, Method::Nar, HashAlgo::Sha256, &mut fs_nar::everything).unwrap();
        Some(Workshop { store, busybox, memo: Mutex::default(), place })
    }

    pub fn root(&self) -> PathBuf {
        self.place.path().join("root")
    }

    /// A derivation that runs a script with `$out` and a PATH of the shell's tools.
    pub fn recipe(&self, name: &str, script: &str) -> Recipe<'_> {
        let tools = format!("{}/bin", self.busybox.to_absolute());
        let derivation = Derivation {
            name: name.to_owned(),
            outputs: BTreeMap::from([("out".to_owned(), Output::Deferred)]),
            input_derivations: BTreeMap::new(),
            input_sources: BTreeSet::from([self.busybox.clone()]),
            system: format!("{}-linux", std::env::consts::ARCH),
            builder: format!("{tools}/sh").into(),
            args: vec!["-e".into(), "-c".into(), format!("export PATH={tools}\n{script}").into()],
            env: BTreeMap::new(),
        };
        Recipe { workshop: self, derivation }.set("name", name)
    }

    pub fn builder(&self, mut options: Options) -> Builder {
        options.shell = busybox();
        Builder::new(self.store.clone(), options)
    }

    pub fn build(&self, derivation: &StorePath) -> Result<Realised, BuildError> {
        Ok(self.builder(Options::new()).realise(&[Wanted::all(derivation.clone())])?.remove(0))
    }

    /// Builds, and reads the file that the output `out` is.
    pub fn text(&self, derivation: &StorePath) -> String {
        let realised = self.build(derivation).unwrap_or_else(|error| panic!("{error}"));
        std::fs::read_to_string(self.store.real_path(&realised.outputs["out"])).unwrap()
    }

    fn modulo(&self, path: &StorePath) -> Result<HashModulo, Infallible> {
        Ok(self.memo.lock().unwrap()[path].clone())
    }

    /// Nothing is registered that is not whole, and nothing is left in the making.
    pub fn verify_clean(&self) {
        let staging = self.store.state_dir().join("wharf-staging");
        // The open store keeps a directory of its own there.
        for entry in std::fs::read_dir(staging).unwrap() {
            let left: Vec<_> = std::fs::read_dir(entry.unwrap().path()).unwrap().collect();
            assert!(left.is_empty(), "{left:?}");
        }
        for path in self.store.all_paths().unwrap() {
            let info = self.store.require(&path).unwrap();
            let (hash, size) =
                fs_nar::hash(&self.store.real_path(&path), &mut fs_nar::everything, HashAlgo::Sha256).unwrap();
            assert_eq!((hash, size), (info.nar_hash, info.nar_size), "{path}");
        }
    }
}

impl Recipe<'_> {
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.derivation.env.insert(name.into(), value.into());
        self
    }

    pub fn outputs(mut self, names: &[&str]) -> Self {
        self.derivation.outputs = names.iter().map(|name| ((*name).to_owned(), Output::Deferred)).collect();
        self
    }

    pub fn input(mut self, derivation: &StorePath, output: &str) -> Self {
        self.derivation.input_derivations.entry(derivation.clone()).or_default().insert(output.to_owned());
        self
    }

    pub fn builder(mut self, builder: &str) -> Self {
        self.derivation.builder = builder.into();
        self
    }

    pub fn system(mut self, system: &str) -> Self {
        self.derivation.system = system.into();
        self
    }

    pub fn args(mut self, args: &[&str]) -> Self {
        self.derivation.args = args.iter().map(|argument| (*argument).into()).collect();
        self
    }

    /// Makes the output fixed to this content.
    pub fn fixed(mut self, method: Method, algo: HashAlgo, content: &[u8]) -> Self {
        let hash = match method {
            Method::Nar => {
                let mut nar = nix_formats::nar::Writer::new(Vec::new()).unwrap();
                nar.open_file(false, content.len() as u64).unwrap();
                nar.content(content).unwrap();
                nar.close_file().unwrap();
                Hash::of(algo, &nar.finish().unwrap())
            }
            _ => Hash::of(algo, content),
        };
        let address = ContentAddress { method, hash };
        self.derivation.outputs = BTreeMap::from([("out".to_owned(), Output::Fixed(address))]);
        let path = self.derivation.output_path("out").unwrap();
        self.set("out", &path.to_absolute())
    }

    /// Makes the content of every output decide its path.
    pub fn floating(mut self, method: Method, algo: HashAlgo) -> Self {
        for (name, output) in &mut self.derivation.outputs {
            *output = Output::Floating { method, algo };
            self.derivation.env.insert(name.as_str().into(), own_output(name).into());
        }
        self
    }

    /// Puts the derivation into the store.
    pub fn add(mut self) -> StorePath {
        let workshop = self.workshop;
        self.derivation.fill_output_paths(|path| workshop.modulo(path)).unwrap();
        let path = workshop.store.add_derivation(&self.derivation).unwrap();
        let modulo = self.derivation.hash_modulo(|path| workshop.modulo(path)).unwrap();
        workshop.memo.lock().unwrap().insert(path.clone(), modulo);
        path
    }

    /// The path of an output, once the derivation is added.
    pub fn add_with_output(self, output: &str) -> (StorePath, StorePath) {
        let workshop = self.workshop;
        let path = self.add();
        let output = workshop.store.read_derivation(&path).unwrap().output_path(output).unwrap();
        (path, output)
    }
}
