//! Layers, honest and hostile.

use serde_json::json;

use crate::image_files::{Item, Place, base, layer};

fn listing(layers: &[Vec<u8>], script: &str) -> Option<String> {
    let mut all = vec![base()?];
    all.extend_from_slice(layers);
    let place = Place::new(&all, json!({ "Cmd": ["sh", "-c", script], "Env": ["PATH=/bin"] }));
    let (code, out, err) = place.output(&json!({}), "");
    assert_eq!(code, 0, "{err}");
    Some(out)
}

#[test]
fn upper_layers_hide_lower_ones() {
    let lower = layer(&[
        Item::Directory("d"),
        Item::File("d/kept", b"kept", 0o644),
        Item::File("d/removed", b"", 0o644),
        Item::File("d/changed", b"old", 0o644),
        Item::Directory("opaque"),
        Item::File("opaque/old", b"", 0o644),
        Item::Directory("gone"),
        Item::File("gone/x", b"", 0o644),
        Item::HardLink("d/same", "d/kept"),
    ]);
    let upper = layer(&[
        Item::File("d/.wh.removed", b"", 0o644),
        Item::File("d/changed", b"new", 0o755),
        Item::File("opaque/.wh..wh..opq", b"", 0o644),
        Item::File("opaque/new", b"", 0o644),
        Item::File(".wh.gone", b"", 0o644),
        Item::Link("link", "/d/changed"),
    ]);
    let script = "ls d opaque; cat d/changed d/same link; test -e gone || echo gone; test -x d/changed && echo x";
    let Some(text) = listing(&[lower, upper], script) else { return };
    assert_eq!(text, "d:\nchanged\nkept\nsame\n\nopaque:\nnew\nnewkeptnewgone\nx\n");
}

#[test]
fn users_of_upper_layers_count() {
    let Some(base) = base() else { return };
    let upper =
        layer(&[Item::File("etc/passwd", b"user:x:4321:1:::\n", 0o644), Item::File("etc/.wh.group", b"", 0o644)]);
    let place = Place::new(&[base, upper], json!({ "Cmd": ["/bin/id", "-u"], "User": "user" }));
    assert_eq!(place.output(&json!({}), "").1, "4321\n");
}

#[test]
fn hostile_layers_stay_inside() {
    let outside = tempfile::tempdir().unwrap();
    let target = outside.path().to_str().unwrap();
    let inner = format!("escape{target}/file");
    let cases: [(&str, Vec<u8>); 5] = [
        ("going up", layer(&[Item::File("../../../../../../tmp/wharf-escape", b"x", 0o644)])),
        ("through a link", layer(&[Item::Link("escape", target), Item::File("escape/file", b"x", 0o644)])),
        ("through a link to the root", layer(&[Item::Link("escape", "/"), Item::File(&inner, b"x", 0o644)])),
        ("by a hard link", layer(&[Item::HardLink("stolen", "../../../../../../etc/shadow")])),
        ("by removing", layer(&[Item::Link("escape", target), Item::File("escape/.wh..", b"", 0o644)])),
    ];
    for (name, hostile) in cases {
        let Some(base) = base() else { return };
        let place = Place::new(&[base, hostile], json!({ "Cmd": ["/bin/true"] }));
        let (_, _, err) = place.output(&json!({ "command": ["/bin/busybox", "true"] }), "");
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0, "{name}: {err}");
        assert!(!std::path::Path::new("/tmp/wharf-escape").exists(), "{name}");
    }
}

#[test]
fn damaged_layers_are_refused() {
    let Some(base) = base() else { return };
    let place = Place::new(&[base, layer(&[Item::File("file", b"contents", 0o644)])], json!({ "Cmd": ["/bin/sh"] }));
    let blobs = place.layout().join("blobs/sha256");
    for entry in std::fs::read_dir(blobs).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        if let Some(position) = bytes.windows(8).position(|window| window == b"contents") {
            bytes[position] = b'C';
            std::fs::write(&path, bytes).unwrap();
        }
    }
    let (code, _, err) = place.output(&json!({}), "");
    assert!(code == 125 && err.contains("changed"), "{err}");
    let (code, _, _) = place.output(&json!({}), "");
    assert_eq!(code, 125, "a damaged layer must not be kept");
}

#[test]
fn devices_are_left_out_or_made() {
    let script = "test -e /null-copy && echo made || echo left out; echo x > /dev/null && echo fine";
    let Some(text) = listing(&[layer(&[Item::Device("null-copy")])], script) else { return };
    let expected = if sandbox::IdMap::own().is_some() { "made\nfine\n" } else { "left out\nfine\n" };
    assert_eq!(text, expected);
}

#[test]
fn an_archive_may_lack_its_end() {
    let mut cut = layer(&[Item::File("file", b"contents", 0o644)]);
    cut.truncate(512 + 8);
    let Some(text) = listing(&[cut], "cat /file") else { return };
    assert_eq!(text, "contents");
}
