//! Builds on other machines: real daemons behind a real `sshd` on loopback.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use build::{BuildError, Farm, Options, Realise, Wanted, log_path};
use nix_formats::content_address::Method;
use nix_formats::hash::HashAlgo;
use nix_formats::machines::Machine;
use nix_formats::placeholder::upstream_output;
use nix_formats::store_path::StorePath;
use peers::{NixDaemon, SshServer};
use store::Store;
use store::cache::{Directory, ExportOptions, export};
use store::daemon::DaemonAddress;
use store::progress::{Activity, Outcome, Progress, Silent, TaskId};

use crate::workshop::Workshop;

/// A workshop with another machine.
struct Country {
    workshop: Workshop,
    ssh: SshServer,
    there: NixDaemon,
}

impl Country {
    fn new(options: &[(&str, &str)]) -> Option<Country> {
        Some(Country { workshop: Workshop::new()?, ssh: SshServer::start()?, there: NixDaemon::start(options)? })
    }

    /// The line of the machine.
    fn line(&self, trusted: bool, systems: &str, jobs: usize, features: &str) -> String {
        format!(
            "ssh-ng://{}?remote-program={} {systems} {} {jobs} 1 {features} - {}",
            self.ssh.destination(),
            self.there.script(trusted).display(),
            self.ssh.key().display(),
            self.ssh.host_key()
        )
    }
}

fn farm(text: &str) -> Farm {
    farm_with(text, false)
}

fn farm_with(text: &str, substitutes: bool) -> Farm {
    let machines = Machine::parse_all(text, &mut |_| Ok(None)).unwrap().into_iter();
    let machines = machines.map(|machine| {
        let address = DaemonAddress::parse(&machine.address, None).unwrap().unwrap();
        let DaemonAddress::Ssh(host, mut ssh) = address else { panic!("{address:?}") };
        ssh.key = machine.key.as_ref().map(Into::into);
        ssh.host_key.clone_from(&machine.host_key);
        ssh.options = vec!["-oStrictHostKeyChecking=yes".to_owned(), "-oBatchMode=yes".to_owned()];
        (machine, DaemonAddress::Ssh(host, ssh))
    });
    Farm::new(machines.collect(), substitutes)
}

#[derive(Default)]
struct Notes(Mutex<Vec<String>>);

impl Progress for Notes {
    fn start(&self, activity: Activity, name: &str, _: Option<u64>) -> TaskId {
        self.0.lock().unwrap().push(format!("{activity:?} {name}"));
        TaskId(0)
    }
    fn advance(&self, _: TaskId, _: u64) {}
    fn finish(&self, _: TaskId, _: Outcome) {}
    fn log(&self, _: TaskId, line: &str) {
        self.0.lock().unwrap().push(line.to_owned());
    }
    fn warn(&self, message: &str) {
        self.0.lock().unwrap().push(format!("warning: {message}"));
    }
}

impl Notes {
    fn has(&self, text: &str) -> bool {
        self.0.lock().unwrap().iter().any(|note| note.contains(text))
    }
}

/// The system of this machine, and one that no machine here is.
fn systems() -> String {
    format!("{}-linux,foreign-linux", std::env::consts::ARCH)
}

#[test]
fn what_this_machine_cannot_build_another_does() {
    let Some(country) = Country::new(&[("system-features", "quantum")]) else { return };
    let workshop = &country.workshop;
    let native = format!("{}-linux", std::env::consts::ARCH);
    let (base, base_out) = workshop.recipe("base", "echo base; echo base > $out").add_with_output("out");
    let top = workshop
        .recipe(
            "top",
            "mkdir $out; cat $base > $out/x; echo $out > $out/me; ln -s $base $dev; echo above > /dev/stderr",
        )
        .outputs(&["out", "dev"])
        .input(&base, "out")
        .set("base", &base_out.to_absolute())
        .set("requiredSystemFeatures", "quantum")
        .add();
    let notes = Arc::new(Notes::default());
    let line = country.line(true, &native, 2, "quantum");
    let mut options = Options::new();
    options.jobs = 1;
    let builder = workshop.builder(options.clone()).with_farm(farm(&line)).with_progress(notes.clone());
    let realised = builder.realise(&[Wanted::all(top.clone())]).unwrap_or_else(|error| panic!("{error}"));
    let out = &realised[0].outputs["out"];
    assert_eq!(fs::read_to_string(workshop.store.real_path(out).join("x")).unwrap(), "base\n");
    assert!(notes.has("Build top on ssh-ng://") && notes.has("above"), "{:?}", notes.0.lock().unwrap());
    let info = workshop.store.require(out).unwrap();
    assert_eq!(info.references, BTreeSet::from([out.clone()]));
    assert_eq!((info.deriver, info.ultimate), (Some(top.clone()), false));
    assert!(log_path(&workshop.store.log_dir(), &top).exists());
    workshop.verify_clean();
    // Without that machine nobody can.
    let lonely = workshop.recipe("lonely", "echo > $out").set("requiredSystemFeatures", "quantum").set("n", "1").add();
    let error = workshop.builder(options).realise(&[Wanted::all(lonely)]).unwrap_err();
    assert!(matches!(error, BuildError::Machine { .. }), "{error}");
}

#[test]
fn with_no_jobs_here_all_is_built_there_at_once() {
    let Some(country) = Country::new(&[]) else { return };
    let workshop = &country.workshop;
    let leaves: Vec<(StorePath, StorePath)> = (0..6)
        .map(|number| {
            let name = format!("leaf{number}");
            workshop.recipe(&name, &format!("echo {number}; echo {number} > $out")).add_with_output("out")
        })
        .collect();
    let mut top = workshop.recipe("top", "cat $all > $out");
    for (leaf, _) in &leaves {
        top = top.input(leaf, "out");
    }
    let all: Vec<String> = leaves.iter().map(|(_, out)| out.to_absolute()).collect();
    let top = top.set("all", &all.join(" ")).add();
    let fixed = workshop.recipe("fixed", "printf hello > $out").fixed(Method::Flat, HashAlgo::Sha256, b"hello").add();
    let wrong = workshop.recipe("wrong", "printf hullo > $out").fixed(Method::Nar, HashAlgo::Sha256, b"hello").add();
    let bad = workshop.recipe("bad", "echo the last words; exit 7").add();
    let mut options = Options::new();
    options.jobs = 0;
    let builder = workshop.builder(options).with_farm(farm(&country.line(true, &systems(), 3, "-")));
    let realised = builder.realise(&[Wanted::all(top), Wanted::all(fixed)]).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(
        fs::read_to_string(workshop.store.real_path(&realised[0].outputs["out"])).unwrap(),
        "0\n1\n2\n3\n4\n5\n"
    );
    let error = builder.realise(&[Wanted::all(bad)]).unwrap_err().to_string();
    assert!(error.contains("failed on 'ssh-ng://") && error.contains("> the last words"), "{error}");
    let error = builder.realise(&[Wanted::all(wrong)]).unwrap_err().to_string();
    assert!(error.contains("hash mismatch"), "{error}");
    workshop.verify_clean();
}

#[test]
fn a_machine_that_does_not_trust_us_gets_the_derivations() {
    let Some(country) = Country::new(&[("trusted-users", ""), ("require-sigs", "false")]) else { return };
    let workshop = &country.workshop;
    let (base, base_out) = workshop.recipe("base", "echo base > $out").add_with_output("out");
    let top = workshop
        .recipe("top", "cat $base > $out; echo top")
        .input(&base, "out")
        .set("base", &base_out.to_absolute())
        .add();
    let mut options = Options::new();
    options.jobs = 0;
    let builder = workshop.builder(options).with_farm(farm(&country.line(false, &systems(), 1, "-")));
    let realised = builder.realise(&[Wanted::all(top)]).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(fs::read_to_string(workshop.store.real_path(&realised[0].outputs["out"])).unwrap(), "base\n");
}

#[test]
fn outputs_whose_paths_only_building_tells_come_back() {
    let Some(country) = Country::new(&[]) else { return };
    let workshop = &country.workshop;
    let floating = workshop.recipe("floating", "echo x > $out").floating(Method::Nar, HashAlgo::Sha256).add();
    let stand_in = upstream_output(&floating, &"out".to_owned()).unwrap();
    let top = workshop.recipe("top", "cat $floating > $out; echo $floating >> $out").input(&floating, "out");
    let top = top.set("floating", &stand_in).add();
    let mut options = Options::new();
    options.jobs = 0;
    let builder = workshop.builder(options).with_farm(farm(&country.line(true, &systems(), 1, "-")));
    let realised =
        builder.realise(&[Wanted::all(top), Wanted::all(floating)]).unwrap_or_else(|error| panic!("{error}"));
    let (top, floating) = (&realised[0].outputs["out"], &realised[1].outputs["out"]);
    let text = fs::read_to_string(workshop.store.real_path(top)).unwrap();
    assert_eq!(text, format!("x\n{}\n", floating.to_absolute()));
    assert!(workshop.store.require(floating).unwrap().content_address.is_some());
    workshop.verify_clean();
}

#[test]
fn a_machine_that_fails_is_left_alone() {
    let Some(country) = Country::new(&[]) else { return };
    let workshop = &country.workshop;
    let one = workshop.recipe("one", "echo one > $out").add();
    let system = format!("{}-linux", std::env::consts::ARCH);
    let nobody = format!("ssh-ng://nobody@127.0.0.1:{} {system} - 4 9", peers::free_port());
    let mute = format!(
        "ssh-ng://{}?remote-program=/bin/false {system} {} 4 8 - - {}",
        country.ssh.destination(),
        country.ssh.key().display(),
        country.ssh.host_key()
    );
    let notes = Arc::new(Notes::default());
    let mut options = Options::new();
    options.jobs = 0;
    let lines = [nobody.clone(), mute, country.line(true, &system, 1, "-")].join(";");
    let builder = workshop.builder(options.clone()).with_farm(farm(&lines)).with_progress(notes.clone());
    builder.realise(&[Wanted::all(one)]).unwrap_or_else(|error| panic!("{error}"));
    assert!(notes.has("nobody@127.0.0.1") && notes.has("builds nothing any more"), "{:?}", notes.0.lock().unwrap());
    let left = notes.0.lock().unwrap().iter().filter(|note| note.contains("builds nothing any more")).count();
    assert_eq!(left, 2, "{:?}", notes.0.lock().unwrap());
    // With none left, it is said what there was.
    let two = workshop.recipe("two", "echo two > $out").add();
    let error = workshop.builder(options).with_farm(farm(&nobody)).realise(&[Wanted::all(two)]).unwrap_err();
    assert!(matches!(&error, BuildError::NoMachine { .. }) && error.to_string().contains("it has failed"), "{error}");
}

#[test]
fn a_machine_takes_what_its_own_caches_have() {
    let Some(workshop) = Workshop::new() else { return };
    let place = tempfile::tempdir().unwrap();
    let cache = place.path().join("cache");
    let paths = std::slice::from_ref(&workshop.busybox);
    let (directory, options) = (Directory::new(&cache), ExportOptions::default());
    export(&*workshop.store, paths, &directory, &options, &Silent).unwrap();
    let substituters = format!("file://{}?trusted=1", cache.display());
    let (Some(ssh), Some(there)) = (SshServer::start(), NixDaemon::start(&[("substituters", &substituters)])) else {
        return;
    };
    if there.system() != Path::new("/") {
        println!("skipped: the cache is not where the other system would look");
        return;
    }
    let country = Country { workshop, ssh, there };
    let one = country.workshop.recipe("one", "echo one > $out").add();
    let notes = Arc::new(Notes::default());
    let mut options = Options::new();
    options.jobs = 0;
    let farm = farm_with(&country.line(true, &systems(), 1, "-"), true);
    let builder = country.workshop.builder(options).with_farm(farm).with_progress(notes.clone());
    builder.realise(&[Wanted::all(one)]).unwrap_or_else(|error| panic!("{error}"));
    assert!(notes.has("Copy one") && !notes.has("Copy busybox"), "{:?}", notes.0.lock().unwrap());
}

#[test]
fn a_host_with_another_key_is_not_spoken_to() {
    let Some(country) = Country::new(&[]) else { return };
    let Some(other) = SshServer::start() else { return };
    let one = country.workshop.recipe("one", "echo one > $out").add();
    let line = country.line(true, &systems(), 1, "-").replace(&country.ssh.host_key(), &other.host_key());
    let notes = Arc::new(Notes::default());
    let mut options = Options::new();
    options.jobs = 0;
    let builder = country.workshop.builder(options).with_farm(farm(&line)).with_progress(notes.clone());
    builder.realise(&[Wanted::all(one)]).unwrap_err();
    assert!(notes.has("Host key verification failed"), "{:?}", notes.0.lock().unwrap());
}
