//! Where everything lies below the root, and how a new store is laid out.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};

use nix_formats::store_path::StorePath;
use rustix::fs::{FlockOperation, flock};

use super::db;
use crate::StoreError;

/// The version of Nix's layout and database: that of every Nix since 2.0.
const SCHEMA_VERSION: &str = "10";

/// The directories of a store.
pub(super) struct Layout {
    pub root: PathBuf,
    /// `nix/store`
    pub store: PathBuf,
    /// `nix/var/nix`
    pub state: PathBuf,
    pub db: PathBuf,
    pub staging: PathBuf,
    pub temp_roots: PathBuf,
    pub gc_roots: PathBuf,
    pub profiles: PathBuf,
    pub gc_lock: PathBuf,
    pub gc_socket: PathBuf,
}

impl Layout {
    pub fn new(root: &Path) -> Result<Self, StoreError> {
        // Links to roots hold absolute paths, so the store's own must not depend on the working directory.
        let root = std::path::absolute(root).map_err(StoreError::io("resolve", root))?;
        let state = root.join("nix/var/nix");
        Ok(Self {
            store: root.join("nix/store"),
            db: state.join("db"),
            staging: state.join("wharf-staging"),
            temp_roots: state.join("temproots"),
            gc_roots: state.join("gcroots"),
            profiles: state.join("profiles"),
            gc_lock: state.join("gc.lock"),
            gc_socket: state.join("gc-socket/socket"),
            state,
            root,
        })
    }

    pub fn real_path(&self, path: &StorePath) -> PathBuf {
        self.store.join(path.base_name())
    }

    pub fn db_file(&self) -> PathBuf {
        self.db.join("db.sqlite")
    }

    /// Makes the store if there is none, and gives the big lock, held shared.
    pub fn prepare(&self) -> Result<File, StoreError> {
        match self.schema_is_current()? {
            false => self.create()?,
            true if !self.store.is_dir() => return Err(StoreError::NoObjects { root: self.root.clone() }),
            true => {}
        }
        for directory in [&self.staging, &self.temp_roots, &self.gc_roots, &self.profiles] {
            create_dir(directory)?;
        }
        let lock = self.open_big_lock()?;
        self.lock_big(&lock, FlockOperation::LockShared)?;
        Ok(lock)
    }

    fn create(&self) -> Result<(), StoreError> {
        for directory in [&self.store, &self.db, &self.temp_roots, &self.gc_roots, &self.profiles] {
            create_dir(directory)?;
        }
        create_dir(&self.store.join(".links"))?;
        let lock = self.open_big_lock()?;
        self.lock_big(&lock, FlockOperation::LockExclusive)?;
        if self.schema_is_current()? {
            return Ok(());
        }
        let profiles = self.gc_roots.join("profiles");
        match symlink(&self.profiles, &profiles) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(StoreError::io("create symlink", profiles)(error));
            }
            _ => {}
        }
        db::create(&self.db_file())?;
        write_atomically(&self.schema(), SCHEMA_VERSION.as_bytes())
    }

    fn schema(&self) -> PathBuf {
        self.db.join("schema")
    }

    /// `false` if there is no store yet.
    fn schema_is_current(&self) -> Result<bool, StoreError> {
        match fs::read_to_string(self.schema()) {
            Ok(version) if version.trim() == SCHEMA_VERSION => Ok(true),
            Ok(found) => Err(StoreError::Schema { root: self.root.clone(), found: found.trim().to_owned() }),
            // Not a text.
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                Err(StoreError::Schema { root: self.root.clone(), found: "unreadable".to_owned() })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(StoreError::io("read", self.schema())(error)),
        }
    }

    fn open_big_lock(&self) -> Result<File, StoreError> {
        open_lock_file(&self.db.join("big-lock"))
    }

    fn lock_big(&self, lock: &File, operation: FlockOperation) -> Result<(), StoreError> {
        flock(lock, operation).map_err(StoreError::io("lock", self.db.join("big-lock")))
    }
}

/// Opens, and makes if need be, a file that is there to be locked.
pub(super) fn open_lock_file(path: &Path) -> Result<File, StoreError> {
    fs::OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(StoreError::io("open the lock file", path))
}

pub(super) fn create_dir(path: &Path) -> Result<(), StoreError> {
    match fs::create_dir(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(_) => fs::create_dir_all(path).map_err(StoreError::io("create directory", path)),
    }
}

/// Writes a file so that it is there whole or not at all, even if the power fails.
pub(super) fn write_atomically(path: &Path, content: &[u8]) -> Result<(), StoreError> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    let mut file = tempfile::NamedTempFile::new_in(directory).map_err(StoreError::io("create", path))?;
    io::Write::write_all(&mut file, content).map_err(StoreError::io("write", path))?;
    file.as_file().sync_all().map_err(StoreError::io("flush", path))?;
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    file.as_file().set_permissions(mode).map_err(StoreError::io("set the mode of", path))?;
    file.persist(path).map_err(|error| StoreError::io("create", path)(error.error))?;
    Ok(())
}
