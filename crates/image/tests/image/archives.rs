//! Archives: what docker, podman, skopeo and umoci make of them, and what is refused from outside.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use image::archive::{self, Format};
use image::{Compression, Image, OciBundle, OciExport, OciMerge, Selection};
use peers::{Docker, Podman};
use serde_json::{Value, json};

use crate::support::{Workshop, definition, layered, members, object, single};

const MOTD: &str = "hello from the root\n";

/// An image that runs, in its two forms.
fn images(workshop: &Workshop) -> Option<[Image; 2]> {
    let busybox = workshop.busybox()?;
    let environment = workshop.environment(&busybox);
    let config = json!({ "config": {
        "Cmd": ["/bin/cat", "/etc/motd"], "Env": ["GREETING=hello"], "ExposedPorts": { "80/tcp": {} }, "Volumes": { "/data": {} }
    } });
    let image = |digit, layers| workshop.build(digit, definition(layers, config.clone()));
    Some([image('1', single(&[&environment])), image('2', layered(&[&environment], 100))])
}

fn write(workshop: &Workshop, image: &Image, format: Format, compression: Compression) -> PathBuf {
    let path = workshop.path(&format!("{format:?}-{compression:?}.tar"));
    let out = File::create(&path).unwrap();
    archive::write(std::slice::from_ref(image), format, compression, &workshop.cache(), out).unwrap();
    path
}

fn inspect(transport: &str, path: &Path) -> Value {
    let out = peers::run("skopeo", ["inspect", "--config", &format!("{transport}:{}", path.display())]);
    serde_json::from_str(&out).unwrap()
}

#[test]
fn one_archive_is_a_docker_archive_and_an_oci_archive() {
    let workshop = Workshop::new();
    let Some(images) = images(&workshop) else { return };
    if !peers::available(&["skopeo"]) {
        return;
    }
    for image in &images {
        for (transport, compression) in [
            ("docker-archive", Compression::None),
            // Debian 12's skopeo reads no docker archive that is compressed by gzip, its own neither.
            ("docker-archive", Compression::Zstd),
            ("oci-archive", Compression::None),
            ("oci-archive", Compression::Gzip),
        ] {
            let path = write(&workshop, image, Format::Universal, compression);
            let config = inspect(transport, &path);
            assert_eq!(config["rootfs"]["diff_ids"], json!(image.config.rootfs.diff_ids), "{transport}");
            let copy = workshop.path(&format!("{transport}-{compression:?}-{}", image.layers.len()));
            let (from, to) = (format!("{transport}:{}", path.display()), format!("oci:{}:1", copy.display()));
            peers::run("skopeo", ["copy", "--insecure-policy", "--quiet", &from, &to]);
            let copied = Image::open_path(&copy, workshop.directory.path(), Selection::default()).unwrap();
            assert_eq!(copied.config.rootfs, image.config.rootfs);
            copied.verify().unwrap();
        }
    }
}

#[test]
fn docker_loads_and_runs() {
    let workshop = Workshop::new();
    let Some(docker) = Docker::start() else { return };
    let Some(images) = images(&workshop) else { return };
    for image in &images {
        for format in [Format::Universal, Format::Docker] {
            let path = write(&workshop, image, format, Compression::Gzip);
            let printed = docker.run(["load", "--quiet", "--input", path.to_str().unwrap()]);
            assert_eq!(printed.trim(), "Loaded image: wharf-test:1");
            assert_eq!(docker.run(["inspect", "--format", "{{.Id}}", "wharf-test:1"]).trim(), image.id().to_string());
            assert_eq!(docker.run(["run", "--rm", "--network=none", "wharf-test:1"]), MOTD);
            docker.run(["rmi", "wharf-test:1"]);
        }
    }
}

#[test]
fn podman_loads_and_runs() {
    let workshop = Workshop::new();
    let Some(podman) = Podman::new() else { return };
    let Some(images) = images(&workshop) else { return };
    for image in &images {
        for format in [Format::Universal, Format::Docker, Format::Oci] {
            let path = write(&workshop, image, format, Compression::None);
            podman.run(["load", "--quiet", "--input", path.to_str().unwrap()]);
            assert_eq!(
                podman.run_container("localhost/wharf-test:1", ["/bin/sh", "-c", "cat /etc/motd"]),
                MOTD,
                "{format:?}"
            );
            podman.run(["rmi", "--force", "localhost/wharf-test:1"]);
        }
    }
}

#[test]
fn umoci_unpacks_a_layout_and_runc_runs_it() {
    let workshop = Workshop::new();
    let Some(images) = images(&workshop) else { return };
    if !peers::available(&["umoci", "runc"]) || !peers::is_root() {
        return;
    }
    for (number, image) in images.iter().enumerate() {
        // umoci of Debian 12 does not read zstd.
        for compression in [Compression::None, Compression::Gzip] {
            let layout = workshop.path(&format!("layout-{number}-{compression:?}"));
            archive::write_layout(std::slice::from_ref(image), compression, &workshop.cache(), &layout).unwrap();
            let bundle = workshop.path(&format!("bundle-{number}-{compression:?}"));
            peers::run("umoci", ["unpack", "--image", &format!("{}:1", layout.display()), bundle.to_str().unwrap()]);
            let config = bundle.join("config.json");
            let mut spec: Value = serde_json::from_slice(&fs::read(&config).unwrap()).unwrap();
            spec["process"]["terminal"] = json!(false);
            spec["process"]["rlimits"] = json!([]);
            fs::write(&config, spec.to_string()).unwrap();
            let printed = runc(&workshop, &bundle, &format!("{number}-{compression:?}"));
            assert_eq!(printed, MOTD);
        }
    }
}

#[test]
fn own_archives_and_layouts_read_back() {
    let workshop = Workshop::new();
    let Some(images) = images(&workshop) else { return };
    let check = |path: &Path, image: &Image| {
        let read = Image::open_path(path, workshop.directory.path(), Selection::default()).unwrap();
        assert_eq!((read.id(), read.reference()), (image.id(), image.reference()));
        read.verify().unwrap();
    };
    for image in &images {
        for format in [Format::Universal, Format::Docker, Format::Oci] {
            for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
                check(&write(&workshop, image, format, compression), image);
            }
        }
        let layout = workshop.path(&format!("own-{}", image.layers.len()));
        archive::write_layout(std::slice::from_ref(image), Compression::Zstd, &workshop.cache(), &layout).unwrap();
        check(&layout, image);
    }
}

#[test]
fn damaged_archives_are_refused() {
    let workshop = Workshop::new();
    let Some([image, _]) = images(&workshop) else { return };
    let path = write(&workshop, &image, Format::Universal, Compression::None);
    let whole = fs::read(&path).unwrap();
    let refused = |bytes: &[u8]| {
        let path = workshop.path("damaged.tar");
        fs::write(&path, bytes).unwrap();
        let opened = Image::open_path(&path, workshop.directory.path(), Selection::default());
        opened.and_then(|image| image.verify()).unwrap_err().to_string()
    };
    let cut = refused(&whole[..whole.len() / 2]);
    assert!(cut.contains("is cut off"), "{cut}");
    let mut changed = whole.clone();
    let motd = changed.windows(MOTD.len()).position(|bytes| bytes == MOTD.as_bytes()).unwrap();
    changed[motd] = b'H';
    let changed = refused(&changed);
    assert!(changed.contains("has changed"), "{changed}");
    let other = refused(b"just a text");
    assert!(other.contains("is not a usable image"), "{other}");
    // A few kilobytes of zstd that unpack to half a gigabyte.
    let mut encoder = image::Encoder::new(Vec::new(), Compression::Zstd).unwrap();
    encoder.write_all(&whole[..512]).unwrap();
    std::io::copy(&mut std::io::Read::take(std::io::repeat(0), 512 << 20), &mut encoder).unwrap();
    let bomb = refused(&encoder.finish().unwrap());
    assert!(bomb.contains("more than a thousand times"), "{bomb}");
    let mut encoder = image::Encoder::new(Vec::new(), Compression::Gzip).unwrap();
    encoder.write_all(b"a text").unwrap();
    let text = refused(&encoder.finish().unwrap());
    assert!(text.contains("it is compressed, and no tar archive"), "{text}");
    let left: Vec<_> =
        fs::read_dir(workshop.directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| name.len() < 64), "nothing unpacked is left: {left:?}");
}

#[test]
fn runc_runs_a_bundle() {
    let workshop = Workshop::new();
    let Some(busybox) = workshop.busybox() else { return };
    if !peers::available(&["runc"]) || !peers::is_root() {
        return;
    }
    let shell = format!("{}/bin/sh", busybox.to_absolute());
    let bundle = object('7', "bundle");
    let mount = |kind: &str, at: &str| json!({ "destination": at, "type": kind, "source": kind });
    let config = json!({
        "ociVersion": "1.0.0",
        "process": { "args": [shell, "-c", "echo $((6 * 7))"], "cwd": "/", "user": { "uid": 0, "gid": 0 } },
        "root": { "path": "rootfs", "readonly": true },
        "mounts": [mount("proc", "/proc"), mount("tmpfs", "/dev")],
        "linux": { "namespaces": [{ "type": "pid" }, { "type": "mount" }] },
    });
    workshop.run(&OciBundle, &bundle, json!({ "config": config })).unwrap();
    let path = workshop.path("store/nix/store").join(bundle.base_name());
    assert_eq!(runc(&workshop, &path, "bundle"), "42\n");
}

fn runc(workshop: &Workshop, bundle: &Path, name: &str) -> String {
    let (root, id) = (workshop.path("runc"), format!("wharf-image-test-{}-{name}", std::process::id()));
    let (root, bundle) = (root.display().to_string(), bundle.display().to_string());
    peers::run("runc", ["--root", &root, "run", "--bundle", &bundle, &id])
}

#[test]
fn merged_images_are_all_in_the_archive() {
    let workshop = Workshop::new();
    let Some(images) = images(&workshop) else { return };
    let merged = object('8', "merged");
    let paths = ['1', '2'].map(|digit| object(digit, "image").to_absolute());
    workshop.run(&OciMerge::new(workshop.cache()), &merged, json!({ "images": paths })).unwrap();
    let path = workshop.path("store/nix/store").join(merged.base_name());
    let error = Image::open(&workshop.store, &merged, workshop.directory.path()).unwrap_err().to_string();
    assert!(error.contains("it holds several images"), "{error}");
    let wanted = Selection { name: Some("wharf-test"), tag: Some("1") };
    let first = Image::open_path(&path, workshop.directory.path(), wanted).unwrap();
    assert_eq!(first.id(), images[0].id());
}

/// A base with what later layers hide, replace and link to, as a docker archive.
fn hiding_layers(workshop: &Workshop) -> PathBuf {
    let layer = |entries: &[(&str, char, &str)]| {
        let mut tar = ::tar::Builder::new(Vec::new());
        for (path, kind, content) in entries {
            let mut header = ::tar::Header::new_gnu();
            header.set_mode(0o644);
            header.set_uid(0);
            header.set_gid(0);
            header.set_entry_type(match kind {
                'd' => ::tar::EntryType::Directory,
                'l' => ::tar::EntryType::Symlink,
                'h' => ::tar::EntryType::Link,
                'p' => ::tar::EntryType::Fifo,
                _ => ::tar::EntryType::Regular,
            });
            if matches!(kind, 'l' | 'h') {
                header.set_size(0);
                tar.append_link(&mut header, path, content).unwrap();
            } else {
                header.set_size(content.len() as u64);
                tar.append_data(&mut header, path, content.as_bytes()).unwrap();
            }
        }
        tar.into_inner().unwrap()
    };
    let layers = [
        layer(&[
            ("usr/lib/a", 'f', "a"),
            ("lib", 'l', "usr/lib"),
            ("gone/x", 'f', "x"),
            ("opaque/old", 'f', "old"),
            ("file", 'f', "first"),
            ("becomes-file/x", 'f', "x"),
            ("pipe", 'p', ""),
        ]),
        layer(&[
            ("lib/b", 'f', "b"),
            (".wh.gone", 'f', ""),
            ("opaque/new", 'f', "new"),
            ("opaque/.wh..wh..opq", 'f', ""),
            ("hard", 'h', "file"),
            ("file", 'f', "second"),
            ("becomes-file", 'f', "now a file"),
        ]),
    ];
    let config = json!({
        "architecture": "amd64", "os": "linux", "config": {},
        "rootfs": { "type": "layers", "diff_ids": layers.iter().map(|tar| image::Digest::of(tar)).collect::<Vec<_>>() },
    });
    let manifest = json!([{ "Config": "config.json", "RepoTags": ["base:1"], "Layers": ["0.tar", "1.tar"] }]);
    let mut archive = ::tar::Builder::new(File::create(workshop.path("base.tar")).unwrap());
    let documents = [config.to_string().into_bytes(), manifest.to_string().into_bytes()];
    for (name, content) in
        ["0.tar", "1.tar", "config.json", "manifest.json"].iter().zip(layers.iter().chain(&documents))
    {
        let mut header = ::tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        archive.append_data(&mut header, name, &content[..]).unwrap();
    }
    archive.finish().unwrap();
    workshop.path("base.tar")
}

#[test]
fn an_exported_image_is_what_a_container_sees() {
    let workshop = Workshop::new();
    let base = hiding_layers(&workshop);
    let (from, exported) = (object('3', "base"), object('4', "exported"));
    workshop.add(&from, &[], |path| assert!(fs::copy(&base, path).is_ok()));
    let export = json!({ "fromImage": from.to_absolute(), "fromImageName": "base", "fromImageTag": "1" });
    workshop.run(&OciExport, &exported, json!({ "export": export })).unwrap();
    let path = workshop.path("store/nix/store").join(exported.base_name());
    let names: Vec<_> = members(&fs::read(&path).unwrap()).into_iter().map(|(name, _)| name).collect();
    let wanted =
        "./ ./becomes-file ./file ./hard ./lib ./opaque/ ./opaque/new ./usr/ ./usr/lib/ ./usr/lib/a ./usr/lib/b";
    assert_eq!(names.join(" "), wanted);
    let root = workshop.path("root");
    ::tar::Archive::new(File::open(&path).unwrap()).unpack(&root).unwrap();
    let read = |name: &str| fs::read_to_string(root.join(name)).unwrap();
    assert_eq!([read("file"), read("hard"), read("lib/b")], ["second", "first", "b"]);
}

#[test]
fn mangled_archives_are_errors_and_nothing_worse() {
    let workshop = Workshop::new();
    let whole = fs::read(hiding_layers(&workshop)).unwrap();
    let (path, scratch) = (workshop.path("mangled.tar"), workshop.path("scratch"));
    let mut state = 7u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    for _ in 0..500 {
        let mut bytes = whole.clone();
        for _ in 0..=random(4) {
            // Most of a tar is padding; what matters is in its headers and the documents at the end.
            let at = random(bytes.len() / 512) * 512 + random(160);
            bytes[at.min(whole.len() - 1)] = [b'0', b'7', b'/', b'.', 0, 0xff, b'"', b'{'][random(8)];
        }
        bytes.truncate(if random(5) == 0 { random(bytes.len()) } else { bytes.len() });
        fs::write(&path, &bytes).unwrap();
        if let Ok(image) = Image::open_path(&path, workshop.directory.path(), Selection::default()) {
            fs::create_dir(&scratch).unwrap();
            let _ = image.verify();
            let flattened = image::flatten::Flattened::of(&image, &scratch, &|_| {});
            let _ = flattened.and_then(|tree| tree.write(std::io::sink()));
            fs::remove_dir_all(&scratch).unwrap();
        }
    }
}
