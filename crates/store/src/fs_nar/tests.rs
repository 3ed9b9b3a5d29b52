//! Trees to NARs and back.

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use super::*;

fn sample(root: &Path) {
    std::fs::create_dir_all(root.join("b/empty")).unwrap();
    std::fs::write(root.join("a.txt"), "hello\n").unwrap();
    std::fs::write(root.join("b/run"), vec![7; 300_001]).unwrap();
    std::fs::set_permissions(root.join("b/run"), std::fs::Permissions::from_mode(0o4755)).unwrap();
    symlink("../nowhere", root.join("b/link")).unwrap();
}

#[test]
fn a_tree_survives_its_nar() {
    let dir = tempfile::tempdir().unwrap();
    let (source, copy) = (dir.path().join("source"), dir.path().join("copy"));
    sample(&source);
    let nar = dump(&source, &mut everything, Vec::new()).unwrap();
    restore(&nar[..], &copy).unwrap();
    assert_eq!(dump(&copy, &mut everything, Vec::new()).unwrap(), nar);
    let (hashed, size) = hash(&source, &mut everything, HashAlgo::Sha256).unwrap();
    assert_eq!((hashed, size), (Hash::of(HashAlgo::Sha256, &nar), nar.len() as u64));
    for (name, mode) in [("", 0o555), ("a.txt", 0o444), ("b", 0o555), ("b/run", 0o555)] {
        let metadata = copy.join(name).symlink_metadata().unwrap();
        assert_eq!((metadata.mode() & 0o7777, metadata.mtime()), (mode, 1), "{name}");
    }
    assert_eq!(copy.join("b/link").symlink_metadata().unwrap().mtime(), 1);
    remove(&copy).unwrap();
    assert!(!copy.exists());
}

#[test]
fn canonical_metadata_is_that_of_a_restored_tree() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    sample(&source);
    canonicalise(&source).unwrap();
    for (name, mode) in [("", 0o555), ("a.txt", 0o444), ("b/empty", 0o555), ("b/run", 0o555)] {
        let metadata = source.join(name).symlink_metadata().unwrap();
        assert_eq!((metadata.mode() & 0o7777, metadata.mtime()), (mode, 1), "{name}");
    }
    remove(&source).unwrap();
}

#[test]
fn the_filter_is_asked_for_every_entry() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    sample(&source);
    let mut seen = Vec::new();
    let mut filter = |path: &Path, kind: FileKind| {
        seen.push((path.strip_prefix(&source).unwrap().to_owned(), kind));
        Ok(!path.ends_with("empty"))
    };
    let nar = dump(&source, &mut filter, Vec::new()).unwrap();
    assert_eq!(seen.len(), 5);
    assert!(!nar.windows(5).any(|window| window == b"empty"));
    let stopped = dump(&source, &mut |_: &Path, _| Err(FilterStopped), Vec::new());
    assert!(matches!(stopped, Err(TreeError::FilterStopped)));
}

#[test]
fn other_types_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(dir.path().join("socket")).unwrap();
    assert!(matches!(dump(dir.path(), &mut everything, Vec::new()), Err(TreeError::UnsupportedType { .. })));
    assert!(matches!(canonicalise(dir.path()), Err(TreeError::UnsupportedType { .. })));
}

#[test]
fn truncated_nars_are_refused_everywhere() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    sample(&source);
    let nar = dump(&source, &mut everything, Vec::new()).unwrap();
    for len in (0..nar.len()).step_by(29_989).chain((nar.len() - 60..nar.len()).step_by(4)) {
        let copy = dir.path().join("copy");
        assert!(restore(&nar[..len], &copy).is_err(), "{len} bytes");
        remove(&copy).unwrap();
    }
}

/// Begins an entry.
type Maker = fn(&mut Restorer) -> Result<(), TreeError>;

#[test]
fn entries_that_the_file_system_takes_for_one_are_named() {
    // No file system that folds names is at hand; to this one, equal names are what folded ones are to another.
    let makers: [Maker; 3] = [
        |restorer| restorer.open_file(false, 0),
        |restorer| restorer.symlink(b"x"),
        |restorer| restorer.open_directory(),
    ];
    for make in makers {
        let dir = tempfile::tempdir().unwrap();
        let mut restorer = Restorer::new(&dir.path().join("tree")).unwrap();
        restorer.open_directory().unwrap();
        restorer.entry(b"Name").unwrap();
        restorer.open_file(false, 0).unwrap();
        restorer.close_file().unwrap();
        restorer.entry(b"Name").unwrap();
        let error = make(&mut restorer).unwrap_err();
        assert!(matches!(error, TreeError::Folded { .. }), "{error}");
        assert!(error.to_string().contains("/tree/Name'"), "{error}");
    }
}

#[test]
fn links_in_a_circle_are_only_links() {
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().join("tree");
    std::fs::create_dir(&tree).unwrap();
    for (name, target) in [("a", "b"), ("b", "a"), ("self", "self"), ("up", "."), ("out", "/")] {
        symlink(target, tree.join(name)).unwrap();
    }
    let nar = dump(&tree, &mut everything, Vec::new()).unwrap();
    let copy = dir.path().join("copy");
    let mut restorer = Restorer::new(&copy).unwrap();
    replay(&nar[..], &mut restorer).unwrap();
    restorer.finish().unwrap();
    canonicalise(&copy).unwrap();
    assert_eq!(dump(&copy, &mut everything, Vec::new()).unwrap(), nar);
    assert_eq!(std::fs::read_link(copy.join("self")).unwrap(), Path::new("self"));
    remove(&copy).unwrap();
    assert!(!copy.exists() && dir.path().exists());
}
