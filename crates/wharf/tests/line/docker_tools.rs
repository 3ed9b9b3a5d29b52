//! The functions of `dockerTools` whose work is done by commands, and what is around them: each image is built, and run
//! by docker; one of them by podman and runc too.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use peers::{Docker, Podman, available, is_root, printed, succeed};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A directory with the definitions, which is home, store and cache at once.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let dir = TempDir::new().expect("a temporary directory");
        fs::set_permissions(dir.path(), Permissions::from_mode(0o777)).expect("permissions");
        fs::write(dir.path().join("images.nix"), include_str!("docker_tools.nix")).expect("the definitions");
        Self(dir)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn wharf(&self) -> Command {
        self.with(Path::new(env!("CARGO_BIN_EXE_wharf")))
    }

    fn with(&self, wharf: &Path) -> Command {
        let mut command = Command::new(wharf);
        command.current_dir(self.0.path()).env("HOME", self.path("home")).env("WHARF_STORE", "own");
        for variable in ["WHARF_HOME", "WHARF_CACHE", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"] {
            command.env_remove(variable);
        }
        command
    }

    /// Builds an attribute and gives the link to its result.
    fn build(&self, attribute: &str) -> PathBuf {
        let link = self.path(attribute);
        succeed(self.wharf().args(["build", "./images.nix", "-A", attribute, "-o"]).arg(&link));
        link
    }

    fn eval(&self, arguments: &[&str]) -> Output {
        self.wharf().args(["eval", "--json", "--strict"]).args(arguments).output().expect("wharf runs")
    }
}

#[test]
fn commands_make_what_docker_then_runs() {
    let Some(docker) = Docker::start() else { return };
    let place = Place::new();
    let run = |image: &str| docker.run(["run", "--rm", "--network=none", image]);
    for attribute in ["asRoot", "fakechroot", "fakeRoot", "shell", "extras"] {
        docker.run(["load", "-i", &place.build(attribute).display().to_string()]);
    }
    assert_eq!(
        run("as-root:1"),
        "/data 999 999 755\n/etc/base 0 0 444\n/srv/file 0 0 4444\nnew\nextra\nredis:x:999:999::/home/redis:/bin/sh\n"
    );
    assert_eq!(
        run("fakechroot:1"),
        "/var/lib/data 5 6\nhostname\nhosts\nmtab\nresolv.conf\nbin\ndev\netc\nlisting\nnix\nproc\nsys\nvar\n"
    );
    assert_eq!(run("fake-root:1"), "/srv/x 7 8\n");
    assert_eq!(
        run("extras:1"),
        "app\n/tmp\n/tmp 0 0 1777\n/home/app 1000 1000 700\nsecret 1000 400\nbin/part 0 444\n1\n"
    );
    assert_eq!(run("built-env:1"), "hello from built\n1000\nhello\n");
    let stream = |attribute: &str, arguments: &[&str]| {
        // The result is a program that writes the archive, as nixpkgs' is.
        let archive = place.path(&format!("{attribute}.tar"));
        let out = File::create(&archive).expect("a file");
        let status = Command::new(place.build(attribute)).args(arguments).stdout(out).status();
        assert!(status.expect("the script runs").success());
        docker.run(["load", "-i", &archive.display().to_string()]);
    };
    stream("stream", &["--repo_tag", "renamed:2"]);
    assert_eq!(run("renamed:2"), "streamed\n");
    stream("streamShell", &[]);
    let said = docker.run(["run", "--rm", "--network=none", "-t", "interactive:1"]);
    assert!(said.contains("interactive hello"), "{said}");
}

#[test]
fn helpers_are_where_programs_look() {
    let Some(docker) = Docker::start() else { return };
    let place = Place::new();
    docker.run(["load", "-i", &place.build("helpers").display().to_string()]);
    let said = docker.run(["run", "--rm", "--network=none", "helpers:1"]);
    assert_eq!(said, "9\nhosts: files dns\n/var/empty\n");
}

#[test]
fn debug_lists_the_layers_in_the_log() {
    let place = Place::new();
    place.build("debugged");
    let log = succeed(place.wharf().args(["log", "./images.nix", "-A", "debugged"]));
    let mut lines = log.lines();
    assert!(lines.next().is_some_and(|line| line.starts_with("layer 1: sha256:")), "{log}");
    assert!(lines.next().is_some_and(|line| line.starts_with("    /nix/store/")), "{log}");
}

#[test]
fn store_paths_can_be_left_out() {
    let place = Place::new();
    let built = succeed(place.wharf().args(["build", "--json", "--no-link", "./images.nix", "-A", "rootOnly"]));
    let built: Value = serde_json::from_str(&built).expect("JSON");
    let layers = built["results"][0]["image"]["layers"].as_array().expect("layers");
    assert_eq!(layers.len(), 1, "{layers:?}");
    assert_eq!(layers[0]["storePaths"], json!([]));
}

#[test]
fn what_a_virtual_machine_would_need_has_no_effect_and_that_is_said() {
    let place = Place::new();
    for (attribute, function, options) in
        [("guest", "buildImage", &["diskSize", "buildVMMemorySize"][..]), ("exported", "exportImage", &["diskSize"])]
    {
        let output = place.eval(&["./images.nix", "-A", &format!("{attribute}.drvPath")]);
        let text = printed(&output);
        assert!(output.status.success(), "{text}");
        for option in options {
            let warning = format!("{function}: {option} has no effect: Wharf runs commands without a virtual machine");
            assert!(text.contains(&warning), "{text}");
        }
    }
}

#[test]
fn podman_and_runc_run_what_was_made_as_root() {
    if !available(&["umoci", "skopeo", "runc"]) {
        return;
    }
    let Some(podman) = Podman::new() else { return };
    let place = Place::new();
    let archive = place.build("asRoot").display().to_string();
    podman.run(["load", "-i", &archive]);
    let expected = podman.run_container("as-root:1", [] as [&str; 0]);
    assert!(expected.starts_with("/data 999 999 755\n"), "{expected}");
    let (layout, bundle) = (place.path("layout"), place.path("bundle"));
    let layout = format!("{}:1", layout.display());
    peers::run(
        "skopeo",
        ["copy", "--insecure-policy", "--quiet", &format!("docker-archive:{archive}"), &format!("oci:{layout}")],
    );
    succeed(peers::command("umoci").args(["unpack", "--image", &layout]).arg(&bundle));
    let file = bundle.join("config.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&file).expect("the bundle")).expect("JSON");
    config["process"]["terminal"] = json!(false);
    config["process"]["rlimits"] = json!([]);
    fs::write(&file, config.to_string()).expect("the bundle");
    let root = place.path("runc");
    let run =
        succeed(peers::command("runc").arg("--root").arg(&root).args(["run", "-b"]).arg(&bundle).arg("wharf-as-root"));
    assert_eq!(run, expected);
}

#[test]
fn who_builds_does_not_show_in_what_root_made() {
    if !is_root() {
        return;
    }
    let copy = TempDir::new().expect("a temporary directory");
    fs::set_permissions(copy.path(), Permissions::from_mode(0o755)).expect("permissions");
    let wharf = copy.path().join("wharf");
    fs::copy(env!("CARGO_BIN_EXE_wharf"), &wharf).expect("a copy of the program");
    let image = |change: &dyn Fn(&mut Command)| {
        let place = Place::new();
        let mut command = place.with(&wharf);
        change(command.args(["build", "--json", "--no-link", "./images.nix", "-A", "asRoot"]));
        let result: Value = serde_json::from_str(&succeed(&mut command)).expect("JSON");
        result["results"][0]["image"].to_string()
    };
    assert_eq!(
        image(&|_| ()),
        image(&|command| {
            command.uid(65534).gid(65534);
        })
    );
}

#[test]
fn attributes_are_those_of_nixpkgs() {
    let place = Place::new();
    let output = place.eval(&["./images.nix", "-A", "attributes"]);
    let found: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", printed(&output)));
    let nobody = "root:x:0:0:root user:/var/empty:/bin/sh\nnobody:x:65534:65534:nobody:/var/empty:/bin/sh\n";
    let expected = json!({
        "imageName": "team/app",
        "tagIsHash": true,
        "buildArgs": { "name": "Team/App" },
        "layer": "docker-layer-App",
        "override": "2",
        "overrideFunction": "team/app2",
        "overrideAttrs": "other-image-layered",
        "overriddenTwice": "3",
        "drvAttrs": { "imageName": "layered", "imageTag": "1" },
        "description": "words",
        "more": "passed",
        "stream": true,
        "streamTag": true,
        "nss": format!("{nobody}a:x:1:1::/:/bin/sh\n"),
    });
    assert_eq!(found, expected);
}

#[test]
fn an_unknown_argument_is_an_error() {
    let place = Place::new();
    for (function, argument) in [
        ("buildImage", "copyToRot"),
        ("buildLayeredImage", "runAsRoot"),
        ("streamLayeredImage", "compressor"),
        ("pullImage", "digest"),
        ("layers", "dep"),
        ("user", "login"),
        ("interval", "2 s"),
        ("streamNixShellImage", "uuid"),
        ("buildContainer", "mount"),
    ] {
        let output = place.eval(&["./images.nix", "-A", &format!("unknown.{function}.drvPath")]);
        let text = printed(&output);
        assert!(!output.status.success() && text.contains(argument), "{function}: {text}");
    }
}

#[test]
fn the_manifest_and_the_config_have_what_was_asked_for() {
    let place = Place::new();
    let mut build = place.wharf();
    build.args(["build", "./images.nix", "-A", "extras", "--format", "oci-layout", "-o"]).arg(place.path("extras"));
    succeed(&mut build);
    let layout = place.path("extras");
    let read = |path: PathBuf| -> Value { serde_json::from_slice(&fs::read(path).expect("a file")).expect("JSON") };
    let blob =
        |descriptor: &Value| read(layout.join("blobs").join(descriptor["digest"].as_str().unwrap().replace(':', "/")));
    let manifest = blob(&read(layout.join("index.json"))["manifests"][0]);
    assert_eq!(manifest["annotations"], json!({ "org.example.title": "Extras" }));
    let layers = manifest["layers"].as_array().expect("layers");
    let names = |layer: &Value| -> Vec<String> {
        let annotations = layer["annotations"].as_object().into_iter().flatten();
        let paths = annotations.filter(|(name, _)| name.starts_with("containerd.io/snapshot/nix-store-path."));
        paths.map(|(_, path)| path.as_str().unwrap().split_once('-').unwrap().1.to_owned()).collect()
    };
    // The base, a layer with changed modes, the user's second group, the rest, the root.
    let names: Vec<_> = layers.iter().map(names).collect();
    assert_eq!(names, [&[][..], &[], &["userland".to_owned()], &["fake-nss".to_owned()], &["wharf".to_owned()], &[]]);
    let config = &blob(&manifest["config"])["config"];
    let healthcheck = json!({ "Test": ["CMD-SHELL", "true"], "Interval": 30_000_000_000_u64, "Retries": 3 });
    assert_eq!(config["Healthcheck"], healthcheck);
    assert_eq!(config["Labels"], json!({ "base": "1", "own": "2" }));
    assert_eq!((&config["User"], &config["WorkingDir"]), (&json!("app"), &json!("/tmp")));
}

/// A set of packages with nixpkgs' layout, whose own image functions do not work.
fn write_set(directory: &Path) {
    let own = "{ }: rec { buildImage = throw \"of the set itself\"; buildContainer = buildImage; }\n";
    for name in ["docker", "oci-tools"] {
        let place = directory.join("pkgs/build-support").join(name);
        fs::create_dir_all(&place).expect("directories");
        fs::write(place.join("default.nix"), own).expect("a file");
    }
    let set = "{ pkgs, ... }: let self = pkgs // {\n  shadow = null;\n  callPackage = pkgs.lib.callPackageWith self;\n\
               dockerTools = self.callPackage ./pkgs/build-support/docker { };\n\
               ociTools = self.callPackage ./pkgs/build-support/oci-tools { };\n}; in self\n";
    fs::write(directory.join("default.nix"), set).expect("a file");
    let flake = "{ outputs = _: { docker = import ./pkgs/build-support/docker; }; }\n";
    fs::write(directory.join("flake.nix"), flake).expect("a file");
}

#[test]
fn the_functions_of_a_nixpkgs_are_native_unless_its_own_are_wanted() {
    let place = Place::new();
    write_set(&place.path("set"));
    let builder = |attribute: &str, more: &[&str]| {
        let attribute = format!("{attribute}.drvAttrs.builder");
        let output = place.eval(&[&["./images.nix", "-A", &attribute, "--pkgs", "./set"], more].concat());
        printed(&output)
    };
    assert!(builder("asRoot", &[]).contains("builtin:oci-image"));
    let own = builder("asRoot", &["--nixpkgs-docker-tools"]);
    assert!(own.contains("of the set itself"), "{own}");
    let text = "(builtins.functionArgs (builtins.getFlake \"path:SET\").docker) ? stdenv";
    let text = text.replace("SET", &place.path("set").display().to_string());
    let output = place.eval(&["--impure", "-E", &text]);
    assert_eq!(printed(&output).trim(), "true");
    // The same image as with the carried set, since the packages are the same.
    let image = |more: &[&str]| {
        let mut command = place.wharf();
        command.args(["build", "--json", "--no-link", "./images.nix", "-A", "fakeRoot"]).args(more);
        let result: Value = serde_json::from_str(&succeed(&mut command)).expect("JSON");
        result["results"][0]["image"]["digest"].to_string()
    };
    assert_eq!(image(&[]), image(&["--pkgs", "./set"]));
}
