//! Any bytes as an archive, of tar in any compression or of zip: what is unpacked stays where it belongs.
//!
//! The module is taken in by itself: the crate around it brings clients and databases, which would take minutes to build.
#![no_main]

#[allow(dead_code, reason = "what is done with the tree afterwards is not wanted here")]
#[path = "../../crates/fetch/src/archive/mod.rs"]
mod archive;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let outer = std::env::temp_dir().join(format!("wharf-fuzz-archive-{}", std::process::id()));
    fs::create_dir_all(&outer).expect("a directory");
    let _ = archive::unpack(bytes, &outer.join("tree"));
    let entries = fs::read_dir(&outer).expect("the directory").count();
    assert_eq!(entries, 1, "something was written beside the tree");
    remove(&outer.join("tree"));
    fs::remove_dir(&outer).expect("it is empty");
});

fn remove(path: &Path) {
    let metadata = path.symlink_metadata().expect("it is there");
    assert!(metadata.is_dir() || metadata.is_file() || metadata.is_symlink());
    if metadata.is_dir() {
        fs::set_permissions(path, fs::Permissions::from_mode(0o700)).expect("it is ours");
        for entry in fs::read_dir(path).expect("a directory") {
            remove(&entry.expect("an entry").path());
        }
        fs::remove_dir(path).expect("it is empty");
    } else {
        fs::remove_file(path).expect("it is ours");
    }
}
