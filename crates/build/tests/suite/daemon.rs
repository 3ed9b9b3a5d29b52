//! Builds in the store of a real nix-daemon.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use build::{BuildError, Builtin, BuiltinContext, BuiltinError, DaemonBuilder, Options, Realise, Realised, Wanted};
use nix_formats::derivation::{Derivation, HashModulo, Output};
use nix_formats::store_path::StorePath;
use peers::NixDaemon;
use store::daemon::{DaemonAddress, DaemonOptions};
use store::progress::Silent;
use store::{DaemonStore, Store};

/// Makes two outputs that mention each other's and their own path, the input's text, and what the environment says.
struct Own;

impl Builtin for Own {
    fn name(&self) -> &str {
        "builtin:own"
    }

    fn build(&self, context: &BuiltinContext<'_>) -> Result<(), BuiltinError> {
        let (out, dev) = (context.output("out")?, context.output("dev")?);
        let input = context.attributes.string("input")?.ok_or("no input")?;
        let (path, _) = StorePath::split_absolute(input.as_bytes())?;
        assert!(context.input_closure.contains(&path));
        let text = fs::read_to_string(context.store.real_path(&path))?;
        context.log("made by ourselves");
        fs::write(&dev.real_path, format!("dev of {}\n", path.to_absolute()))?;
        fs::create_dir(&out.real_path)?;
        let me = out.path.to_absolute();
        fs::write(out.real_path.join("text"), format!("{text}{me}/text {me} {}\n", dev.path.to_absolute()))?;
        Ok(())
    }
}

fn open(daemon: &NixDaemon) -> Arc<DaemonStore> {
    let address = DaemonAddress::parse(&daemon.address(), None).unwrap().unwrap();
    Arc::new(address.open(DaemonOptions::default(), Arc::new(Silent)).unwrap())
}

struct Site {
    daemon: NixDaemon,
    store: Arc<DaemonStore>,
    data: tempfile::TempDir,
    memo: Mutex<BTreeMap<StorePath, HashModulo>>,
}

impl Site {
    fn new() -> Option<Site> {
        Self::with(&[])
    }

    fn with(options: &[(&str, &str)]) -> Option<Site> {
        let daemon = NixDaemon::start(options)?;
        let store = open(&daemon);
        Some(Site { daemon, store, data: tempfile::tempdir().unwrap(), memo: Mutex::default() })
    }

    /// Deletes an object, as a collection would once nobody works with it any more.
    fn delete(&mut self, path: &StorePath) {
        let path = path.to_absolute();
        // With the connection ends what it has asked to be kept.
        self.store = open(&self.daemon);
        peers::succeed(self.daemon.program("nix-store").args(["--delete", &path]));
    }

    fn builder(&self, options: Options) -> DaemonBuilder {
        DaemonBuilder::new(Arc::clone(&self.store), options, self.data.path()).with_builtin(Box::new(Own))
    }

    fn build(&self, derivation: &StorePath) -> Result<Realised, BuildError> {
        Ok(self.builder(Options::new()).realise(&[Wanted::all(derivation.clone())])?.remove(0))
    }

    fn add(&self, mut derivation: Derivation) -> StorePath {
        let modulo = |path: &StorePath| Ok::<_, std::convert::Infallible>(self.memo.lock().unwrap()[path].clone());
        derivation.fill_output_paths(modulo).unwrap();
        let path = self.store.add_derivation(&derivation).unwrap();
        let modulo = derivation.hash_modulo(modulo).unwrap();
        self.memo.lock().unwrap().insert(path.clone(), modulo);
        path
    }

    fn output(&self, derivation: &StorePath, output: &str) -> String {
        self.store.read_derivation(derivation).unwrap().output_path(output).unwrap().to_absolute()
    }

    fn read(&self, path: &StorePath) -> String {
        let real = self.store.real_path(path);
        fs::read_to_string(if real.is_dir() { real.join("text") } else { real }).unwrap()
    }
}

fn derivation(name: &str, builder: &str, env: &[(&str, &str)]) -> Derivation {
    Derivation {
        name: name.to_owned(),
        outputs: BTreeMap::from([("out".to_owned(), Output::Deferred)]),
        input_derivations: BTreeMap::new(),
        input_sources: BTreeSet::new(),
        system: format!("{}-linux", std::env::consts::ARCH),
        builder: builder.into(),
        args: Vec::new(),
        env: env.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
    }
}

/// A shell script as a derivation that needs these outputs.
fn script(name: &str, script: &str, inputs: &[(&StorePath, &str)]) -> Derivation {
    let mut derivation = derivation(name, "/bin/sh", &[]);
    derivation.args = vec!["-c".into(), script.into()];
    for (input, output) in inputs {
        derivation.input_derivations.entry((*input).clone()).or_default().insert((*output).to_owned());
    }
    derivation
}

fn own(name: &str, input: &StorePath, path: &str) -> Derivation {
    let mut own = derivation(name, "builtin:own", &[("input", path)]);
    own.outputs.insert("dev".to_owned(), Output::Deferred);
    own.input_derivations = BTreeMap::from([(input.clone(), BTreeSet::from(["out".to_owned()]))]);
    own
}

#[test]
fn what_is_made_here_enters_by_its_content_and_what_needs_it_finds_it() {
    let Some(site) = Site::new() else { return };
    let base = site.add(script("base", "echo from the daemon > $out", &[]));
    let mine = site.add(own("mine", &base, &site.output(&base, "out")));
    let (out, dev) = (site.output(&mine, "out"), site.output(&mine, "dev"));
    let text = format!("echo {out}/text {dev} > $out; while read line; do echo \"$line\"; done < {out}/text >> $out");
    let top = site.add(script("top", &text, &[(&mine, "out"), (&mine, "dev")]));
    let outlook = site.builder(Options::new()).outlook(&[Wanted::all(top.clone())]).unwrap();
    assert_eq!(outlook.build, [base.clone(), mine.clone(), top.clone()]);
    let built = site.build(&top).unwrap().outputs["out"].clone();
    let mine_built = site.build(&mine).unwrap().outputs;
    let text = site.read(&mine_built["out"]);
    let (real_out, real_dev) = (mine_built["out"].to_absolute(), mine_built["dev"].to_absolute());
    assert_eq!(text, format!("from the daemon\n{real_out}/text {real_out} {real_dev}\n"));
    assert_eq!(site.read(&built), format!("{real_out}/text {real_dev}\n{text}"));
    // The daemon knows what refers to what, and that nobody need be believed.
    let info = site.store.require(&mine_built["out"]).unwrap();
    assert_eq!(info.references, mine_built.values().cloned().collect());
    assert!(info.content_address.is_some() && info.deriver.as_ref() == Some(&mine));
    let uses = site.store.require(&built).unwrap().references;
    assert!(uses.contains(&mine_built["out"]) && uses.contains(&mine_built["dev"]));
    // By itself at another path than its derivation says.
    assert_ne!(real_out, out);
    assert!(!site.store.is_valid(&StorePath::from_absolute(&out).unwrap()).unwrap());
    let verified = site.daemon.program("nix-store").args(["--verify", "--check-contents"]).output().unwrap();
    assert!(verified.status.success(), "{}", peers::printed(&verified));
    assert_eq!(site.store.verify(true, false).unwrap(), Vec::<String>::new());
    // Nothing is left to be done.
    let outlook = site.builder(Options::new()).outlook(&[Wanted::all(top.clone()), Wanted::all(mine)]).unwrap();
    assert_eq!(outlook.build, []);
    assert_eq!(site.build(&top).unwrap().outputs["out"], built);
    assert_eq!(fs::read_dir(site.data.path().join("scratch")).unwrap().count(), 0);
    assert!(site.data.path().join("nix/var/log/nix/drvs").exists());
}

#[test]
fn a_collection_that_took_what_was_made_here_is_noticed() {
    let Some(mut site) = Site::new() else { return };
    let base = site.add(script("base", "echo x > $out", &[]));
    let mine = site.add(own("mine", &base, &site.output(&base, "out")));
    let built = site.build(&mine).unwrap().outputs;
    site.delete(&built["out"]);
    assert!(!site.store.is_valid(&built["out"]).unwrap());
    assert_eq!(site.build(&mine).unwrap().outputs, built);
    assert!(site.store.is_valid(&built["out"]).unwrap());
    site.delete(&built["out"]);
    let notes = DaemonBuilder::realisations(site.data.path());
    notes.forget_unless(|path| site.store.is_valid(path).map_err(std::io::Error::other)).unwrap();
    let notes = fs::read_dir(site.data.path().join("realisations")).unwrap();
    let notes: Vec<_> = notes.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(notes, [format!("{}!dev", mine.base_name())]);
}

#[test]
fn failures_of_either_side_are_told() {
    let Some(site) = Site::new() else { return };
    let bad = site.add(script("bad", "echo one; echo two; exit 3", &[]));
    let error = site.build(&bad).unwrap_err();
    assert!(matches!(&error, BuildError::Daemon { what, .. } if *what == bad.to_absolute()), "{error}");
    assert!(error.to_string().contains("exit code 3") && error.to_string().contains("two"), "{error}");
    assert!(!error.to_string().contains('\u{1b}'), "{error:?}");
    // What needs it cannot be made, whoever would.
    let mine = site.add(own("mine", &bad, &site.output(&bad, "out")));
    assert!(matches!(site.build(&mine), Err(BuildError::Daemon { .. })));
    let unlike = site.add({
        let mut unlike = derivation("unlike", "builtin:own", &[]);
        unlike.outputs.insert("dev".to_owned(), Output::Deferred);
        unlike
    });
    let error = site.build(&unlike).unwrap_err();
    assert!(matches!(&error, BuildError::Builtin { .. }) && error.to_string().contains("no input"), "{error}");
    let mut wanted = Wanted::all(bad);
    wanted.outputs = Some(BTreeSet::from(["doc".to_owned()]));
    let error = site.builder(Options::new()).realise(&[wanted]).unwrap_err();
    assert!(matches!(error, BuildError::NoSuchOutput { .. }), "{error}");
}

/// Makes something else each time.
struct Fickle(Mutex<u32>);

impl Builtin for Fickle {
    fn name(&self) -> &str {
        "builtin:fickle"
    }

    fn build(&self, context: &BuiltinContext<'_>) -> Result<(), BuiltinError> {
        let mut count = self.0.lock().map_err(|error| error.to_string())?;
        *count += 1;
        Ok(fs::write(&context.output("out")?.real_path, count.to_string())?)
    }
}

#[test]
fn checks_build_again() {
    let Some(site) = Site::new() else { return };
    let mut options = Options::new();
    options.check = true;
    let good = site.add(script("good", "echo same > $out", &[]));
    let fickle = site.add(script("fickle", "read n < /proc/sys/kernel/random/uuid; echo $n > $out", &[]));
    let mine = site.add(derivation("mine", "builtin:fickle", &[]));
    let builder = site.builder(options).with_builtin(Box::new(Fickle(Mutex::default())));
    let again = |path: &StorePath| builder.realise(&[Wanted::all(path.clone())]);
    again(&good).unwrap();
    let error = again(&fickle).unwrap_err().to_string();
    assert!(error.contains("may not be deterministic") || error.contains("not deterministic"), "{error}");
    again(&mine).unwrap();
    let error = again(&mine).unwrap_err();
    assert!(matches!(&error, BuildError::NotDeterministic { differences, .. } if !differences.is_empty()), "{error}");
}

#[test]
fn whoever_is_not_trusted_may_build_too() {
    // The daemon trusts nobody, so that this is as it is for every user.
    let Some(site) = Site::with(&[("trusted-users", "")]) else { return };
    assert_ne!(site.store.trusts_us().unwrap(), Some(true));
    let base = site.add(script("base", "echo from the daemon > $out", &[]));
    let mine = site.add(own("mine", &base, &site.output(&base, "out")));
    let out = site.output(&mine, "out");
    let top = site.add(script("top", &format!("echo {out} > $out"), &[(&mine, "out")]));
    let built = site.build(&top).unwrap().outputs["out"].clone();
    assert!(Path::new(site.read(&built).trim()).starts_with("/nix/store"));
}
