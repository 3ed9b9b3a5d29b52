//! What an archive says of an entry, checked: anybody may have written it.

use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Gid, Mode, Timespec, Timestamps, Uid};
use tar::Entry;

/// The path below the root: leading slashes and dots mean nothing; going up is refused.
pub(crate) fn inside(path: &Path) -> io::Result<PathBuf> {
    let mut result = PathBuf::new();
    for component in path.components() {
        match component {
            Component::RootDir | Component::CurDir => {}
            Component::Normal(name) => result.push(name),
            Component::ParentDir | Component::Prefix(_) => return Err(wrong("its path has '..'".to_owned())),
        }
    }
    Ok(result)
}

pub(crate) fn link_target(entry: &Entry<'_, impl Read>) -> io::Result<PathBuf> {
    let target = entry.link_name()?.ok_or_else(|| wrong("it is a link without a target".to_owned()))?;
    Ok(target.into_owned())
}

pub(crate) fn mode_of(entry: &Entry<'_, impl Read>) -> io::Result<Mode> {
    Ok(Mode::from_raw_mode(entry.header().mode()? & 0o7777))
}

pub(crate) fn owner_of(entry: &Entry<'_, impl Read>) -> io::Result<(Uid, Gid)> {
    let id = |id: u64| u32::try_from(id).ok().filter(|id| *id != u32::MAX);
    let header = entry.header();
    match (id(header.uid()?), id(header.gid()?)) {
        (Some(user), Some(group)) => Ok((Uid::from_raw(user), Gid::from_raw(group))),
        _ => Err(wrong("its owner's id is too large".to_owned())),
    }
}

pub(crate) fn times_of(entry: &Entry<'_, impl Read>) -> io::Result<Timestamps> {
    let seconds = i64::try_from(entry.header().mtime()?).unwrap_or(0);
    let time = Timespec { tv_sec: seconds, tv_nsec: 0 };
    Ok(Timestamps { last_access: time, last_modification: time })
}

pub(crate) fn wrong(problem: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem)
}
