//! Lock files: kept where they can be, and the same as Nix's.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use fetch::Settings;
use fetch::lock::{Declared, Input, LockOptions, Locked, changes, lock};
use nix_formats::flake_lock::LockFile;
use nix_formats::flake_ref::FlakeRef;
use serde_json::{Value, json};

use crate::server::{Reply, Request, Server};
use crate::{Fixture, has_peer};

/// Writes a flake whose inputs are also in a file that the tests can read without evaluating.
fn flake(fixture: &Fixture, name: &str, inputs: Value) -> PathBuf {
    let directory = fixture.path(name);
    std::fs::create_dir_all(&directory).unwrap();
    let text = format!("{{ inputs = {}; outputs = {{ ... }}: {{ }}; }}\n", to_nix(&inputs));
    std::fs::write(directory.join("flake.nix"), text).unwrap();
    std::fs::write(directory.join("inputs.json"), inputs.to_string()).unwrap();
    directory
}

fn to_nix(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let entries: Vec<_> = map.iter().map(|(name, value)| format!("{name} = {};", to_nix(value))).collect();
            format!("{{ {} }}", entries.join(" "))
        }
        other => other.to_string(),
    }
}

fn read(directory: &Path) -> Result<Declared, String> {
    let text = std::fs::read_to_string(directory.join("inputs.json")).map_err(|error| error.to_string())?;
    Input::read_all(&serde_json::from_str(&text).map_err(|error| error.to_string())?, &["self".to_owned()])
}

fn locked(fixture: &Fixture, flake: &Path, options: &LockOptions) -> Locked {
    let tree = fixture.tree(&format!("path:{}", flake.display()));
    lock(&fixture.fetcher, &tree, "", &read, options).unwrap()
}

fn path_input(path: &Path) -> Value {
    json!({ "url": format!("path:{}", path.display()) })
}

/// A flake with inputs that have inputs, one that follows, and one that is no flake.
fn graph(fixture: &Fixture) -> PathBuf {
    let leaf = flake(fixture, "leaf", json!({}));
    let other = flake(fixture, "other", json!({}));
    let middle = flake(fixture, "middle", json!({ "leaf": path_input(&leaf), "extra": path_input(&other) }));
    let mut middle_input = path_input(&middle);
    middle_input["inputs"] = json!({ "extra": { "follows": "data" } });
    let mut data = path_input(&other);
    data["flake"] = json!(false);
    let again = flake(fixture, "again", json!({ "leaf": path_input(&leaf), "same": { "follows": "leaf" } }));
    flake(fixture, "top", json!({ "middle": middle_input, "data": data, "again": path_input(&again) }))
}

#[test]
fn nix_locks_the_same() {
    if !has_peer("nix") {
        return;
    }
    let fixture = Fixture::new();
    let top = graph(&fixture);
    let ours = locked(&fixture, &top, &LockOptions::default());
    let output = Command::new("nix")
        .args(["--extra-experimental-features", "nix-command flakes", "flake", "lock", "--store"])
        .arg(fixture.path("nix-root"))
        .arg(format!("path:{}", top.display()))
        .env("HOME", fixture.dir.path())
        .env_remove("NIX_REMOTE")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let theirs = std::fs::read_to_string(top.join("flake.lock")).unwrap();
    assert_eq!(ours.lock.print(), theirs);
    let again = locked(&fixture, &top, &LockOptions::default());
    assert!(!again.is_changed());
    // An input that follows another by its own flake's word has to be read again, as Nix does.
    assert_eq!(again.trees.keys().collect::<Vec<_>>(), ["again", "root"]);
}

#[test]
fn what_is_pinned_stays_until_it_is_updated() {
    let fixture = Fixture::new();
    let top = graph(&fixture);
    let first = locked(&fixture, &top, &LockOptions::default());
    assert!(first.is_changed());
    assert!(first.unlocked().is_none());
    std::fs::write(top.join("flake.lock"), first.lock.print()).unwrap();
    std::fs::write(fixture.path("leaf/new"), "").unwrap();
    let middle_leaf = vec!["middle".to_owned(), "leaf".to_owned()];
    let kept = locked(&fixture, &top, &LockOptions::default());
    assert_eq!(kept.lock, first.lock);
    let update = BTreeSet::from([middle_leaf.clone()]);
    let updated = locked(&fixture, &top, &LockOptions { update, ..Default::default() });
    let changed = changes(&first.lock, &updated.lock);
    assert_eq!(changed.iter().map(|change| &change.path).collect::<Vec<_>>(), [&middle_leaf]);
    assert!(changed[0].to_string().starts_with("updated input 'middle/leaf': 'path:"), "{}", changed[0]);
    let all = locked(&fixture, &top, &LockOptions { update_all: true, ..Default::default() });
    assert_eq!(changes(&first.lock, &all.lock).len(), 2);
}

#[test]
fn overrides_of_the_user_are_kept() {
    let fixture = Fixture::new();
    let top = graph(&fixture);
    let mine = flake(&fixture, "mine", json!({}));
    let path = vec!["middle".to_owned(), "leaf".to_owned()];
    let reference = FlakeRef::parse(&format!("path:{}", mine.display())).unwrap();
    let options = LockOptions { overrides: BTreeMap::from([(path.clone(), reference)]), ..Default::default() };
    let overridden = locked(&fixture, &top, &options);
    std::fs::write(top.join("flake.lock"), overridden.lock.print()).unwrap();
    let later = locked(&fixture, &top, &LockOptions::default());
    let node = later.lock.node(later.lock.find(&path).unwrap()).unwrap();
    assert_eq!(node.lock.as_ref().unwrap().locked.text("path"), mine.to_str());
}

#[test]
fn relative_inputs_are_inside_of_the_tree() {
    let fixture = Fixture::new();
    let top = flake(&fixture, "top", json!({ "sub": { "url": "path:./sub" } }));
    flake(&fixture, "top/sub", json!({ "deep": { "url": "path:../../../deep" } }));
    flake(&fixture, "top/deep", json!({}));
    let ours = locked(&fixture, &top, &LockOptions::default());
    let sub = ours.lock.node("sub").unwrap().lock.as_ref().unwrap();
    assert_eq!((sub.locked.text("path"), sub.parent.as_deref()), (Some("./sub"), Some(&[][..])));
    assert_eq!(ours.lock.node("deep").unwrap().lock.as_ref().unwrap().parent, Some(vec!["sub".to_owned()]));
    assert_eq!(LockFile::parse(&ours.lock.print()).unwrap(), ours.lock);
    assert!(ours.unlocked().is_none());
}

#[test]
fn inputs_that_do_not_go_together_are_errors() {
    let fixture = Fixture::new();
    let fails = |inputs: Value, reason: &str| {
        let top = flake(&fixture, "top", inputs);
        let tree = fixture.tree(&format!("path:{}", top.display()));
        let error = lock(&fixture.fetcher, &tree, "", &read, &LockOptions::default()).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    };
    fails(json!({ "a": { "follows": "b" } }), "no node 'b'");
    fails(json!({ "a": { "follows": "b" }, "b": { "follows": "a" } }), "follows itself");
    fails(json!({ "a": { "follows": "b", "url": "path:/x" } }), "both a reference and 'follows'");
    fails(json!({ "a": { "uri": "path:/x" } }), "'uri' is not known");
    fails(json!({ "a": { "url": "svn://x" } }), "not supported");
    fails(json!({ "a": {} }), "no registry knows");
    fails(json!({ "a": { "url": format!("path:{}", fixture.path("top").display()) } }), "is an input of itself");
    fails(json!([]), "must be a set");
}

const REV: &str = "b4a34015c698c7793d592d66adbab377907a2be8";

/// What every forge and server gives: an archive with a flake in it.
fn archive() -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_mtime(1_650_000_001);
    header.set_mode(0o644);
    for (name, text) in [("r-1/flake.nix", "{ outputs = _: { }; }\n"), ("r-1/sub/f", "hi\n")] {
        header.set_size(text.len() as u64);
        builder.append_data(&mut header, name, text.as_bytes()).unwrap();
    }
    header.set_size(0);
    header.set_entry_type(tar::EntryType::Symlink);
    builder.append_link(&mut header, "r-1/l", "sub/f").unwrap();
    builder.into_inner().unwrap()
}

fn answer(request: &Request) -> Reply {
    let refs = format!("{}\trefs/heads/main\n{REV}\trefs/heads/trunk\n{REV}\trefs/tags/v1\n", "1".repeat(40));
    let target = request.target.as_str();
    match target {
        _ if target.ends_with("/HEAD") && target.contains("/~o/") => Reply::ok("ref: refs/heads/trunk\n"),
        _ if target.ends_with("/info/refs") => Reply::ok(refs),
        _ if target.contains("/commits/") => Reply::ok(format!("{{\"sha\":\"{REV}\"}}")),
        _ if target.contains("/commits?") => Reply::ok(format!("[{{\"id\":\"{REV}\"}}]")),
        "/plain.txt" => Reply::ok("text\n"),
        "/latest.tar.gz" => {
            let fixed = format!("http://{}/fixed.tar.gz?rev={REV}", request.header("host").unwrap());
            let link = format!("<{fixed}&revCount=3&lastModified=1234>; rel=\"immutable\"");
            Reply::Whole("200 OK", vec![("link", link)], archive())
        }
        _ => Reply::ok(archive()),
    }
}

/// `expected/forges.lock` is what `nix flake lock` of Nix 2.34.8 wrote for these inputs, when names led it to such a server.
#[test]
fn inputs_of_forges_are_locked_as_nix_does() {
    let server = Server::start(answer);
    let hosts = ["github.com", "gitlab.com", "git.sr.ht", "git.example.org"];
    let forges = hosts.map(|host| (host.to_owned(), server.address.clone())).into();
    let fixture = Fixture::with(Settings { forges, ..Settings::default() });
    let here = |name: &str| format!("{}/{name}", server.address);
    let inputs = json!({
        "a": { "url": "github:o/r" },
        "b": { "url": "github:o/r/branch" },
        "c": { "url": format!("github:o/r/{REV}") },
        "d": { "url": "gitlab:o/r" },
        "e": { "url": "gitlab:o%2Fsub/r/v1" },
        "f": { "url": "sourcehut:~o/r" },
        "g": { "url": "sourcehut:~o/r/v1" },
        "h": { "url": here("latest.tar.gz") },
        "i": { "url": here("other.tar.gz?x=1") },
        "j": { "url": here("plain.txt"), "flake": false },
        "k": { "type": "github", "owner": "o", "repo": "r", "ref": "x", "dir": "." },
        "l": { "url": "github:o/r?dir=sub", "flake": false },
        "m": { "url": "github:o/r?ref=y&host=git.example.org" },
    });
    let top = flake(&fixture, "top", inputs);
    let read = |directory: &Path| match directory.join("inputs.json").exists() {
        true => read(directory),
        false => Input::read_all(&json!({}), &["self".to_owned()]),
    };
    let tree = fixture.tree(&format!("path:{}", top.display()));
    let ours = lock(&fixture.fetcher, &tree, "", &read, &LockOptions::default()).unwrap().lock.print();
    assert_eq!(ours.replace(&server.address, "https://example.org"), include_str!("expected/forges.lock"));
}
