//! The local store: by itself, and against real Nix where that is installed.

mod adding;
mod caching;
mod collecting;
mod daemon;
mod damage;
mod impostors;
mod killing;
mod nix;

use std::path::{Path, PathBuf};

use store::LocalStore;

/// A store in a directory of its own; the directory goes with it.
struct Fixture {
    dir: tempfile::TempDir,
    store: LocalStore,
}

impl Fixture {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = LocalStore::open(&dir.path().join("root")).unwrap();
        Self { dir, store }
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    /// A source tree beside the store.
    fn source(&self, name: &str) -> PathBuf {
        let source = self.dir.path().join(name);
        std::fs::create_dir_all(source.join("sub")).unwrap();
        std::fs::write(source.join("a.txt"), name).unwrap();
        std::fs::write(source.join("sub/big"), vec![1; 400_000]).unwrap();
        std::os::unix::fs::symlink("a.txt", source.join("link")).unwrap();
        source
    }
}

/// What is left over in the store's directories of work in progress.
fn staged(root: &Path) -> usize {
    std::fs::read_dir(root.join("nix/var/nix/wharf-staging")).unwrap().count()
}
