//! Layers against what Python's `tarfile` and GNU tar write for the same trees.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use image::{Digest, Head, Objects, Owner, Pack, Style};
use nix_formats::store_path::StorePath;

use crate::support::{object, write};

const MTIME: u64 = 315_532_800;

/// A store with names that need every form of a tar header.
fn awkward_store(directory: &Path) -> Vec<StorePath> {
    let (tree, file, link) = (object('a', "tree"), object('b', "file"), object('c', "link"));
    let root = directory.join(tree.base_name());
    write(&root.join("bin/tool"), b"#!/bin/sh\n", 0o555);
    write(&root.join("share/a.b/x"), b"", 0o444);
    write(&root.join("share/a/x"), &[7; 513], 0o444);
    write(&root.join("share/a-b"), &[0; 512], 0o444);
    write(&root.join("n".repeat(120)), b"long name", 0o444);
    write(&root.join("d".repeat(99)).join("e".repeat(30)), b"deep", 0o444);
    write(&root.join("größe"), b"utf-8", 0o444);
    symlink("l".repeat(130), root.join("long-link")).unwrap();
    symlink("ziel-ß", root.join("utf8-link")).unwrap();
    fs::create_dir(root.join("empty")).unwrap();
    make_directories_canonical(&root);
    write(&directory.join(file.base_name()), b"a file", 0o444);
    symlink("/nix/store/somewhere", directory.join(link.base_name())).unwrap();
    vec![tree, file, link]
}

fn make_directories_canonical(directory: &Path) {
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            make_directories_canonical(&entry.path());
        }
    }
    fs::set_permissions(directory, fs::Permissions::from_mode(0o555)).unwrap();
}

/// Lets the temporary directory be removed by an ordinary user.
fn make_writable(directory: &Path) {
    fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).unwrap();
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            make_writable(&entry.path());
        }
    }
}

fn store_pack(objects: Vec<StorePath>, uid: u32) -> Pack {
    let owner = Owner { uid, gid: uid, uname: "root".to_owned(), gname: "root".to_owned() };
    Pack {
        head: Head::None,
        head_owner: owner.clone(),
        directories: Vec::new(),
        objects,
        owner,
        permissions: Vec::new(),
        mtime: 1,
        style: Style::Stream,
    }
}

/// The store layer as a script of Python's standard library makes it, from real files below `directory`.
const PYTHON: &str = r#"
import os, sys, tarfile
directory, uid, names = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
def own(info, name):
    info.name, info.mtime, info.uid, info.gid, info.uname, info.gname = name, 1, uid, uid, "root", "root"
    return info
def add(tar, real, name):
    info = own(tar.gettarinfo(real), name)
    if info.islnk():
        info.type, info.linkname, info.size = tarfile.REGTYPE, "", os.stat(real).st_size
    with open(real, "rb") if info.isfile() else open(os.devnull, "rb") as content:
        tar.addfile(info, content)
    if info.isdir():
        for child in sorted(os.listdir(real)):
            add(tar, os.path.join(real, child), name + "/" + child)
with tarfile.open(fileobj=sys.stdout.buffer, mode="w|", format=tarfile.PAX_FORMAT) as tar:
    for name in ("/nix", "/nix/store"):
        info = own(tarfile.TarInfo(name), name)
        info.type, info.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(info)
    for name in names:
        add(tar, os.path.join(directory, name), "/nix/store/" + name)
"#;

#[test]
fn store_layers_are_those_of_python() {
    if !peers::available(&["python3"]) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let objects = awkward_store(directory.path());
    for uid in [0, 3_000_000] {
        let mut ours = Vec::new();
        store_pack(objects.clone(), uid).write(&Objects::new(directory.path()), &mut ours).unwrap();
        let mut python = Command::new("python3");
        python.args(["-c", PYTHON]).arg(directory.path()).arg(uid.to_string());
        let theirs = python.args(objects.iter().map(StorePath::base_name)).output().unwrap();
        assert!(theirs.status.success(), "{}", String::from_utf8_lossy(&theirs.stderr));
        assert_equal_tar(&ours, &theirs.stdout);
    }
    make_writable(directory.path());
}

#[test]
fn copied_contents_are_those_of_gnu_tar() {
    if !peers::available(&["tar"]) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let object = awkward_store(directory.path())[0].clone();
    let mut ours = Vec::new();
    let pack = Pack {
        head: Head::Copy { contents: vec![object.to_absolute().into()], keep_dirlinks: false },
        head_owner: Owner { uid: 7, gid: 8, ..Owner::ROOT },
        directories: Vec::new(),
        permissions: Vec::new(),
        objects: Vec::new(),
        owner: Owner::ROOT,
        mtime: MTIME,
        style: Style::Tar,
    };
    pack.write(&Objects::new(directory.path()), &mut ours).unwrap();
    let tree = directory.path().join(object.base_name());
    fs::set_permissions(&tree, fs::Permissions::from_mode(0o755)).unwrap();
    let mut tar = Command::new("tar");
    tar.arg("-C").arg(&tree).args(["--sort=name", "--numeric-owner", "--owner=7", "--group=8", "--format=gnu"]);
    let theirs = tar.arg(format!("--mtime=@{MTIME}")).args(["--hard-dereference", "-cf", "-", "."]).output().unwrap();
    assert_equal_tar(&ours, &theirs.stdout);
    make_writable(directory.path());
}

#[test]
fn bytes_of_a_store_layer_are_pinned() {
    let directory = tempfile::tempdir().unwrap();
    let objects = awkward_store(directory.path());
    let mut tar = Vec::new();
    store_pack(objects, 0).write(&Objects::new(directory.path()), &mut tar).unwrap();
    assert_eq!(Digest::of(&tar).to_string(), "sha256:0748da7ea792e943d60902db7718090d1e43ee3d0b9d6d7044a3e783bcfe909d");
    make_writable(directory.path());
}

fn assert_equal_tar(ours: &[u8], theirs: &[u8]) {
    let difference = ours.chunks(512).zip(theirs.chunks(512)).position(|(a, b)| a != b);
    if let Some(block) = difference {
        let show = |tar: &[u8]| String::from_utf8_lossy(&tar[block * 512..(block + 1) * 512]).replace('\0', "·");
        panic!("block {block} differs:\nours   {}\ntheirs {}", show(ours), show(theirs));
    }
    assert_eq!(ours.len(), theirs.len());
}
