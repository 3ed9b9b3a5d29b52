//! skopeo and podman against our registry.

use std::path::Path;
use std::process::Command;

use crate::serving::Serving;

/// Whether a program that a test needs is installed; with `WHARF_REQUIRE_PEERS=1` it must be.
fn is_installed(program: &str) -> bool {
    let found =
        std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|d| d.join(program).exists()));
    if !found {
        assert!(std::env::var_os("WHARF_REQUIRE_PEERS").is_none_or(|value| value != "1"), "needs {program}");
        println!("skipped: needs {program}");
    }
    found
}

async fn run(mut command: Command) -> String {
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let (out, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}{errors}");
    out.into_owned()
}

/// An image in an OCI layout at `directory`, made by umoci.
async fn make_image(directory: &Path) {
    for arguments in [vec!["init", "--layout"], vec!["new", "--image"], vec!["insert", "--rootless", "--image"]] {
        let mut command = Command::new("umoci");
        let image = directory.join("layout").display().to_string();
        let target = if arguments[0] == "init" { image } else { format!("{image}:t") };
        command.args(&arguments).arg(target);
        if arguments[0] == "insert" {
            std::fs::write(directory.join("hello"), "hello\n".repeat(50_000)).unwrap();
            command.arg(directory.join("hello")).arg("/hello");
        }
        run(command).await;
    }
}

fn skopeo(arguments: &[&str]) -> Command {
    let mut command = Command::new("skopeo");
    command.arg("--insecure-policy").args(arguments);
    command
}

#[tokio::test]
async fn skopeo_pushes_copies_and_pulls() {
    if !is_installed("skopeo") || !is_installed("umoci") {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    make_image(place.path()).await;
    let accounts = place.path().join("accounts");
    std::fs::write(&accounts, format!("ann:{}\n", bcrypt::hash("secret", 4).unwrap())).unwrap();
    let serving = Serving::with(&format!("[auth]\nhtpasswd = {accounts:?}\nanonymous_pull = true\n")).await;
    let layout = format!("oci:{}:t", place.path().join("layout").display());
    let (first, second) =
        (format!("docker://{}/team/app:1", serving.host), format!("docker://{}/other:1", serving.host));
    let push = ["copy", "--dest-tls-verify=false", "--dest-creds=ann:secret"];
    run(skopeo(&[&push[..], &[&layout, &first]].concat())).await;
    run(skopeo(&[&push[..], &["--src-tls-verify=false", "--format=v2s2", &first, &second]].concat())).await;
    let back = format!("oci:{}:t", place.path().join("back").display());
    run(skopeo(&["copy", "--src-tls-verify=false", &first, &back])).await;
    let digest = |reference: &str| skopeo(&["inspect", "--tls-verify=false", "--format={{.Digest}}", reference]);
    assert_eq!(run(digest(&first)).await, run(digest(&back)).await);
    let tags = run(skopeo(&["list-tags", "--tls-verify=false", second.trim_end_matches(":1")])).await;
    assert!(tags.contains("\"1\""), "{tags}");
}

#[tokio::test]
async fn podman_pushes_and_pulls() {
    if !is_installed("podman") || !is_installed("umoci") || !is_installed("skopeo") {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    make_image(place.path()).await;
    let serving = Serving::start().await;
    let podman = |arguments: &[&str]| {
        let mut command = Command::new("podman");
        let (root, run_root) = (place.path().join("root"), place.path().join("run"));
        command
            .arg("--root")
            .arg(root)
            .arg("--runroot")
            .arg(run_root)
            .args(["--storage-driver=vfs", "--cgroup-manager=cgroupfs"]);
        command.args(arguments);
        command
    };
    let layout = format!("oci:{}:t", place.path().join("layout").display());
    let archive = place.path().join("image.tar").display().to_string();
    run(skopeo(&["copy", &layout, &format!("docker-archive:{archive}:local/image:t")])).await;
    run(podman(&["load", "--input", &archive])).await;
    let image = "local/image:t";
    let name = format!("{}/from/podman:1", serving.host);
    run(podman(&["push", "--quiet", "--tls-verify=false", image, &name])).await;
    run(podman(&["rmi", "--force", image])).await;
    run(podman(&["pull", "--quiet", "--tls-verify=false", &name])).await;
    assert!(run(podman(&["images", "--format={{.Repository}}"])).await.contains("from/podman"));
}
