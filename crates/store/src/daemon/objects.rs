//! The daemon's store as a store like others.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use nix_formats::content_address::{ContentAddress, Method};
use nix_formats::derivation::{Derivation, ParseError};
use nix_formats::hash::{Hash, HashAlgo};
use nix_formats::store_path::StorePath;
use nix_formats::worker::{WireError, WireReader, WireWriter};

use super::DaemonStore;
use super::connection::{Input, Output};
use crate::fs_nar::{self, Filter, TreeError};
use crate::{PathInfo, Store, StoreError};

const IS_VALID_PATH: u64 = 1;
const QUERY_REFERRERS: u64 = 6;
const ADD_TO_STORE: u64 = 7;
const ADD_TEMP_ROOT: u64 = 11;
const QUERY_PATH_INFO: u64 = 26;
const QUERY_PATH_FROM_HASH_PART: u64 = 29;
const ADD_TO_STORE_NAR: u64 = 39;

impl DaemonStore {
    /// Adds what `content` writes, addressed as `how` says (`text:sha256`, `fixed:r:sha256`, …).
    fn add_content(
        &self,
        name: &str,
        how: &str,
        references: &BTreeSet<StorePath>,
        content: impl FnOnce(&mut dyn Write) -> Result<(), StoreError>,
    ) -> Result<StorePath, StoreError> {
        self.send(
            ADD_TO_STORE,
            |out| {
                out.string(name)?;
                out.string(how)?;
                out.paths(references.iter())?;
                out.flag(false)
            },
            content,
            |answer, _| {
                let path = answer.path()?;
                read_info(answer, path.clone())?;
                Ok(path)
            },
        )
    }
}

/// How many threads tell a daemon what to keep.
const KEEPING_THREADS: usize = 8;

impl Store for DaemonStore {
    fn name(&self) -> String {
        format!("the Nix daemon at '{}'", self.address())
    }

    fn path_info(&self, path: &StorePath) -> Result<Option<PathInfo>, StoreError> {
        self.call(
            QUERY_PATH_INFO,
            |out| out.path(path),
            |answer, _| match answer.flag()? {
                true => Ok(Some(read_info(answer, path.clone())?)),
                false => Ok(None),
            },
        )
    }

    fn is_valid(&self, path: &StorePath) -> Result<bool, StoreError> {
        self.call(IS_VALID_PATH, |out| out.path(path), |answer, _| answer.flag())
    }

    fn path_from_hash_part(&self, hash_part: &str) -> Result<Option<StorePath>, StoreError> {
        self.call(QUERY_PATH_FROM_HASH_PART, |out| out.string(hash_part), |answer, _| answer.optional_path())
    }

    fn referrers(&self, path: &StorePath) -> Result<BTreeSet<StorePath>, StoreError> {
        let mut referrers = self.call(QUERY_REFERRERS, |out| out.path(path), |answer, _| answer.paths())?;
        referrers.remove(path);
        Ok(referrers)
    }

    fn real_path(&self, path: &StorePath) -> PathBuf {
        let directory = self.store_dir.as_deref().unwrap_or(Path::new(nix_formats::STORE_DIR));
        directory.join(path.base_name())
    }

    fn write_nar(&self, path: &StorePath, out: &mut dyn Write) -> Result<(), StoreError> {
        let real = self.real_path(path);
        // What lies on this machine need not be passed through another process. A socket may lead out of it, though.
        match self.store_dir.is_some() && real.symlink_metadata().is_ok() {
            true => Ok(fs_nar::dump(&real, &mut fs_nar::everything, out).map(drop)?),
            false => self.nar_from_daemon(path, out),
        }
    }

    fn read_derivation(&self, path: &StorePath) -> Result<Derivation, StoreError> {
        let malformed =
            |reason: &str| ParseError { name: path.base_name().to_owned(), offset: 0, reason: reason.to_owned() };
        let name = path.derivation_name().ok_or_else(|| malformed("its name does not end in '.drv'"))?;
        let mut nar = Vec::new();
        self.write_nar(path, &mut nar)?;
        let mut reader = nix_formats::nar::Reader::new(&nar[..]);
        let mut aterm = Vec::new();
        while let Some(event) = reader.next().map_err(TreeError::Nar)? {
            match event {
                nix_formats::nar::Event::File { .. } => {
                    reader.content().read_to_end(&mut aterm).map_err(|error| TreeError::Nar(error.into()))?;
                }
                _ => return Err(malformed("it is no regular file").into()),
            }
        }
        Ok(Derivation::parse(name, &aterm)?)
    }

    fn add_temp_root(&self, path: &StorePath) -> Result<(), StoreError> {
        self.call(ADD_TEMP_ROOT, |out| out.path(path), |answer, _| answer.number().map(drop))
    }

    fn absent(&self, paths: &[StorePath]) -> Result<Vec<StorePath>, StoreError> {
        // The protocol keeps one at a time, and another machine's daemon takes a while to answer.
        let share = paths.len().div_ceil(KEEPING_THREADS).max(1);
        std::thread::scope(|scope| {
            let keep = |part: &[StorePath]| part.iter().try_for_each(|path| self.add_temp_root(path));
            let threads: Vec<_> = paths.chunks(share).map(|part| scope.spawn(move || keep(part))).collect();
            let panicked = |panic| std::panic::resume_unwind(panic);
            threads.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(panicked))
        })?;
        let valid = self.valid_paths(&paths.iter().cloned().collect(), false)?;
        Ok(paths.iter().filter(|path| !valid.contains(*path)).cloned().collect())
    }

    fn add_text(&self, name: &str, content: &[u8], references: &BTreeSet<StorePath>) -> Result<StorePath, StoreError> {
        self.add_content(name, "text:sha256", references, |out| out.write_all(content).map_err(sending(name)))
    }

    fn add_tree(
        &self,
        name: &str,
        source: &Path,
        method: Method,
        algo: HashAlgo,
        filter: &mut Filter<'_>,
    ) -> Result<StorePath, StoreError> {
        let (how, is_tree) = match method {
            Method::Nar => (format!("fixed:r:{}", algo.name()), true),
            Method::Flat => (format!("fixed:{}", algo.name()), false),
            Method::Text => ("text:sha256".to_owned(), false),
            Method::Git => return Err(StoreError::UnsupportedMethod { name: name.to_owned(), method: "git" }),
        };
        self.add_content(name, &how, &BTreeSet::new(), |out| match is_tree {
            true => Ok(fs_nar::dump(source, filter, out).map(drop)?),
            false => {
                let mut file = fs::File::open(source).map_err(StoreError::io("open", source))?;
                if !file.metadata().map_err(StoreError::io("read", source))?.is_file() {
                    return Err(TreeError::NotRegular { path: source.to_owned() }.into());
                }
                io::copy(&mut file, out).map(drop).map_err(StoreError::io("send", source))
            }
        })
    }

    fn add_nar(&self, info: &PathInfo, nar: &mut dyn Read) -> Result<(), StoreError> {
        self.send(
            ADD_TO_STORE_NAR,
            |out| {
                out.path(&info.path)?;
                write_info(out, info)?;
                // Not in the place of one that is there; and does a signature matter?
                out.flag(false)?;
                out.flag(self.options.take_unsigned)
            },
            |out| match info.nar_size {
                0 => io::copy(nar, out).map(drop).map_err(sending(info.path.name())),
                // The daemon would wait for the frame's end after the archive's.
                size => {
                    let sent = io::copy(&mut nar.take(size), out).map_err(sending(info.path.name()))?;
                    let path = info.path.clone();
                    if sent == size {
                        Ok(())
                    } else {
                        Err(StoreError::SizeMismatch { path, expected: size, actual: sent })
                    }
                }
            },
            |_, _| Ok(()),
        )
    }

    fn add_root(&self, link: &Path, path: &StorePath) -> Result<(), StoreError> {
        let link = std::path::absolute(link).map_err(StoreError::io("resolve", link))?;
        self.add_temp_root(path)?;
        self.require(path)?;
        let is_ours = |target: PathBuf| target.starts_with(nix_formats::STORE_DIR);
        if link.symlink_metadata().is_ok() && !fs::read_link(&link).is_ok_and(is_ours) {
            let reason = "something else is there already, which is no link to a store object";
            return Err(StoreError::BadRoot { path: link, reason });
        }
        let mut temporary = link.clone().into_os_string();
        temporary.push(format!(".tmp-{}", std::process::id()));
        let temporary = PathBuf::from(temporary);
        let _ = fs::remove_file(&temporary);
        let target = path.to_absolute();
        std::os::unix::fs::symlink(&target, &temporary).map_err(StoreError::io("create symlink", &temporary))?;
        fs::rename(&temporary, &link).map_err(StoreError::io("create symlink", &link))?;
        self.add_indirect_root(&link)
    }
}

/// For `map_err`: the content of an object could not be sent.
fn sending(name: &str) -> impl FnOnce(io::Error) -> StoreError {
    StoreError::io("send", name)
}

fn write_info(out: &mut WireWriter<Output>, info: &PathInfo) -> io::Result<()> {
    out.string(&info.deriver.as_ref().map(StorePath::to_absolute).unwrap_or_default())?;
    out.string(&info.nar_hash.to_hex())?;
    out.paths(info.references.iter())?;
    out.number(info.registration_time as u64)?;
    out.number(info.nar_size)?;
    out.flag(info.ultimate)?;
    out.strings(&info.signatures.iter().collect::<Vec<_>>())?;
    out.string(&info.content_address.map(|address| address.to_string()).unwrap_or_default())
}

fn read_info(answer: &mut WireReader<Input>, path: StorePath) -> Result<PathInfo, WireError> {
    let malformed = |what: String| WireError::Malformed(format!("of '{path}': {what}"));
    let deriver = answer.optional_path()?;
    let hash = answer.string()?;
    let nar_hash = Hash::parse(&hash, Some(HashAlgo::Sha256)).map_err(|error| malformed(error.to_string()))?;
    let references = answer.paths()?;
    let registration_time = answer.number()? as i64;
    let nar_size = answer.number()?;
    let ultimate = answer.flag()?;
    let signatures = answer.strings()?.into_iter().collect();
    let address = answer.string()?;
    let content_address = match address.as_str() {
        "" => None,
        text => Some(ContentAddress::parse(text).map_err(|error| malformed(error.to_string()))?),
    };
    Ok(PathInfo {
        references,
        deriver,
        registration_time,
        ultimate,
        signatures,
        content_address,
        ..PathInfo::new(path.clone(), nar_hash, nar_size)
    })
}
