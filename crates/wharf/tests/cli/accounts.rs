//! Accounts at registries: `wharf login` and `logout`, files of credentials and credential helpers; `registries.conf`.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use peers::{Access, Registry};
use serde_json::{Value, json};

use crate::{text, wharf};

/// `wharf:secret`
const AUTH: &str = "d2hhcmY6c2VjcmV0";
/// Keeps accounts as files in the home, and a log of what it was asked.
const HELPER: &str = r#"#!/bin/sh
read -r input || true
echo "$1" >> "$HOME/helper.log"
name() { printf %s "$1" | tr /: __; }
case "$1" in
  store)
    host=$(printf %s "$input" | sed 's/.*"ServerURL":"\([^"]*\)".*/\1/')
    printf %s "$input" > "$HOME/kept-$(name "$host")" ;;
  get)
    file="$HOME/kept-$(name "$input")"
    if [ -e "$file" ]; then cat "$file"; else echo "credentials not found in native keychain"; exit 1; fi ;;
  erase) rm "$HOME/kept-$(name "$input")" ;;
  list)
    printf '{'; comma=
    for file in "$HOME"/kept-*; do
      [ -e "$file" ] || continue
      host=$(sed 's/.*"ServerURL":"\([^"]*\)".*/\1/' "$file"); printf '%s"%s":"x"' "$comma" "$host"; comma=,
    done
    printf '}' ;;
esac
"#;

fn run(home: &Path, arguments: &[&str], input: &str) -> Output {
    let mut command = wharf(home);
    command.env("PATH", format!("{}:/usr/bin:/bin", home.display()));
    with_input(command.args(arguments), input)
}

fn with_input(command: &mut Command, input: &str) -> Output {
    let mut running =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("wharf starts");
    // It may have ended already.
    let _ = running.stdin.take().expect("a pipe").write_all(input.as_bytes());
    running.wait_with_output().expect("wharf ends")
}

fn login(home: &Path, host: &str, password: &str) -> Output {
    run(home, &["login", host, "--username", "wharf", "--password-stdin"], password)
}

fn json_of(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).expect("a file")).expect("JSON")
}

#[test]
fn an_account_is_tried_kept_used_and_forgotten() {
    let Some(registry) = Registry::start(Access::Password) else { return };
    let (home, host) = (tempfile::tempdir().unwrap(), registry.host());
    let file = home.path().join(".docker/config.json");
    let refused = login(home.path(), &host, "wrong\n");
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused).1.contains("does not permit to log in") && !text(&refused).1.contains("wrong"));
    assert!(!file.exists(), "what is wrong is not kept");

    fs::create_dir(home.path().join(".docker")).unwrap();
    fs::write(&file, r#"{"detachKeys":"ctrl-x"}"#).unwrap();
    let done = login(home.path(), &format!("http://{host}/"), "secret\n");
    assert!(done.status.success(), "{}", text(&done).1);
    assert_eq!(json_of(&file), json!({ "detachKeys": "ctrl-x", "auths": { &host: { "auth": AUTH } } }));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let tags = run(home.path(), &["tags", &format!("{host}/none")], "");
    assert!(text(&tags).1.contains("has no none"), "admitted: {}", text(&tags).1);

    let forgotten = run(home.path(), &["logout", &host], "");
    assert!(text(&forgotten).1.contains("forgot the credentials for"), "{}", text(&forgotten).1);
    assert_eq!(json_of(&file), json!({ "detachKeys": "ctrl-x", "auths": {} }));
    let tags = run(home.path(), &["tags", &format!("{host}/none")], "");
    assert!(text(&tags).1.contains(&format!("wharf login {host}")), "{}", text(&tags).1);
    let none = run(home.path(), &["logout", "--all"], "");
    assert!(text(&none).1.contains("there were no credentials"));
    assert_eq!(run(home.path(), &["logout"], "").status.code(), Some(2));
}

#[test]
fn files_are_looked_through_in_order_and_by_path() {
    let Some(registry) = Registry::start(Access::Password) else { return };
    let (home, host) = (tempfile::tempdir().unwrap(), registry.host());
    let auth = |path: &str, content: Value| {
        let file = home.path().join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, content.to_string()).unwrap();
    };
    let ask = |repository: &str, variables: &[(&str, &str)]| {
        let mut command = wharf(home.path());
        command.args(["tags", &format!("{host}/{repository}")]);
        command.envs(variables.iter().map(|(name, value)| (name, home.path().join(value))));
        // What is not there can be said only to those who are let in.
        text(&command.output().unwrap()).1.contains("has no")
    };
    // Podman's keys have paths.
    auth("run/containers/auth.json", json!({ "auths": { format!("{host}/team"): { "auth": AUTH } } }));
    assert!(ask("team/app", &[("XDG_RUNTIME_DIR", "run")]));
    assert!(!ask("teams/app", &[("XDG_RUNTIME_DIR", "run")]) && !ask("team/app", &[]));
    auth("given.json", json!({ "auths": { &host: { "auth": AUTH } } }));
    assert!(ask("teams/app", &[("REGISTRY_AUTH_FILE", "given.json")]));
    auth("docker/config.json", json!({ "auths": { format!("https://{host}/v2/"): { "auth": AUTH } } }));
    assert!(ask("teams/app", &[("DOCKER_CONFIG", "docker")]));
    // The first file that knows the registry decides, right or not.
    let wrong = json!({ "auths": { &host: { "auth": "d2hhcmY6eA==" } } });
    auth("wrong.json", wrong);
    assert!(!ask("teams/app", &[("REGISTRY_AUTH_FILE", "wrong.json"), ("DOCKER_CONFIG", "docker")]));
}

#[test]
fn helpers_keep_give_and_forget_accounts() {
    let Some(registry) = Registry::start(Access::Password) else { return };
    let (home, host) = (tempfile::tempdir().unwrap(), registry.host());
    let helper = home.path().join("docker-credential-test");
    fs::write(&helper, HELPER).unwrap();
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).unwrap();
    let file = home.path().join(".docker/config.json");
    fs::create_dir(home.path().join(".docker")).unwrap();
    for keeper in [json!({ "credsStore": "test" }), json!({ "credHelpers": { &host: "test" } })] {
        fs::write(&file, keeper.to_string()).unwrap();
        let done = login(home.path(), &host, "secret");
        assert!(text(&done).1.contains("kept in docker-credential-test"), "{}", text(&done).1);
        assert_eq!(json_of(&file)["auths"], json!({ &host: {} }), "no secret is in the file");
        let tags = run(home.path(), &["tags", &format!("{host}/none")], "");
        assert!(text(&tags).1.contains("has no none"), "{}", text(&tags).1);
        let out = run(home.path(), &["logout", "--all"], "");
        assert!(text(&out).1.contains(&format!("forgot the credentials for {host}")), "{}", text(&out).1);
        assert!(
            !fs::read_dir(home.path())
                .unwrap()
                .any(|entry| { entry.unwrap().file_name().to_string_lossy().starts_with("kept-") })
        );
        login(home.path(), &host, "secret");
        assert!(run(home.path(), &["logout", &host], "").status.success());
        let tags = run(home.path(), &["tags", &format!("{host}/none")], "");
        assert!(text(&tags).1.contains("wharf login"), "{}", text(&tags).1);
    }
    let log = fs::read_to_string(home.path().join("helper.log")).unwrap();
    for action in ["store", "get", "erase", "list"] {
        assert!(log.contains(action), "{log}");
    }
    fs::write(&file, json!({ "credsStore": "absent" }).to_string()).unwrap();
    let absent = run(home.path(), &["tags", &format!("{host}/none")], "");
    assert!(text(&absent).1.contains("docker-credential-absent failed"), "{}", text(&absent).1);
}

#[test]
fn the_configuration_of_the_containers_tools_counts() {
    let Some(registry) = Registry::start(Access::Open) else { return };
    let Some(digest) = peers::push_base_image(&registry, "mirrored/team/app", "1") else { return };
    let home = tempfile::tempdir().unwrap();
    let directory = home.path().join(".config/containers/registries.conf.d");
    fs::create_dir_all(&directory).unwrap();
    let conf = format!(
        "[[registry]]\nprefix = \"example.invalid/team\"\nlocation = \"nowhere.invalid\"\n\
         [[registry.mirror]]\nlocation = \"127.0.0.1:1/gone\"\n\
         [[registry.mirror]]\nlocation = \"{}/mirrored/team\"\n\
         [[registry]]\nlocation = \"blocked.invalid\"\nblocked = true\n",
        registry.host()
    );
    fs::write(directory.join("50-test.conf"), conf).unwrap();
    let shown = run(home.path(), &["inspect", "--json", "docker://example.invalid/team/app:1"], "");
    let shown: Value = serde_json::from_str(&text(&shown).0).unwrap_or_else(|_| panic!("{}", text(&shown).1));
    assert_eq!(shown["digest"], digest.as_str());
    let pulled =
        run(home.path(), &["pull", "example.invalid/team/app:1", &home.path().join("out").display().to_string()], "");
    assert!(pulled.status.success(), "the blobs come from the mirror too: {}", text(&pulled).1);
    for command in [&["tags", "blocked.invalid/a"][..], &["inspect", "docker://blocked.invalid/a:1"]] {
        let blocked = run(home.path(), command, "");
        assert!(
            text(&blocked).1.contains("is blocked by") && text(&blocked).1.contains("50-test.conf"),
            "{}",
            text(&blocked).1
        );
    }
    fs::write(directory.join("60-wrong.conf"), "[[registry]]\nlocation = \"https://x\"\n").unwrap();
    let wrong = run(home.path(), &["tags", "x.invalid/a"], "");
    assert!(text(&wrong).1.contains("60-wrong.conf is not as it should be"), "{}", text(&wrong).1);
}
