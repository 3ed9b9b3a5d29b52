//! Rendering for every target, against files that are checked in and against the programs that read them.

use std::path::{Path, PathBuf};
use std::process::Command;

use deploy::{Definition, Images, RenderError, RenderOptions, Rendering, ResolvedImage, Support, Target, render};

fn definition(json: &str) -> Definition {
    Definition::from_json(json).expect("a definition")
}

fn full() -> Definition {
    definition(include_str!("full.json"))
}

fn images(definition: &Definition) -> Images {
    let image = |name: &String| ResolvedImage {
        repository: format!("registry.example.org/team/{name}"),
        tag: Some("1.0".to_owned()),
        digest: format!("sha256:{}", "a".repeat(64)),
    };
    definition.containers.keys().map(|name| (name.clone(), image(name))).collect()
}

fn rendered(definition: &Definition, target: Target) -> Result<Rendering, RenderError> {
    let options = RenderOptions { namespace: Some("shop".to_owned()) };
    render(definition, &images(definition), target, &options)
}

/// The text of the only container's problems or warnings.
fn problems(container: &str, target: Target) -> String {
    let definition = definition(&format!(r#"{{ "containers": {{ "web": {container} }} }}"#));
    match rendered(&definition, target) {
        Ok(rendering) => rendering.warnings.iter().map(|warning| format!("warning: {warning}\n")).collect(),
        Err(error) => error.to_string(),
    }
}

/// A command for a peer program, where it is installed.
fn peer(program: &str) -> Option<Command> {
    peers::available(&[program]).then(|| peers::command(program))
}

/// A directory with the files of a target, removed at the end.
struct Written(PathBuf);

impl Written {
    fn new(target: Target) -> Written {
        let dir = std::env::temp_dir().join(format!("deploy-{}-{target}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        for file in rendered(&full(), target).expect("files").files {
            let path = dir.join(&file.path);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
            std::fs::write(path, file.contents).expect("a file");
        }
        Written(dir)
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn succeeds(command: &mut Command) {
    let output = command.output().expect("a program that runs");
    assert!(
        output.status.success(),
        "{command:?}:\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// `UPDATE_GOLDEN=1 cargo test -p deploy` writes the files anew.
#[test]
fn every_target_gives_the_files_that_are_checked_in() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    for target in Target::ALL {
        let rendering = rendered(&full(), target).expect("files");
        for file in &rendering.files {
            let path = golden.join(target.as_str()).join(&file.path);
            if update {
                std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
                std::fs::write(&path, &file.contents).expect("a file");
            }
            let expected = std::fs::read_to_string(&path).unwrap_or_default();
            assert_eq!(file.contents, expected, "{}", path.display());
        }
        assert_eq!(rendering, rendered(&full(), target).expect("files"), "equal input gives equal bytes");
    }
}

#[test]
fn kubernetes_takes_the_manifests() {
    let Some(mut validate) = peer("kubernetes-validate") else { return };
    let written = Written::new(Target::Kubernetes);
    let files = std::fs::read_dir(&written.0).expect("a directory").map(|entry| entry.expect("an entry").path());
    succeeds(validate.arg("--strict").args(files));
}

#[test]
fn compose_takes_the_file() {
    let Some(mut compose) = peer("docker-compose") else { return };
    let written = Written::new(Target::Compose);
    for secret in ["web-token", "web-cert/tls.crt"] {
        let path = written.0.join("secrets").join(secret);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        std::fs::write(path, "").expect("a secret");
    }
    succeeds(compose.args(["-f", "compose.yaml", "config", "--quiet"]).current_dir(&written.0));
}

#[test]
fn nix_takes_the_module() {
    let Some(mut nix) = peer("nix-instantiate") else { return };
    let written = Written::new(Target::Nixos);
    let expression = r#"(import ./containers.nix { lib.mkForce = x: x; lib.mkDefault = x: x;
        pkgs.writeText = name: text: "/store/${name}"; }).virtualisation.oci-containers.containers.web.cmd"#;
    succeeds(nix.args(["--eval", "--strict", "--expr", expression]).current_dir(&written.0));
}

#[test]
fn what_a_target_cannot_do_is_said() {
    use Target::{Compose, Kubernetes, Nixos, Quadlet};
    let cases = [
        (r#"{ "restart": "no" }"#, Kubernetes, "containers.web.restart: a service's pods always restart"),
        (r#"{ "user": "www-data" }"#, Kubernetes, "containers.web.user: has to be numbers"),
        (r#"{ "devices": [{ "path": "/dev/fuse", "permissions": "rwm" }] }"#, Kubernetes, "device plugin"),
        (r#"{ "tmpfs": ["/t:noexec"] }"#, Kubernetes, "takes only the option `size=`"),
        (r#"{ "autoStart": false }"#, Kubernetes, "cannot be off"),
        (
            r#"{ "bindMounts": { "/x": { "hostPath": "/y", "isReadOnly": true } } }"#,
            Kubernetes,
            "warning: containers.web.bindMounts",
        ),
        (r#"{ "secrets": { "s": { "env": "S" } } }"#, Compose, "files only"),
        (r#"{ "nspawn": ["macvlans"] }"#, Nixos, "containers.web.macvlans: is about systemd-nspawn"),
        (r#"{ "nspawn": ["privateNetwork"] }"#, Quadlet, ""),
        (r#"{ "nspawn": ["timeoutStartSec"] }"#, Quadlet, "warning: containers.web.timeoutStartSec"),
        (
            r#"{ "replicas": 2, "ports": [{ "name": "p", "container": 1, "host": 1, "address": null, "protocol": "tcp" }] }"#,
            Nixos,
            "cannot share a port",
        ),
    ];
    for (container, target, expected) in cases {
        let found = problems(container, target);
        assert!(
            found.contains(expected) && found.is_empty() == expected.is_empty(),
            "{container} on {target}: {found:?}"
        );
    }
}

#[test]
fn contradictions_are_errors_with_the_options_path() {
    let port = |container: &str, name: &str| {
        format!(r#"{{ "name": "{name}", "container": {container}, "host": null, "address": null, "protocol": "tcp" }}"#)
    };
    let (a, b) = (port("80", "a"), port("80", "b"));
    let zero = port("0", "zero");
    let long = port("80", "a-name-that-is-too-long");
    let cases = [
        (format!(r#"{{ "ports": [{a}, {b}] }}"#), "port 80 is published twice"),
        (format!(r#"{{ "ports": [{zero}] }}"#), "0 is no port"),
        (format!(r#"{{ "ports": [{long}] }}"#), "RFC 6335"),
        (r#"{ "env": { "1X": "" } }"#.into(), "containers.web.env: \"1X\" is no name"),
        (r#"{ "secrets": { "s": {} } }"#.into(), "is used nowhere"),
        (r#"{ "secrets": { "s": { "env": "A" } }, "env": { "A": "" } }"#.into(), "is in `env` as well"),
        (r#"{ "tmpfs": ["/../etc"] }"#.into(), "absolute path"),
        (r#"{ "tmpfs": ["/a"], "files": { "/a": "" } }"#.into(), "mounted at \"/a\" already"),
        (r#"{ "dependsOn": { "gone": {} } }"#.into(), "there is no container \"gone\""),
        (r#"{ "dependsOn": { "web": {} } }"#.into(), "needs itself"),
        (
            r#"{ "resources": { "requests": { "memory": "2Gi" }, "limits": { "memory": "1Gi" } } }"#.into(),
            "the request for memory, 2Gi, is above the limit, 1Gi",
        ),
        (r#"{ "resources": { "limits": { "memory": "much" } } }"#.into(), "has to be a quantity"),
        (
            r#"{ "ingress": [{ "host": "Bad_Host", "path": "x", "port": 1, "tls": false, "tlsSecret": null, "class": null }] }"#.into(),
            "no name of a host",
        ),
    ];
    for (container, expected) in cases {
        let found = problems(&container, Target::Kubernetes);
        assert!(found.contains(expected), "{container}: {found}");
    }
}

#[test]
fn names_and_digests_are_checked() {
    let bad = definition(r#"{ "containers": { "Web_1": {} } }"#);
    assert!(rendered(&bad, Target::Compose).unwrap_err().to_string().contains("RFC 1123"));
    let good = definition(r#"{ "containers": { "web": {} } }"#);
    let mut images = images(&good);
    images.get_mut("web").expect("an image").digest = "latest".to_owned();
    let error = render(&good, &images, Target::Compose, &RenderOptions::default()).unwrap_err();
    assert!(error.to_string().contains("is no digest"), "{error}");
    assert!(render(&good, &Images::new(), Target::Compose, &RenderOptions::default()).is_err());
    let options = RenderOptions { namespace: Some("Not A Name".to_owned()) };
    assert!(render(&good, &self::images(&good), Target::Kubernetes, &options).is_err());
    assert!(Definition::from_json(r#"{ "containers": { "web": { "imagee": 1 } } }"#).is_err());
}

#[test]
fn replicas_with_storage_of_their_own_are_a_stateful_set() {
    let json = r#"{ "containers": { "web": { "replicas": 2, "volumes": {
        "own": { "path": "/own", "size": "1Gi", "class": null, "readOnly": false, "shared": false },
        "all": { "path": "/all", "size": null, "class": null, "readOnly": true, "shared": true } } } } }"#;
    let files = rendered(&definition(json), Target::Kubernetes).expect("files").files;
    let text = &files.last().expect("a file").contents;
    for expected in
        ["kind: StatefulSet", "volumeClaimTemplates:", "clusterIP: None", "ReadWriteMany", "kind: PodDisruptionBudget"]
    {
        assert!(text.contains(expected), "{expected} in:\n{text}");
    }
}

#[test]
fn the_table_answers_for_every_option_and_target() {
    assert_eq!(deploy::support("env", Target::Kubernetes), Some(Support::Native));
    assert_eq!(deploy::support("nonsense", Target::Kubernetes), None);
    for row in deploy::options() {
        for target in Target::ALL {
            assert_eq!(deploy::support(row.name, target), Some(row.on(target)), "{}", row.name);
        }
    }
    assert!("kubernets".parse::<Target>().unwrap_err().to_string().contains("kubernetes"));
}

/// The table of options and targets as the documentation has it.
fn documented_table() -> String {
    let mut table =
        String::from("| option | says | kubernetes | nixos | quadlet | compose |\n|---|---|---|---|---|---|\n");
    for row in deploy::options() {
        table += &format!("| `{}` | {} |", row.name, row.summary);
        for target in Target::ALL {
            let support = row.on(target);
            let note = if support.note().is_empty() { String::new() } else { format!(": {}", support.note()) };
            table += &format!(" {}{note} |", support.kind());
        }
        table += "\n";
    }
    table
}

#[test]
fn the_documentation_has_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/containers.md");
    let page = std::fs::read_to_string(&path).expect("the page");
    let (before, rest) = page.split_once("cargo test -p deploy` -->\n").expect("the beginning of the table");
    let (_, after) = rest.split_once("<!-- end of support -->").expect("the end of the table");
    let expected = format!("{before}cargo test -p deploy` -->\n{}<!-- end of support -->{after}", documented_table());
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &expected).expect("the page");
    } else {
        assert_eq!(page, expected, "UPDATE_GOLDEN=1 cargo test -p deploy writes it anew");
    }
}
