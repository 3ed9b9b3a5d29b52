//! The store of the machine's own Nix as something to take from: a binary cache whose archives are made as they are asked
//! for.

use std::fmt::Write as _;
use std::io::{self, Cursor, PipeReader, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use nix_formats::STORE_DIR;
use nix_formats::narinfo::{Compression, NarInfo};
use nix_formats::realisation::OutputId;
use nix_formats::store_path::StorePath;
use tempfile::NamedTempFile;

use super::{DaemonOptions, DaemonStore};
use crate::cache::{CACHE_INFO, Transport};
use crate::progress::Silent;
use crate::{Store, StoreError};

/// The machine's own store, behind its daemon. The daemon is spoken to when something is first asked.
pub struct DaemonSource {
    socket: PathBuf,
    store_dir: PathBuf,
    address: String,
    store: OnceLock<Arc<DaemonStore>>,
}

impl DaemonSource {
    /// The daemon at this socket, whose objects lie in `store_dir`.
    pub fn new(socket: &Path, store_dir: &Path) -> Self {
        Self {
            socket: socket.to_owned(),
            store_dir: store_dir.to_owned(),
            address: format!("daemon ({})", socket.display()),
            store: OnceLock::new(),
        }
    }

    fn store(&self) -> io::Result<&Arc<DaemonStore>> {
        if let Some(store) = self.store.get() {
            return Ok(store);
        }
        let opened = DaemonStore::open(&self.socket, &self.store_dir, DaemonOptions::default(), Arc::new(Silent));
        let store = Arc::new(opened.map_err(io::Error::other)?);
        Ok(self.store.get_or_init(|| store))
    }

    fn find(&self, hash_part: &str) -> io::Result<Option<StorePath>> {
        self.store()?.path_from_hash_part(hash_part).map_err(io::Error::other)
    }

    fn narinfo(&self, path: &StorePath) -> io::Result<Option<String>> {
        let Some(info) = self.store()?.path_info(path).map_err(io::Error::other)? else { return Ok(None) };
        let info = NarInfo {
            path: info.path.clone(),
            url: format!("nar/{}.nar", path.hash_part()),
            compression: Compression::None,
            file_hash: Some(info.nar_hash),
            file_size: Some(info.nar_size),
            nar_hash: info.nar_hash,
            nar_size: info.nar_size,
            references: info.references,
            deriver: info.deriver,
            signatures: info.signatures,
            content_address: info.content_address,
        };
        Ok(Some(info.to_string()))
    }

    /// The object's archive, made by a thread while it is read.
    fn archive(&self, path: StorePath) -> io::Result<Dumping> {
        let (reader, mut writer) = io::pipe()?;
        let store = Arc::clone(self.store()?);
        let thread = std::thread::spawn(move || store.write_nar(&path, &mut writer));
        Ok(Dumping { reader, thread: Some(thread) })
    }
}

impl Transport for DaemonSource {
    fn address(&self) -> &str {
        &self.address
    }

    fn open(&self, name: &str) -> io::Result<Option<Box<dyn Read>>> {
        if name == CACHE_INFO {
            // Connecting tells whether there is a store at all. What is on this machine is asked for first.
            self.store()?;
            let mut text = String::new();
            let _ = write!(text, "StoreDir: {STORE_DIR}\nWantMassQuery: 1\nPriority: 0\n");
            return Ok(Some(Box::new(Cursor::new(text))));
        }
        if let Some(hash_part) = name.strip_suffix(".narinfo") {
            let Some(path) = self.find(hash_part)? else { return Ok(None) };
            return Ok(self.narinfo(&path)?.map(|text| Box::new(Cursor::new(text)) as _));
        }
        if let Some(id) = name.strip_prefix("realisations/").and_then(|name| name.strip_suffix(".doi")) {
            let id = OutputId::parse(id).map_err(io::Error::other)?;
            return match self.store()?.realisation(&id) {
                Ok(found) => Ok(found.map(|found| Box::new(Cursor::new(found.to_string())) as _)),
                // It may not have the experimental feature for that.
                Err(StoreError::DaemonSaid { .. }) => Ok(None),
                Err(error) => Err(io::Error::other(error)),
            };
        }
        let hash_part = name.strip_prefix("nar/").and_then(|name| name.strip_suffix(".nar"));
        let path = hash_part.map(|hash_part| self.find(hash_part)).transpose()?.flatten();
        path.map(|path| Ok(Box::new(self.archive(path)?) as _)).transpose()
    }

    fn exists(&self, name: &str) -> io::Result<bool> {
        Ok(self.open(name)?.is_some())
    }

    fn put(&self, _: &str, _: NamedTempFile) -> io::Result<()> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "a store is no cache to be filled; copy to 'daemon' instead"))
    }
}

/// An archive that is being made.
struct Dumping {
    reader: PipeReader,
    thread: Option<JoinHandle<Result<(), StoreError>>>,
}

impl Read for Dumping {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        // At the end, what has gone wrong is more than that there is no more.
        if count == 0
            && !buffer.is_empty()
            && let Some(thread) = self.thread.take()
        {
            let result = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            result.map_err(io::Error::other)?;
        }
        Ok(count)
    }
}
