//! Machines whose kernel refuses namespaces. They are real: a child of the test lives in a user namespace in which the
//! limits of the others are zero.

use std::fs;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};

use build::{BuildError, Isolation, Options, Realise, Wanted};
use nix_formats::content_address::Method;
use nix_formats::hash::HashAlgo;
use store::Store;
use store::progress::{Activity, Outcome, Progress, TaskId};

use crate::workshop::{Recipe, Workshop, lacks};

/// Names the case that the child of a test is to try.
const CASE: &str = "WHARF_TEST_REFUSED_NAMESPACES";

/// Refuses these kinds of namespaces in a new user namespace, and runs the case there. With `all_ids` every id of this
/// machine is one there too, which only root can do.
fn refuse(kinds: &[&str], case: &str, all_ids: bool) {
    if Command::new("unshare").arg("--version").output().is_err() || !Path::new("/nix").is_dir() {
        return lacks("unshare, and a directory /nix");
    }
    if all_ids && !rustix::process::geteuid().is_root() {
        return lacks("root's rights");
    }
    let limits: String = kinds.iter().map(|kind| format!("echo 0 > /proc/sys/user/max_{kind}_namespaces\n")).collect();
    let script = format!("set -e\n{limits}exec \"$0\" --exact unconfined::case --nocapture");
    let mut holder = all_ids.then(holder_of_all_ids);
    let mut command = match &holder {
        Some(holder) => {
            let mut command = Command::new("nsenter");
            command.args(["-t", &holder.id().to_string(), "-U", "-m"]);
            command
        }
        None => Command::new("unshare"),
    };
    if holder.is_none() {
        command.arg("-rm");
    }
    let output =
        command.args(["sh", "-c", &script]).arg(std::env::current_exe().unwrap()).env(CASE, case).output().unwrap();
    if let Some(holder) = &mut holder {
        holder.kill().unwrap();
        holder.wait().unwrap();
    }
    let text = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

/// A process in a user namespace in which every id is itself, and in a mount namespace.
fn holder_of_all_ids() -> Child {
    let holder = Command::new("unshare").args(["-Um", "sleep", "300"]).spawn().unwrap();
    // It has its namespaces once its program is another one.
    let name = format!("/proc/{}/comm", holder.id());
    while fs::read_to_string(&name).is_ok_and(|name| name.trim() != "sleep") {
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    for map in ["uid_map", "gid_map"] {
        fs::write(format!("/proc/{}/{map}", holder.id()), "0 0 4294967295").unwrap();
    }
    holder
}

const ALL: [&str; 6] = ["user", "mnt", "pid", "ipc", "uts", "net"];

#[test]
fn root_needs_no_user_namespace() {
    refuse(&["user"], "root", false);
    refuse(&["user"], "root", true);
}

#[test]
fn a_store_that_is_elsewhere_needs_namespaces() {
    refuse(&ALL, "elsewhere", false);
}

#[test]
fn a_store_in_its_place_does_without() {
    refuse(&ALL, "in place", false);
    refuse(&ALL, "in place", true);
}

/// Not a test of its own: what the children of the others do.
#[test]
fn case() {
    let Ok(case) = std::env::var(CASE) else { return };
    let Some(workshop) = Workshop::new() else { return };
    match case.as_str() {
        "root" => as_root(&workshop),
        "elsewhere" => elsewhere(&workshop),
        _ => in_place(&workshop),
    }
    workshop.verify_clean();
}

#[derive(Default)]
struct Warnings(Mutex<Vec<String>>);

impl Progress for Warnings {
    fn warn(&self, message: &str) {
        self.0.lock().unwrap().push(message.to_owned());
    }

    fn start(&self, _: Activity, _: &str, _: Option<u64>) -> TaskId {
        TaskId(0)
    }
    fn advance(&self, _: TaskId, _: u64) {}
    fn finish(&self, _: TaskId, _: Outcome) {}
    fn log(&self, _: TaskId, _: &str) {}
}

fn build_with(workshop: &Workshop, options: Options, recipe: Recipe<'_>) -> (Result<String, BuildError>, Vec<String>) {
    let warnings = Arc::new(Warnings::default());
    let derivation = recipe.add();
    let builder = workshop.builder(options).with_progress(warnings.clone());
    let realised = builder.realise(&[Wanted::all(derivation)]);
    let text = realised
        .map(|mut all| fs::read_to_string(workshop.store.real_path(&all.remove(0).outputs["out"])).unwrap_or_default());
    (text, std::mem::take(&mut *warnings.0.lock().unwrap()))
}

fn build(workshop: &Workshop, recipe: Recipe<'_>) -> (Result<String, BuildError>, Vec<String>) {
    build_with(workshop, Options::new(), recipe)
}

fn as_root(workshop: &Workshop) {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("marker"), "of the machine\n").unwrap();
    let script = format!(
        "test ! -e {}; pwd; hostname; id -u; ls /proc | grep -c '^[0-9]'; grep -c : /proc/net/dev; echo x > /etc/x && exit 1; \
         grep CapEff /proc/self/status",
        outside.path().display()
    );
    let recipe = workshop.recipe("closed", &format!("{{ {script}; }} > $out 2>/dev/null"));
    let (text, warnings) = build(workshop, recipe);
    let text = text.unwrap_or_else(|error| panic!("{error}"));
    // Of all its processes it sees two or three; its network has a loopback alone.
    assert!(text.starts_with("/build\nlocalhost\n") && text.ends_with("\n1\nCapEff:\t0000000000000000\n"), "{text}");
    assert!(warnings.is_empty(), "{warnings:?}");
    let user: u32 = text.lines().nth(2).unwrap().parse().unwrap();
    let many_ids = fs::read_to_string("/proc/self/uid_map").unwrap().trim().ends_with("4294967295");
    assert_eq!(user == 0, !many_ids, "a user of its own, where there is one: {text}");
    let open = workshop.recipe("open", &format!("cat {}/marker > $out", outside.path().display()));
    let (text, _) = build_with(workshop, Options { isolation: Isolation::Off, ..Options::new() }, open);
    assert_eq!(text.unwrap(), "of the machine\n");
}

fn elsewhere(workshop: &Workshop) {
    let (result, warnings) = build(workshop, workshop.recipe("x", "echo > $out"));
    let error = result.unwrap_err();
    assert!(matches!(error, BuildError::Unconfined { .. }), "{error}");
    let (error, root) = (error.to_string(), workshop.store.store_dir().display().to_string());
    for part in ["sysctl user.max_user_namespaces=15000", &root, "--store /", "--store daemon", "-x.drv'"] {
        assert!(error.contains(part), "{part}: {error}");
    }
    assert!(warnings.is_empty(), "{warnings:?}");
}

fn in_place(workshop: &Workshop) {
    let refusing = Options { sandbox_fallback: false, ..Options::new() };
    let error = build_with(workshop, refusing, workshop.recipe("x", "echo > $out")).0.unwrap_err().to_string();
    assert!(error.contains("sandbox-fallback is false"), "{error}");
    let nix = workshop.root().join("nix");
    assert!(Command::new("mount").arg("--bind").arg(&nix).arg("/nix").status().unwrap().success());
    ordinary_things(workshop);
    failures(workshop);
    what_was_left_running(workshop);
    // Nothing but objects is left in the store.
    let valid = workshop.store.all_paths().unwrap().len();
    let there = fs::read_dir(workshop.store.store_dir()).unwrap().flatten();
    let there: Vec<_> = there.map(|entry| entry.file_name()).filter(|name| name != ".links").collect();
    assert_eq!(there.len(), valid, "{there:?}");
}

fn ordinary_things(workshop: &Workshop) {
    let first = workshop.recipe("first", "pwd > $out; echo $TMPDIR >> $out; echo 'id -u' > f; sh f >> $out").add();
    let script = format!("{{ cat $first; echo $out; echo $0; }} > $out; echo {} > $dev", "again");
    let second = workshop.recipe("second", &script).outputs(&["out", "dev"]).input(&first, "out");
    let first_out = workshop.store.read_derivation(&first).unwrap().output_path("out").unwrap().to_absolute();
    let (text, warnings) = build(workshop, second.set("first", &first_out));
    let text = text.unwrap_or_else(|error| panic!("{error}"));
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0] == lines[1] && lines[0].ends_with("/build") && lines[0] != "/build", "{text}");
    assert!(lines[3].starts_with("/nix/store/") && lines[3].ends_with("-second"), "{text}");
    // Once for both.
    let [warning] = &warnings[..] else { panic!("{warnings:?}") };
    assert!(warning.contains("without a sandbox") && warning.contains("sysctl user.max_user_namespaces"), "{warning}");
    // What is told by its content goes to another place than where it was made.
    let floating = workshop.recipe("floating", "echo $out > $out").floating(Method::Nar, HashAlgo::Sha256);
    let text = build(workshop, floating).0.unwrap();
    assert!(text.trim().ends_with("-floating"), "{text}");
    let fixed = workshop.recipe("fixed", "printf hello > $out").fixed(Method::Flat, HashAlgo::Sha256, b"hello");
    assert_eq!(build(workshop, fixed).0.unwrap(), "hello");
    let off = Options { isolation: Isolation::Off, ..Options::new() };
    let (text, warnings) = build_with(workshop, off, workshop.recipe("off", "echo off > $out"));
    assert!(text.unwrap() == "off\n" && warnings.len() == 1 && warnings[0].contains("a view of this machine"));
    let check = Options { check: true, ..Options::new() };
    let error = build_with(workshop, check, workshop.recipe("off", "echo off > $out")).0.unwrap_err().to_string();
    assert!(error.contains("is there already") && error.contains("needs a sandbox"), "{error}");
}

fn failures(workshop: &Workshop) {
    let before = workshop.store.all_paths().unwrap().len();
    let recipes = [
        workshop.recipe("failing", "mkdir $out; echo x > $out/x; exit 3"),
        workshop.recipe("setuid", "echo x > $out; chmod 4755 $out"),
        workshop.recipe("wrong", "echo x > $out").fixed(Method::Flat, HashAlgo::Sha256, b"hello"),
        workshop.recipe("floating-failing", "echo x > $out; exit 1").floating(Method::Nar, HashAlgo::Sha256),
    ];
    let count = recipes.len();
    for recipe in recipes {
        build(workshop, recipe).0.unwrap_err();
    }
    assert_eq!(workshop.store.all_paths().unwrap().len(), before + count, "the derivations alone");
}

fn what_was_left_running(workshop: &Workshop) {
    let left = |seconds: u32| {
        let running = fs::read_dir("/proc").unwrap().flatten();
        let lines = running.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
        lines.filter(|line| String::from_utf8_lossy(line).ends_with(&format!("sleep\0{seconds}\0"))).count()
    };
    // One in the background, and one whose parent is gone.
    let script = "sleep 7391 & (sleep 7391 & ); echo done > $out";
    assert_eq!(build(workshop, workshop.recipe("left", script)).0.unwrap(), "done\n");
    assert_eq!(left(7391), 0);
    let mut slow = Options::new();
    slow.watch.time = Some(std::time::Duration::from_millis(300));
    let recipe = workshop.recipe("slow", "sleep 7392 & sleep 7392");
    let error = build_with(workshop, slow, recipe).0.unwrap_err().to_string();
    assert!(error.contains("the limit for a build"), "{error}");
    assert_eq!(left(7392), 0);
}
