//! Any bytes as an archive of an image, as the documents of one, or as layers of one whose documents are right: each is looked
//! through, laid over the others and packed anew, or refused.
#![no_main]

use std::fs;
use std::path::Path;

use image::flatten::Flattened;
use image::{Digest, Image, Selection};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, rest)) = bytes.split_first() else { return };
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("image");
    match kind % 4 {
        0 => fs::write(&file, rest).expect("a file"),
        3 => {
            let (config, manifest) = rest.split_at(rest.iter().position(|byte| *byte == 0).unwrap_or(rest.len()));
            let manifest =
                manifest.strip_prefix(b"\0").unwrap_or(br#"[{"Config":"config.json","Layers":["0/layer.tar"]}]"#);
            fs::write(
                &file,
                tar_of(&[("0/layer.tar", &[0; 1024]), ("config.json", config), ("manifest.json", manifest)]),
            )
            .expect("a file");
        }
        // Two layers, so that the second may hide and replace what the first has.
        kind => {
            let layers = rest.split_at(if kind == 1 { 0 } else { rest.len() / 1024 / 2 * 512 });
            fs::write(&file, archive(&[layers.0, layers.1])).expect("a file");
        }
    }
    look_at(&file, &directory.path().join("scratch"));
});

fn look_at(file: &Path, scratch: &Path) {
    fs::create_dir_all(scratch).expect("a directory");
    let Ok(image) = Image::open_path(file, scratch, Selection::default()) else { return };
    let verified = image.verify().is_ok();
    let _ = image::survey::Survey::of(&image).map(|survey| (survey.weights(), survey.largest(5)));
    let flattened = Flattened::of(&image, scratch, &|_| {}).and_then(|all| all.write(std::io::sink()));
    assert!(verified || flattened.is_err() || image.layers.is_empty(), "what is not what it says was taken");
}

/// A docker archive of these layers.
fn archive(layers: &[&[u8]]) -> Vec<u8> {
    let names: Vec<String> = (0..layers.len()).map(|number| format!("{number}/layer.tar")).collect();
    let quoted: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
    let diff_ids: Vec<String> = layers.iter().map(|layer| format!("\"{}\"", Digest::of(layer))).collect();
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","config":{{}},"rootfs":{{"type":"layers","diff_ids":[{}]}}}}"#,
        diff_ids.join(",")
    );
    let manifest = format!(r#"[{{"Config":"config.json","Layers":[{}]}}]"#, quoted.join(","));
    let mut members: Vec<(&str, &[u8])> = names.iter().map(String::as_str).zip(layers.iter().copied()).collect();
    members.extend([("config.json", config.as_bytes()), ("manifest.json", manifest.as_bytes())]);
    tar_of(&members)
}

fn tar_of(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, content) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, name, *content).expect("a member");
    }
    archive.into_inner().expect("an archive")
}
