//! `builtin:oci-image`: definitions to images.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use image::inspect::Inspection;
use image::{Compression, Image};
use serde_json::json;

use crate::support::{Workshop, definition, layered, members, object, single, write};

/// A library, a program that uses it, and an environment of links.
fn closure(workshop: &Workshop) -> [nix_formats::store_path::StorePath; 3] {
    let (library, program, environment) = (object('d', "library"), object('f', "program"), object('g', "environment"));
    workshop.add(&library, &[], |tree| write(&tree.join("lib/code"), b"code", 0o444));
    workshop.add(&program, &[&library, &program], |tree| {
        write(&tree.join("bin/run"), library.to_absolute().as_bytes(), 0o555);
        write(&tree.join("share/doc/read"), b"me", 0o444);
    });
    workshop.add(&environment, &[&program], |tree| {
        fs::create_dir(tree).unwrap();
        symlink(format!("{}/bin", program.to_absolute()), tree.join("bin")).unwrap();
        symlink(format!("{}/share/doc/read", program.to_absolute()), tree.join("read")).unwrap();
    });
    [library, program, environment]
}

/// Objects are read-only, which holds back an ordinary user.
fn allow_changes(directory: &Path) {
    fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).unwrap();
}

fn tar(image: &Image, layer: usize) -> Vec<u8> {
    image.layers[layer].write_tar(Vec::new()).unwrap()
}

fn names(image: &Image, layer: usize) -> Vec<String> {
    members(&tar(image, layer)).into_iter().map(|(name, _)| name).collect()
}

#[test]
fn a_single_layer_has_copies_and_the_closure() {
    let workshop = Workshop::new();
    let [library, program, environment] = closure(&workshop);
    let image = workshop.build('1', definition(single(&[&environment]), json!({})));
    assert_eq!(image.layers.len(), 1);
    let names = names(&image, 0);
    let store = |path: &nix_formats::store_path::StorePath| format!("./nix/store/{}/", path.base_name());
    for wanted in ["./", "./bin/", "./bin/run", "./read", "./nix/", "./nix/store/", &store(&library), &store(&program)]
    {
        assert!(names.iter().any(|name| name == wanted), "{wanted} is not in {names:?}");
    }
    assert!(!names.contains(&store(&environment)), "the environment itself is not needed");
    assert_eq!(image.layers[0].store_paths(), [library, program]);
    let rest = members(&image.layers[0].write_rest(Vec::new()).unwrap());
    assert!(rest.iter().all(|(name, _)| !name.starts_with("./nix")), "{rest:?}");
}

#[test]
fn layers_hold_each_object_once_and_links_at_the_root() {
    let workshop = Workshop::new();
    let [library, program, environment] = closure(&workshop);
    let image = workshop.build('1', definition(layered(&[&program, &environment], 100), json!({})));
    let paths: Vec<_> = image.layers.iter().map(|layer| layer.store_paths().to_vec()).collect();
    assert_eq!(paths, [vec![library], vec![program.clone()], vec![]]);
    let root = members(&tar(&image, 2));
    let run = format!("{}/bin/run", program.to_absolute());
    assert!(root.contains(&("./bin/run".to_owned(), Some(run))), "{root:?}");
}

#[test]
fn what_the_config_names_is_in_the_image() {
    let workshop = Workshop::new();
    let [_, program, _] = closure(&workshop);
    let command = format!("{}/bin/run", program.to_absolute());
    let image = workshop.build('1', definition(layered(&[], 2), json!({ "config": { "cmd": [command] } })));
    assert_eq!(image.config.config.cmd, Some(vec![command]));
    assert_eq!(image.layers[0].store_paths().len(), 2);
}

#[test]
fn a_base_gives_layers_and_environment() {
    let workshop = Workshop::new();
    let [library, program, environment] = closure(&workshop);
    let base = definition(layered(&[&program], 100), json!({ "config": { "Env": ["A=1", "B=2"], "Cmd": ["/base"] } }));
    let base = workshop.build('1', base);
    let changes = json!({
        "fromImage": object('1', "image").to_absolute(), "config": { "Env": ["A=3"] }, "tag": null, "name": "Team/App"
    });
    let image = workshop.build('2', definition(layered(&[&environment], 100), changes));
    assert_eq!(image.layers.len(), base.layers.len() + 1, "the objects are in the base");
    assert_eq!(image.config.config.env, ["A=3", "B=2"]);
    assert_eq!(image.config.config.cmd, None);
    assert_eq!(image.reference().unwrap(), format!("team/app:{}", "2".repeat(32)));
    assert_eq!(image.config.history.len(), image.layers.len());
    assert!(image.layers.iter().flat_map(|layer| layer.store_paths()).eq([&library, &program]));
    image.verify().unwrap();
}

#[test]
fn archives_are_bases_too() {
    let workshop = Workshop::new();
    let [_, program, _] = closure(&workshop);
    let base = workshop.build('1', definition(layered(&[&program], 100), json!({})));
    for (digit, compression) in [('3', Compression::None), ('4', Compression::Gzip), ('5', Compression::Zstd)] {
        let archive = object(digit, "archive");
        workshop.add(&archive, &[], |file| {
            let out = fs::File::create(file).unwrap();
            let format = image::archive::Format::Docker;
            image::archive::write(std::slice::from_ref(&base), format, compression, &workshop.cache(), out).unwrap();
        });
        let changes = json!({ "fromImage": archive.to_absolute(), "fromImageName": "wharf-test" });
        let image = workshop.build(['6', '7', '8'][digit as usize - '3' as usize], definition(single(&[]), changes));
        assert_eq!(image.layers.len(), base.layers.len() + 1);
        image.verify().unwrap();
        let wrong = json!({ "fromImage": archive.to_absolute(), "fromImageTag": "2" });
        let error = workshop.try_build('9', definition(single(&[]), wrong)).unwrap_err().to_string();
        assert!(error.contains("it has no image `*:2`; it has: wharf-test:1"), "{error}");
    }
}

#[test]
fn a_second_build_reads_no_object() {
    let workshop = Workshop::new();
    let [library, program, _] = closure(&workshop);
    let first = workshop.build('1', definition(layered(&[&program], 100), json!({})));
    allow_changes(&workshop.path("store/nix/store").join(library.base_name()));
    fs::rename(workshop.path("store/nix/store").join(library.base_name()), workshop.path("away")).unwrap();
    let second = workshop.build('2', definition(layered(&[&program], 100), json!({})));
    assert_eq!(first.config.rootfs, second.config.rootfs);
    let error = second.verify().unwrap_err().to_string();
    assert!(error.contains(&library.to_absolute()), "{error}");
}

#[test]
fn a_changed_object_is_noticed() {
    let workshop = Workshop::new();
    let [library, program, _] = closure(&workshop);
    let image = workshop.build('1', definition(layered(&[&program], 100), json!({})));
    let file = workshop.path("store/nix/store").join(library.base_name()).join("lib/code");
    allow_changes(file.parent().unwrap());
    fs::remove_file(&file).unwrap();
    write(&file, b"evil", 0o444);
    let error = image.verify().unwrap_err().to_string();
    assert!(error.contains("has changed since the image was built"), "{error}");
}

#[test]
fn mistakes_are_named() {
    let workshop = Workshop::new();
    let file = object('h', "file");
    workshop.add(&file, &[], |path| fs::write(path, b"not a directory").unwrap());
    let cases = [
        (single(&[&file]), json!({}), "file is not a directory"),
        (layered(&[], 1), json!({}), "maxLayers: it must be from 2 to 127"),
        (single(&[]), json!({ "created": "yesterday" }), "created: `yesterday` is neither `now` nor a date"),
        (single(&[]), json!({ "config": { "Comand": [] } }), "config.Comand: there is no such member"),
        (single(&[]), json!({ "config": { "Cmd": "run" } }), "config: invalid type: string \"run\""),
        (single(&[]), json!({ "fromImage": file.to_absolute() }), "file is not a usable image"),
        (single(&[]), json!({ "typo": 1 }), "unknown field `typo`"),
    ];
    for (layers, changes, wanted) in cases {
        let error = workshop.try_build('1', definition(layers, changes)).unwrap_err().to_string();
        assert!(error.contains(wanted), "{error}");
    }
}

#[test]
fn an_image_can_be_looked_at() {
    let workshop = Workshop::new();
    let [library, program, environment] = closure(&workshop);
    let image = workshop.build('1', definition(layered(&[&environment], 100), json!({})));
    let seen = Inspection::of(&image, Compression::Gzip, &workshop.cache());
    assert_eq!(seen.layers[0].store_paths, [library.to_absolute()]);
    assert_eq!(seen.layers[0].comment.as_deref(), Some(&*format!("store paths: ['{}']", library.to_absolute())));
    assert_eq!(seen.layers[1].store_paths, [program.to_absolute()]);
    assert_eq!(seen.layers[2].contents, [environment.to_absolute()]);
    assert!(seen.layers.iter().all(|layer| layer.size.is_some() && layer.blob.is_none()));
    let blob = image.layers[0].blob(Compression::Gzip, &workshop.cache()).unwrap();
    let seen = Inspection::of(&image, Compression::Gzip, &workshop.cache());
    assert_eq!(seen.layers[0].blob.as_ref().unwrap().digest, blob.digest);
}

#[test]
fn the_nix_database_knows_the_objects_and_is_reproducible() {
    let workshop = Workshop::new();
    let [library, program, environment] = closure(&workshop);
    let build = |digit| {
        let layers = layered(&[&environment, &program], 100);
        workshop.build(digit, definition(layers, json!({ "includeNixDB": true })))
    };
    let image = build('1');
    assert_eq!(image.id(), build('2').id());
    image.verify().unwrap();
    let layer = image.layers.last().unwrap().write_tar(Vec::new()).unwrap();
    let link = members(&layer).into_iter().find(|(_, link)| link.is_some()).unwrap();
    assert!(link.0.starts_with("./nix/var/nix/gcroots/docker/"), "{}", link.0);
    assert_eq!(link.1, Some(program.to_absolute()));
    if !peers::available(&["nix-store"]) {
        return;
    }
    let root = workshop.path("container");
    for layer in &image.layers {
        ::tar::Archive::new(&layer.write_tar(Vec::new()).unwrap()[..]).unpack(&root).unwrap();
    }
    let query = ["--store", root.to_str().unwrap(), "--query", "--requisites", &program.to_absolute()];
    assert_eq!(peers::run("nix-store", query), format!("{library}\n{program}\n"));
}

#[test]
fn a_pipeline_decides_about_layers() {
    let workshop = Workshop::new();
    let [library, program, _] = closure(&workshop);
    let other = object('k', "other");
    workshop.add(&other, &[&library], |tree| write(&tree.join("other"), b"larger than the program's files", 0o444));
    let [l, p, o] = [&library, &program, &other];
    let paths = json!([program.to_absolute()]);
    let cases = [
        (json!([["popularity_contest"]]), vec![vec![l], vec![o], vec![p]]),
        (json!([["popularity_contest"], ["limit_layers", 2]]), vec![vec![l], vec![o, p]]),
        (json!([["popularity_contest"], ["reverse"]]), vec![vec![p], vec![o], vec![l]]),
        (json!([["split_paths", paths]]), vec![vec![p], vec![l], vec![o]]),
        (json!([["subcomponent_out", paths], ["over", "main", ["split_every", 1]]]), vec![vec![l], vec![p], vec![o]]),
        (
            json!([["subcomponent_in", paths], ["over", "rest", ["remove_paths", other.to_absolute()]]]),
            vec![vec![p], vec![l]],
        ),
    ];
    for (digit, (pipeline, wanted)) in "123456".chars().zip(cases) {
        let mut layers = layered(&[&program, &other], 100);
        layers["layered"]["layeringPipeline"] = pipeline.clone();
        let image = workshop.build(digit, definition(layers, json!({})));
        let found: Vec<Vec<_>> = image.layers.iter().map(|layer| layer.store_paths().iter().collect()).collect();
        assert_eq!(found[..found.len() - 1], wanted, "{pipeline}");
    }
}

#[test]
fn a_script_that_streams_an_image_is_that_image() {
    let workshop = Workshop::new();
    let [_, program, _] = closure(&workshop);
    let image = workshop.build('1', definition(layered(&[&program], 100), json!({})));
    let (path, script) = (object('1', "image"), object('m', "stream"));
    let text = format!("#!/bin/sh\n# image: {}\nexec wharf layer stream\n", path.to_absolute());
    workshop.add(&script, &[&path], |file| write(file, text.as_bytes(), 0o555));
    let opened = Image::open(&workshop.store, &script, workshop.directory.path()).unwrap();
    assert_eq!(opened.id(), image.id());
}
