//! After a loss of power: objects that the database knows but the disk lost.
//!
//! Flushing each object to the disk before it is registered would make small builds many times slower, and Nix does
//! not do it either. Instead the first write after each boot is noted with its time. The first to open the store after
//! the next boot compares the sizes of the objects registered since with those in the database; file systems that lose
//! data in a crash leave files shorter than they were. What was lost is not valid any more, and is made again.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use nix_formats::store_path::StorePath;

use super::layout::write_atomically;
use super::{LocalStore, gc};
use crate::{Store, StoreError, fs_nar};

/// Changes with every boot of the machine.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Notes, once for each boot, that objects are being registered.
pub(super) fn note_write(store: &LocalStore) -> Result<(), StoreError> {
    static NOTED: AtomicBool = AtomicBool::new(false);
    let note = note_file(store);
    if NOTED.load(Ordering::Relaxed) && note.exists() {
        return Ok(());
    }
    let Ok(boot) = fs::read_to_string(BOOT_ID) else { return Ok(()) };
    if read_note(&note)?.is_none_or(|(noted, _)| noted != boot.trim()) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        write_atomically(&note, format!("{} {now}\n", boot.trim()).as_bytes())?;
    }
    NOTED.store(true, Ordering::Relaxed);
    Ok(())
}

/// Makes what a crash of the machine has damaged invalid.
pub(super) fn after_reboot(store: &LocalStore) -> Result<(), StoreError> {
    let note = note_file(store);
    let Some((boot, time)) = read_note(&note)? else { return Ok(()) };
    match fs::read_to_string(BOOT_ID) {
        Ok(current) if current.trim() != boot => {}
        _ => return Ok(()),
    }
    let mut damaged = Vec::new();
    for path in store.db.registered_since(time)? {
        if !is_whole(store, &path)? {
            damaged.push(path);
        }
    }
    gc::invalidate_with_referrers(store, &damaged)?;
    match fs::remove_file(&note) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StoreError::io("delete", note)(error)),
        _ => Ok(()),
    }
}

fn is_whole(store: &LocalStore, path: &StorePath) -> Result<bool, StoreError> {
    let Some(info) = store.path_info(path)? else { return Ok(true) };
    let size = fs_nar::nar_size(&store.real_path(path));
    Ok(info.nar_size == 0 || size.is_ok_and(|size| size == info.nar_size))
}

fn note_file(store: &LocalStore) -> PathBuf {
    store.state_dir().join("wharf-unflushed")
}

fn read_note(note: &Path) -> Result<Option<(String, i64)>, StoreError> {
    let text = match fs::read_to_string(note) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StoreError::io("read", note)(error)),
    };
    // A note that cannot be read is as old as can be: then everything is looked at.
    let (boot, time) = text.trim().split_once(' ').unwrap_or_default();
    Ok(Some((boot.to_owned(), time.parse().unwrap_or(0))))
}
