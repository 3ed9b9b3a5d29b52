//! A small base image made by umoci, as others would have pushed it to a registry.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::{Registry, available, command, find, missing, run, succeed};

/// Pushes a base image to `registry` as `NAME:TAG` and gives its digest. It holds Debian's static busybox as `/bin/sh` and the
/// usual applets, `/etc/base-image` with the name, and the variable `BASE_IMAGE`.
///
/// # Panics
/// When a program fails, or is missing and required.
pub fn push_base_image(registry: &Registry, name: &str, tag: &str) -> Option<String> {
    if !available(&["umoci", "skopeo", "busybox"]) {
        return None;
    }
    let Some(busybox) = find("busybox") else {
        missing("busybox");
        return None;
    };
    let work = TempDir::new().expect("a temporary directory");
    let root = work.path().join("root");
    write_root(&root, &busybox, name);
    let layout = work.path().join("layout");
    let image = format!("{}:base", layout.display());
    run("umoci", ["init", "--layout", &layout.display().to_string()]);
    run("umoci", ["new", "--image", &image]);
    run("umoci", ["insert", "--rootless", "--image", &image, &root.display().to_string(), "/"]);
    let environment = format!("BASE_IMAGE={name}");
    let path = "PATH=/usr/local/bin:/usr/bin:/bin";
    run("umoci", ["config", "--image", &image, "--config.env", path, "--config.env", &environment]);
    let target = format!("docker://{}/{name}:{tag}", registry.host());
    let digest = work.path().join("digest");
    let mut copy = command("skopeo");
    copy.args(["copy", "--insecure-policy", "--dest-tls-verify=false", "--digestfile"]).arg(&digest);
    succeed(copy.arg(format!("oci:{image}")).arg(target));
    Some(fs::read_to_string(digest).expect("the digest that skopeo wrote").trim().to_string())
}

fn write_root(root: &Path, busybox: &Path, name: &str) {
    for directory in ["bin", "etc", "tmp"] {
        fs::create_dir_all(root.join(directory)).expect("a directory of the base image");
    }
    fs::copy(busybox, root.join("bin/busybox")).expect("busybox");
    for applet in succeed(Command::new(busybox).arg("--list")).lines().filter(|applet| *applet != "busybox") {
        std::os::unix::fs::symlink("busybox", root.join("bin").join(applet)).expect("an applet");
    }
    fs::write(root.join("etc/base-image"), name).expect("the base image's mark");
    fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n").expect("the users of the base image");
    fs::write(root.join("etc/group"), "root:x:0:\n").expect("the groups of the base image");
}
