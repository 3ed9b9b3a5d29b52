//! Layers of zstd:chunked: what podman makes of their tables, and everybody else of the zstd.

use std::fs;

use peers::{Access, Podman, Registry, available, run, succeed};
use serde_json::Value;

use crate::place::Place;

const DEFINITION: &str = r#"{ pkgs, ... }:
pkgs.dockerTools.buildLayeredImage {
  name = "chunked";
  tag = "1.0";
  contents = [ pkgs.userland (pkgs.writeTextDir "etc/motd" "in chunks\n") ];
  nixSnapshotter = true;
  config.Cmd = [ "/bin/cat" "/etc/motd" ];
}
"#;

#[test]
fn podman_and_skopeo_pull_chunked_layers() {
    let (Some(registry), Some(podman)) = (Registry::start(Access::Open), Podman::new()) else { return };
    if !available(&["skopeo"]) {
        return;
    }
    let place = Place::new(DEFINITION);
    let reference = format!("{}/team/chunked:1.0", registry.host());
    succeed(&mut place.wharf(["push", "--compression", "zstd:chunked", "./image.nix", &reference]));
    let remote = format!("docker://{reference}");
    let manifest = run("skopeo", ["inspect", "--tls-verify=false", "--raw", &remote]);
    let manifest: Value = serde_json::from_str(&manifest).expect("JSON");
    let layers = manifest["layers"].as_array().expect("layers");
    for layer in layers {
        assert_eq!(layer["mediaType"], "application/vnd.oci.image.layer.v1.tar+zstd");
        for name in ["manifest-checksum", "manifest-position", "tarsplit-position"] {
            let annotation = &layer["annotations"][format!("io.github.containers.zstd-chunked.{name}")];
            assert!(annotation.is_string(), "{name}: {layer}");
        }
    }
    // Other annotations are there beside them.
    assert!(layers.iter().any(|layer| layer["annotations"]["containerd.io/snapshot/nix-layer"] == "true"));
    // Whoever unpacks the whole checks the diff IDs.
    let layout = format!("oci:{}:1", place.path().join("layout").display());
    run("skopeo", ["copy", "--insecure-policy", "--quiet", "--src-tls-verify=false", &remote, &layout]);
    podman.run(["pull", "--quiet", "--tls-verify=false", &reference]);
    assert_eq!(podman.run_container::<&str>(&reference, []), "in chunks\n");
    pulls_what_is_missing(&place, &remote, layers.len());
}

/// With partial pulls switched on, podman reads the table and fetches files by ranges.
fn pulls_what_is_missing(place: &Place, remote: &str, layers: usize) {
    // Debian 12's podman knows the annotations by the names that they had before.
    let (directory, older) = (place.path().join("copy"), format!("{remote}-older"));
    let copy = format!("dir:{}", directory.display());
    run("skopeo", ["copy", "--insecure-policy", "--quiet", "--src-tls-verify=false", remote, &copy]);
    let manifest = directory.join("manifest.json");
    let text = fs::read_to_string(&manifest).expect("the manifest");
    fs::write(&manifest, text.replace("io.github.containers.zstd", "io.containers.zstd")).expect("the manifest");
    run(
        "skopeo",
        ["copy", "--insecure-policy", "--quiet", "--dest-tls-verify=false", "--preserve-digests", &copy, &older],
    );
    let (root, run_root) = (place.path().join("partial"), place.path().join("partial-run"));
    let storage = format!(
        "[storage]\ndriver = \"overlay\"\ngraphroot = \"{}\"\nrunroot = \"{}\"\n\
         [storage.options]\npull_options = {{ enable_partial_images = \"true\", use_hard_links = \"false\" }}\n",
        root.display(),
        run_root.display()
    );
    place.write("storage.conf", &storage);
    let podman = |arguments: &[&str]| {
        let mut command = peers::command("podman");
        command.env("CONTAINERS_STORAGE_CONF", place.path().join("storage.conf")).args(arguments);
        command
    };
    let reference = older.trim_start_matches("docker://");
    let printed = podman(&["--log-level=debug", "pull", "--tls-verify=false", reference]).output().expect("podman");
    let text = peers::printed(&printed);
    let partial = text.matches("Retrieved partial blob").count();
    assert!(printed.status.success() && partial == layers, "{partial} of {layers}: {text}");
    let mounted = succeed(&mut podman(&["image", "mount", reference]));
    let motd = fs::read_to_string(format!("{}/nix/store/{}", mounted.trim(), motd_of(mounted.trim())));
    assert_eq!(motd.expect("the file in the image"), "in chunks\n");
    succeed(&mut podman(&["image", "umount", reference]));
    succeed(&mut podman(&["system", "reset", "--force"]));
}

/// The file below the image's store.
fn motd_of(root: &str) -> String {
    let entries = fs::read_dir(format!("{root}/nix/store")).expect("the image's store");
    let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
    format!("{}/etc/motd", names.into_iter().find(|name| name.ends_with("-motd")).expect("an object"))
}
