//! The same derivations built by real Nix, in a copy of the store: every output must have the same path, NAR hash,
//! size and references.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use build::{Options, Realise, Wanted};
use nix_formats::content_address::Method;
use nix_formats::hash::HashAlgo;
use nix_formats::placeholder::own_output;
use nix_formats::store_path::StorePath;
use store::{LocalStore, PathInfo, Store};

use crate::workshop::{Recipe, Workshop, busybox, lacks};

fn nix_store() -> Option<PathBuf> {
    let found = ["/usr/bin/nix-store", "/run/current-system/sw/bin/nix-store"].map(PathBuf::from);
    let found = found.into_iter().find(|path| path.exists());
    if found.is_none() {
        lacks("nix-store");
    }
    found
}

/// Runs `nix-store` on a store of its own.
fn nix(program: &Path, root: &Path, arguments: &[&str]) -> Result<String, String> {
    let shell = format!("/bin/sh={}", busybox().unwrap().display());
    let output = Command::new(program)
        .arg("--store")
        .arg(root)
        .args([
            "--option",
            "sandbox-paths",
            &shell,
            "--option",
            "build-users-group",
            "",
            "--option",
            "substitute",
            "false",
        ])
        .args(["--option", "cores", "1", "--option", "sandbox", "true"])
        .args(arguments)
        .env("HOME", root)
        .env_remove("NIX_REMOTE")
        .output()
        .unwrap();
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

/// What is compared of an object; who made it when is not.
fn infos(store: &LocalStore) -> BTreeMap<StorePath, PathInfo> {
    let info = |path: StorePath| {
        let info = store.require(&path).unwrap();
        (path, PathInfo { registration_time: 0, signatures: Default::default(), ..info })
    };
    store.all_paths().unwrap().into_iter().map(info).collect()
}

fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(status.success());
}

#[test]
fn nix_makes_the_same() {
    let (Some(workshop), Some(program)) = (Workshop::new(), nix_store()) else { return };
    let derivations = derivations(&workshop);
    println!("{} derivations", derivations.len());
    let other = workshop.root().with_file_name("other");
    copy(&workshop.root(), &other);
    let options = Options { jobs: 2, cores: 1.try_into().unwrap(), ..Options::new() };
    let wanted: Vec<Wanted> = derivations.iter().cloned().map(Wanted::all).collect();
    workshop.builder(options).realise(&wanted).unwrap_or_else(|error| panic!("{error}"));
    let paths: Vec<String> = derivations.iter().map(StorePath::to_absolute).collect();
    let mut arguments = vec!["--realise", "--keep-going", "--max-jobs", "2"];
    arguments.extend(paths.iter().map(String::as_str));
    nix(&program, &other, &arguments).unwrap_or_else(|error| panic!("{error}"));
    let (ours, theirs) = (infos(&workshop.store), infos(&LocalStore::open(&other).unwrap()));
    let text = |root: &Path, path: &StorePath| {
        std::fs::read_to_string(root.join("nix/store").join(path.base_name())).unwrap_or_else(|error| error.to_string())
    };
    let mut differences = String::new();
    for (path, info) in &ours {
        let their = theirs.get(path).unwrap_or_else(|| panic!("Nix has not made {path}"));
        if (PathInfo { ultimate: their.ultimate, ..info.clone() }) != *their {
            let (our_text, their_text) = (text(&workshop.root(), path), text(&other, path));
            differences += &format!("{path}\nours: {info:?}\n{our_text}\nNix's: {their:?}\n{their_text}\n");
        }
    }
    assert_eq!(differences, "");
    assert_eq!(ours.len(), theirs.len());
    let verified = nix(&program, &workshop.root(), &["--verify", "--check-contents"]);
    assert!(verified.is_ok(), "{verified:?}");
    let log = nix(&program, &workshop.root(), &["--read-log", &paths[0]]);
    assert_eq!(log.as_deref(), Ok("said\n"));
}

#[test]
fn nix_refuses_the_same() {
    let (Some(workshop), Some(program)) = (Workshop::new(), nix_store()) else { return };
    let busybox = workshop.busybox.to_absolute();
    let recipes: Vec<Recipe<'_>> = vec![
        workshop.recipe("exit", "exit 3"),
        workshop.recipe("no-output", "true"),
        workshop.recipe("pipe", "mkfifo $out"),
        workshop.recipe("writable", "mkdir $out; chmod 777 $out"),
        workshop.recipe("setuid", "echo > $out; chmod 4755 $out"),
        workshop.recipe("network", "grep -q eth0 /proc/net/dev"),
        workshop.recipe("input", "echo > $busybox/x; echo > $out").set("busybox", &busybox),
        workshop.recipe("allowed", "echo $PATH > $out").set("allowedReferences", ""),
        workshop.recipe("disallowed", "echo $PATH > $out").set("disallowedReferences", &busybox),
        workshop.recipe("requisites", "echo $PATH > $out").set("allowedRequisites", "out"),
        workshop.recipe("graph", "echo > $out").set("exportReferencesGraph", "odd"),
        workshop.recipe("flat", "printf other > $out").fixed(Method::Flat, HashAlgo::Sha256, b"hello"),
        workshop.recipe("executable", "printf hello > $out; chmod 755 $out").fixed(
            Method::Flat,
            HashAlgo::Sha256,
            b"hello",
        ),
        workshop.recipe("directory", "mkdir $out").fixed(Method::Flat, HashAlgo::Sha1, b"hello"),
        workshop.recipe("cycle", "echo $b > $a; echo $a > $b; echo $b >> $a").outputs(&["a", "b"]),
        workshop.recipe("features", "echo > $out").set("requiredSystemFeatures", "quantum"),
        workshop.recipe("system", "echo > $out").system("riscv64-linux"),
        workshop.recipe("free", "echo > $out").set("__noChroot", "1"),
    ];
    let derivations: Vec<StorePath> = recipes.into_iter().map(Recipe::add).collect();
    let other = workshop.root().with_file_name("other");
    copy(&workshop.root(), &other);
    for derivation in derivations {
        let ours = workshop.build(&derivation).map(|_| ());
        let theirs = nix(&program, &other, &["--realise", &derivation.to_absolute()]);
        assert_eq!(ours.is_err(), theirs.is_err(), "{derivation}: {ours:?} {theirs:?}");
        assert!(ours.is_err(), "{derivation}");
    }
}

/// Derivations that cover what a builder is given and what may come of it.
fn derivations(workshop: &Workshop) -> Vec<StorePath> {
    let mut all = vec![workshop.recipe("log", "echo said; echo > $out").add()];
    all.extend(trees(workshop));
    all.extend(surroundings(workshop));
    all.extend(passed(workshop));
    all.extend(structured(workshop));
    all.extend(fixed(workshop));
    all.extend(graph(workshop));
    all
}

/// Forms of outputs.
fn trees(workshop: &Workshop) -> Vec<StorePath> {
    let scripts = [
        ("file", "echo hello > $out"),
        ("empty", ": > $out"),
        ("executable", "echo x > $out; chmod 755 $out"),
        ("odd-mode", "echo x > $out; chmod 0641 $out"),
        ("group-executable", "echo x > $out; chmod 0610 $out; chmod 0410 $out"),
        ("link", "ln -s /does/not/exist $out"),
        ("link-to-self", "ln -s $out/x $out"),
        ("directory", "mkdir -p $out/a/b/c; echo 1 > $out/a/x; echo 2 > $out/a/b/y"),
        ("empty-directory", "mkdir $out"),
        ("closed-directory", "mkdir -p $out/d; echo x > $out/d/f; chmod 0 $out/d/f; chmod 0500 $out/d"),
        ("hard-links", "mkdir $out; echo x > $out/a; ln $out/a $out/b; chmod 755 $out/b"),
        (
            "names",
            "mkdir $out; echo > \"$out/a b\"; echo > $out/ü; echo > $out/.hidden; echo > \"$out/$(printf 'n\\nl')\"",
        ),
        ("sorted", "mkdir $out; for n in b a B A 1 10 2 a.b a-b ab; do echo $n > $out/$n; done"),
        ("large", "seq 1 300000 > $out"),
        // The last command keeps the shell, and so the log, open: Nix kills a builder that has closed its log.
        ("zeros", "dd if=/dev/zero of=$out bs=1024 count=3000 2>/dev/null; :"),
        ("many", "mkdir $out; for n in $(seq 1 300); do echo $n > $out/$n; done"),
        ("refers", "echo $PATH > $out"),
        ("refers-to-itself", "echo $out > $out"),
        ("refers-by-link", "ln -s $PATH/sh $out"),
        ("refers-by-name", "mkdir $out; touch $out/${PATH:11:32}"),
        ("refers-not", "echo ${PATH:11:31} > $out; echo ${PATH:12:32} >> $out"),
        ("refers-far-away", "dd if=/dev/zero bs=65521 count=1 2>/dev/null | tr '\\0' x > $out; echo $PATH >> $out"),
    ];
    scripts.iter().map(|(name, script)| workshop.recipe(name, script).add()).collect()
}

/// What the sandbox shows.
fn surroundings(workshop: &Workshop) -> Vec<StorePath> {
    let scripts = [
        ("environment", "env | sort | grep -v '^\\(SHLVL\\|_\\|NIX_BUILD_CORES\\)=' > $out"),
        ("id", "id > $out"),
        ("etc", "cat /etc/passwd /etc/group /etc/hosts > $out"),
        ("etc-files", "ls /etc > $out"),
        ("root", "ls / | grep -v '^bin$' > $out"),
        ("devices", "ls /dev | grep -v '^kvm$' > $out"),
        ("device-links", "for f in fd stdin stdout stderr ptmx; do readlink /dev/$f; done > $out || true"),
        ("store", "ls /nix/store > /tmp/list; cat /tmp/list > $out"),
        ("host", "hostname > $out"),
        ("interfaces", "grep -c : /proc/net/dev > $out"),
        ("umask", "umask > $out"),
        ("pid", "echo $$ > $out"),
        ("place", "echo $PWD $(readlink /proc/self/cwd) > $out; ls -A >> $out"),
        ("modes", "stat -c '%a %n' /build /tmp /dev/shm > $out"),
        ("input-is-read", "test ! -w $PATH/sh || true; cat $PATH/../bin/sh | head -c 20 > $out"),
        ("shell", "/bin/sh -c 'echo from /bin/sh' > $out"),
        ("standard-input", "cat > $out"),
        ("home", "echo $HOME $(test -e $HOME || echo missing) > $out"),
        ("arguments", "tr '\\0' '\\n' < /proc/self/cmdline > /dev/null; echo \"$0\" > $out"),
        ("capabilities", "grep -E '^(CapEff|CapPrm|NoNewPrivs)' /proc/self/status > $out"),
        ("setuid-refused", "echo x > $out; chmod 4755 $out 2>/dev/null || echo refused > $out"),
    ];
    scripts.iter().map(|(name, script)| workshop.recipe(name, script).add()).collect()
}

/// Attributes as variables and files.
fn passed(workshop: &Workshop) -> Vec<StorePath> {
    let placeholder = own_output("out");
    vec![
        workshop.recipe("variables", "echo \"$a|$b|$c\" > $out").set("a", "1\n2").set("b", "").set("c", "ü \"'$").add(),
        workshop
            .recipe("files", "cat $bigPath > $out; echo ${big-unset} >> $out; echo $bigPath >> $out; ls -A >> $out")
            .set("big", "contents")
            .set("passAsFile", "big other")
            .add(),
        workshop.recipe("placeholder", &format!("echo {placeholder} > $out")).set("p", &placeholder).add(),
        workshop
            .recipe("several", "mkdir $out $dev; echo $dev > $out/x; ln -s $doc $dev/y; echo > $doc")
            .outputs(&["out", "dev", "doc"])
            .add(),
        workshop.recipe("no-out", "echo $bin > $lib; echo > $bin").outputs(&["bin", "lib"]).add(),
        workshop.recipe("local", "echo > $out").set("preferLocalBuild", "1").set("allowSubstitutes", "").add(),
        workshop
            .recipe("allowed", "echo $out $PATH > $out")
            .set("allowedReferences", &format!("out {}", workshop.busybox.to_absolute()))
            .add(),
        workshop.recipe("parallel", "echo > $out").set("requiredSystemFeatures", "big-parallel").add(),
        workshop.recipe("builder", "").builder("/bin/sh").args(&["-c", "echo direct > $out"]).add(),
    ]
}

fn structured(workshop: &Workshop) -> Vec<StorePath> {
    let tools = format!("{}/bin", workshop.busybox.to_absolute());
    let placeholder = own_output("out");
    let documents = [
        r#"{"name":"structured","a":1,"b":[1,"x y",true,null],"c":{"d":"e","f":2},"g":"it's","h":false,"i":null}"#,
        r#"{"name":"structured","nested":{"a":{"b":[{}]}},"float":1.5,"whole":2.0,"neg":-7,"text":"ü\n\t\"\\"}"#,
        r#"{"name":"structured","outputChecks":{"out":{"maxSize":100000}},"list":[]}"#,
        r#"{"name":"structured","Z":"1","a":"2","_x":"3","no-var":"4"}"#,
    ];
    let script = format!("export PATH={tools}; cat .attrs.json .attrs.sh > {placeholder}");
    documents
        .iter()
        .map(|json| workshop.recipe("structured", "").args(&["-e", "-c", &script]).set("__json", json).add())
        .collect()
}

fn fixed(workshop: &Workshop) -> Vec<StorePath> {
    let mut all = Vec::new();
    for method in [Method::Flat, Method::Nar] {
        for algo in [HashAlgo::Md5, HashAlgo::Sha1, HashAlgo::Sha256, HashAlgo::Sha512] {
            let recipe = workshop
                .recipe(&format!("fixed-{method:?}-{algo:?}"), "test $NIX_OUTPUT_CHECKED = 1; printf hello > $out");
            all.push(recipe.fixed(method, algo, b"hello").add());
        }
    }
    all
}

/// Derivations that need others.
fn graph(workshop: &Workshop) -> Vec<StorePath> {
    let (base, base_out) = workshop.recipe("base", "echo base > $out").add_with_output("out");
    let base_path = base_out.to_absolute();
    let (middle, middle_out) = workshop
        .recipe("middle", "mkdir $out $unused; ln -s $base $out/base; echo $base $PATH > $unused/x")
        .outputs(&["out", "unused"])
        .input(&base, "out")
        .set("base", &base_path)
        .add_with_output("out");
    let middle_path = middle_out.to_absolute();
    let (fetched, fetched_out) = workshop
        .recipe("fetched", "printf hello > $out")
        .fixed(Method::Flat, HashAlgo::Sha256, b"hello")
        .add_with_output("out");
    let top = workshop
        .recipe("top", "ls /nix/store > /tmp/l; cat /tmp/l $middle/base $fetched > $out")
        .input(&middle, "out")
        .input(&fetched, "out")
        .set("middle", &middle_path)
        .set("fetched", &fetched_out.to_absolute())
        .add();
    let closure = workshop
        .recipe("closure", "cat graph other > $out")
        .input(&middle, "out")
        .input(&base, "out")
        .set("exportReferencesGraph", &format!("graph {middle_path} other {base_path}"))
        .add();
    let profile = workshop
        .recipe("profile", "")
        .builder("builtin:buildenv")
        .set(
            "derivations",
            &format!("true 5 1 {middle_path} false 1 1 {base_path} true 7 1 {}", workshop.busybox.to_absolute()),
        )
        .set("manifest", &base_path)
        .input(&middle, "out")
        .input(&base, "out")
        .add();
    vec![base, middle, fetched, top, closure, profile]
}
