//! An OCI layout on disk, and containers of it in processes of their own.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use image::{Digest, Image, Selection};
use runtime::RunOptions;
use serde_json::{Value, json};
use store::progress::{Activity, Outcome, Progress, Silent, TaskId};

/// Nothing where the shell is not installed and need not be.
pub fn busybox() -> Option<PathBuf> {
    let found = ["/bin/busybox", "/usr/bin/busybox"].map(PathBuf::from).into_iter().find(|path| path.exists());
    if found.is_none() {
        assert!(std::env::var_os("WHARF_REQUIRE_PEERS").is_none_or(|value| value != "1"), "needs busybox-static");
        println!("skipped: needs busybox-static");
    }
    found
}

/// An entry of a layer.
pub enum Item<'a> {
    Directory(&'a str),
    File(&'a str, &'a [u8], u32),
    Link(&'a str, &'a str),
    HardLink(&'a str, &'a str),
    Device(&'a str),
}

/// A layer's archive.
pub fn layer(items: &[Item<'_>]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for item in items {
        let mut header = tar::Header::new_gnu();
        let (path, contents, kind, mode): (&str, &[u8], _, _) = match item {
            Item::Directory(path) => (path, &[], tar::EntryType::Directory, 0o755),
            Item::File(path, contents, mode) => (path, contents, tar::EntryType::Regular, *mode),
            Item::Link(path, _) => (path, &[], tar::EntryType::Symlink, 0o777),
            Item::HardLink(path, _) => (path, &[], tar::EntryType::Link, 0o644),
            Item::Device(path) => (path, &[], tar::EntryType::Char, 0o666),
        };
        // By hand, since the library refuses what hostile archives have.
        let name = &mut header.as_old_mut().name;
        name[..path.len()].copy_from_slice(path.as_bytes());
        if let Item::Link(_, to) | Item::HardLink(_, to) = item {
            header.as_old_mut().linkname[..to.len()].copy_from_slice(to.as_bytes());
        }
        if matches!(item, Item::Device(_)) {
            header.set_device_major(1).unwrap();
            header.set_device_minor(3).unwrap();
        }
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1);
        header.set_size(contents.len() as u64);
        header.set_cksum();
        builder.append(&header, contents).unwrap();
    }
    builder.into_inner().unwrap()
}

/// A layer with a shell and its tools in `/bin`, and a few users.
pub fn base() -> Option<Vec<u8>> {
    let binary = fs::read(busybox()?).unwrap();
    let mut items = vec![
        Item::Directory("bin"),
        Item::File("bin/busybox", &binary, 0o755),
        Item::Directory("etc"),
        Item::File("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\nuser:x:1234:5678:user:/home/user:/bin/sh\n", 0o644),
        Item::File("etc/group", b"root:x:0:\nusers:x:5678:\nextra:x:99:user\n", 0o644),
        Item::Directory("data"),
    ];
    let applets = [
        "sh", "cat", "ls", "id", "echo", "sleep", "env", "nc", "hostname", "pwd", "touch", "kill", "httpd", "ps",
        "chown", "stat", "test", "tty", "trap", "mount", "df", "wget",
    ];
    let paths: Vec<String> = applets.iter().map(|applet| format!("bin/{applet}")).collect();
    items.extend(paths.iter().map(|path| Item::Link(path, "busybox")));
    Some(layer(&items))
}

pub struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    /// An image of these layers with this configuration.
    pub fn new(layers: &[Vec<u8>], config: Value) -> Place {
        let directory = tempfile::tempdir().unwrap();
        let place = Place { directory };
        let blob = |bytes: &[u8]| {
            let digest = Digest::of(bytes);
            let blobs = place.layout().join("blobs/sha256");
            fs::create_dir_all(&blobs).unwrap();
            fs::write(blobs.join(digest.hex()), bytes).unwrap();
            json!({ "digest": digest.to_string(), "size": bytes.len() })
        };
        let with = |mut descriptor: Value, kind: &str| {
            descriptor["mediaType"] = json!(format!("application/vnd.oci.image.{kind}"));
            descriptor
        };
        let diff_ids: Vec<String> = layers.iter().map(|layer| Digest::of(layer).to_string()).collect();
        let config = json!({
            "architecture": if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" }, "os": "linux",
            "config": config, "rootfs": { "type": "layers", "diff_ids": diff_ids },
        });
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": with(blob(config.to_string().as_bytes()), "config.v1+json"),
            "layers": layers.iter().map(|layer| with(blob(layer), "layer.v1.tar")).collect::<Vec<_>>(),
        });
        let manifest = with(blob(manifest.to_string().as_bytes()), "manifest.v1+json");
        fs::write(
            place.layout().join("index.json"),
            json!({ "schemaVersion": 2, "manifests": [manifest] }).to_string(),
        )
        .unwrap();
        fs::write(place.layout().join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        place
    }

    /// The ordinary image, with this command.
    pub fn shell(script: &str) -> Option<Place> {
        Some(Place::new(&[base()?], json!({ "Cmd": ["sh", "-c", script], "Env": ["PATH=/bin"] })))
    }

    pub fn layout(&self) -> PathBuf {
        self.path().join("layout")
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    pub fn options(&self) -> RunOptions {
        RunOptions::new(self.path().join("cache"), self.path().join("state"))
    }

    /// Runs a container in this process.
    pub fn run(&self, options: &RunOptions) -> Result<i32, runtime::RuntimeError> {
        let image = open(self.path());
        runtime::run(&image, options, &(Arc::new(Silent) as Arc<dyn Progress>))
    }

    /// A process that runs a container with these settings, as [`settings`] reads them.
    pub fn process(&self, settings: &Value) -> Command {
        self.process_in(&[], self.path(), settings)
    }

    /// The same, started by `prefix`, and with its files at another place.
    pub fn process_in(&self, prefix: &[&str], place: &Path, settings: &Value) -> Command {
        let own = std::env::current_exe().unwrap();
        let arguments = ["--exact", "image_files::container_process", "--ignored", "--nocapture", "--quiet"];
        let mut words = prefix.iter().copied().chain([own.to_str().unwrap()]).chain(arguments);
        let mut command = Command::new(words.next().unwrap());
        command.args(words).env("CONTAINER_PLACE", place).env("CONTAINER_SETTINGS", settings.to_string());
        command
    }

    /// The output of such a process, without what the test harness says.
    pub fn output(&self, settings: &Value, input: &str) -> (i32, String, String) {
        let mut child =
            self.process(settings).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        (status.code().unwrap_or(-1), text(stdout).replace("\nrunning 1 test\n", ""), text(stderr))
    }

    /// Nothing is left of any container.
    pub fn is_clean(&self) -> bool {
        fs::read_dir(self.path().join("state/containers")).is_ok_and(|mut entries| entries.next().is_none())
    }
}

fn open(place: &Path) -> Image {
    Image::open_path(&place.join("layout"), place, Selection::default()).unwrap()
}

/// Options from JSON, for a process of its own.
fn settings(options: &mut RunOptions, settings: &Value) {
    let text = |name: &str| settings[name].as_str().map(str::to_owned);
    let list = |name: &str| -> Vec<String> {
        let items = settings[name].as_array().cloned().unwrap_or_default();
        items.iter().map(|item| item.as_str().unwrap().to_owned()).collect()
    };
    options.command = list("command");
    options.ports = list("ports").iter().map(|port| port.parse().unwrap()).collect();
    options.volumes = list("volumes").iter().map(|volume| volume.parse().unwrap()).collect();
    options.name = text("name");
    options.network = text("network").map_or(runtime::Network::Private, |network| network.parse().unwrap());
    options.processes = settings["processes"].as_u64();
    options.memory = settings["memory"].as_u64();
    options.interactive = settings["interactive"] == true;
    options.terminal = settings["terminal"] == true;
}

/// Writes warnings to standard error.
struct Warnings;

impl Progress for Warnings {
    fn start(&self, _: Activity, _: &str, _: Option<u64>) -> TaskId {
        TaskId(0)
    }
    fn advance(&self, _: TaskId, _: u64) {}
    fn finish(&self, _: TaskId, _: Outcome) {}
    fn log(&self, _: TaskId, _: &str) {}
    fn warn(&self, message: &str) {
        eprintln!("{message}");
    }
}

#[test]
#[ignore = "not a test: the process in which tests run a container"]
fn container_process() {
    let Some(place) = std::env::var_os("CONTAINER_PLACE") else { return };
    let place = PathBuf::from(place);
    let mut options = RunOptions::new(place.join("cache"), place.join("state"));
    settings(&mut options, &std::env::var("CONTAINER_SETTINGS").unwrap().parse().unwrap());
    let image = open(&place);
    let code = runtime::run(&image, &options, &(Arc::new(Warnings) as Arc<dyn Progress>));
    match code {
        Ok(code) => std::process::exit(code),
        Err(error) => {
            eprintln!("{error}");
            std::process::exit(125)
        }
    }
}
