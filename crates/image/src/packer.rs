//! Writing the entries of a layer's tar stream: store objects, and what is at an image's root.

use std::fs::{self, File, FileType};
use std::io::{self, BufRead, Read, Seek, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use nix_formats::nar::{Event, NarError, Reader};
use nix_formats::store_path::StorePath;
use regex_automata::meta::Regex;

use crate::elsewhere;
use crate::error::{ImageError, io_error};
use crate::pack::{Owner, Permission, RootDirectory};
use crate::tar::{Entry, Kind, TarWriter, members_length};
use crate::tree::{Directory, Node};

/// A tar stream with the name of the entry that is being written.
pub(crate) struct Packer<'a, W> {
    pub tar: TarWriter<W>,
    pub name: Vec<u8>,
    pub owner: &'a Owner,
    pub mtime: u64,
    pub permissions: Vec<(Regex, &'a Permission)>,
}

/// The expression of an exception, ready to be matched.
pub(crate) fn compiled(permission: &Permission) -> Result<(Regex, &Permission), ImageError> {
    let wrong = |error| ImageError::Definition(format!("perms: the expression `{}`: {error}", permission.regex));
    Ok((Regex::new(&permission.regex).map_err(wrong)?, permission))
}

impl<W: Write> Packer<'_, W> {
    /// Directories that are there whatever the contents are; one that the contents have gets this mode and owner. Those
    /// above are root's, since some clients give directories that are not in a layer modes that nobody expects.
    pub fn directories(&mut self, directories: &[RootDirectory]) -> Result<(), ImageError> {
        for directory in directories {
            let path = directory.path.trim_matches('/');
            for (end, _) in path.match_indices('/') {
                self.directory(&path[..end], 0o755, (0, 0))?;
            }
            self.directory(path, directory.mode, (directory.uid, directory.gid))?;
        }
        Ok(())
    }

    fn directory(&mut self, path: &str, mode: u32, (uid, gid): (u32, u32)) -> Result<(), ImageError> {
        let name = format!("./{path}");
        let (path, kind) = (name.as_bytes(), Kind::Directory);
        let entry = Entry { path, kind, mode, uid, gid, uname: "", gname: "", mtime: self.mtime };
        self.tar.append(&entry).map_err(io_error(format!("cannot pack {name}")))
    }

    /// Mode, user and group of the entry that is being written.
    fn rights(&self, kind: &Kind<'_>, mode: u32) -> (u32, u32, u32) {
        let mut rights = (mode, self.owner.uid, self.owner.gid);
        let path = self.name.strip_prefix(b".").unwrap_or(&self.name);
        for (regex, permission) in &self.permissions {
            let object = permission.object.to_absolute();
            let inside = path.strip_prefix(object.as_bytes());
            if inside.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/")) && regex.is_match(path) {
                let mode = permission.mode.filter(|_| !matches!(kind, Kind::Symlink(_)));
                rights =
                    (mode.unwrap_or(rights.0), permission.uid.unwrap_or(rights.1), permission.gid.unwrap_or(rights.2));
            }
        }
        rights
    }

    /// `/nix` and `/nix/store`.
    pub fn store_directories(&mut self) -> Result<(), ImageError> {
        for name in [&b"nix"[..], b"nix/store"] {
            self.below(name, |packer| packer.write(Kind::Directory, 0o755, io::empty()))?;
        }
        Ok(())
    }

    pub fn object(&mut self, object: &StorePath, real: &Path) -> Result<(), ImageError> {
        let name = format!("nix/store/{}", object.base_name());
        let failed = || format!("cannot read {}", object.to_absolute());
        let kind = fs::symlink_metadata(real).map_err(io_error(failed()))?.file_type();
        self.below(name.as_bytes(), |packer| packer.path(real, kind))
    }

    /// Writes an object from its NAR, whose entries come in the order that a layer has.
    pub fn object_of_nar(&mut self, object: &StorePath, nar: impl BufRead) -> Result<(), ImageError> {
        let name = format!("nix/store/{}", object.base_name());
        self.below(name.as_bytes(), |packer| packer.nodes_of_nar(object, nar))
    }

    fn nodes_of_nar(&mut self, object: &StorePath, nar: impl BufRead) -> Result<(), ImageError> {
        let failed = |error| match error {
            NarError::Io(error) => io_error(format!("cannot pack {}", object.to_absolute()))(error),
            error => io_error(format!("cannot pack {}", object.to_absolute()))(io::Error::other(error)),
        };
        let mut reader = Reader::new(nar);
        // Where the names of the nodes end that contain the next one.
        let mut parents = Vec::new();
        while let Some(event) = reader.next().map_err(failed)? {
            match event {
                Event::OpenDirectory => {
                    self.write(Kind::Directory, 0o555, io::empty())?;
                    continue;
                }
                Event::Entry { name } => {
                    parents.push(self.name.len());
                    self.name.push(b'/');
                    self.name.extend_from_slice(&name);
                    continue;
                }
                Event::Symlink { target } => self.write(Kind::Symlink(&target), 0o777, io::empty())?,
                Event::File { executable, size } => {
                    let mode = if executable { 0o555 } else { 0o444 };
                    self.write(Kind::File(size), mode, reader.content())?;
                }
                Event::CloseDirectory => {}
            }
            if let Some(length) = parents.pop() {
                self.name.truncate(length);
            }
        }
        // What the archive is, is known when all of it has passed by.
        elsewhere::end(reader.into_inner()).map_err(|error| failed(NarError::Io(error)))
    }

    /// Writes what is at `real`, and everything below it, sorted by name. Modes are those that a store object has.
    fn path(&mut self, real: &Path, kind: FileType) -> Result<(), ImageError> {
        let failed = || format!("cannot read {}", real.display());
        if kind.is_symlink() {
            let target = fs::read_link(real).map_err(io_error(failed()))?;
            return self.write(Kind::Symlink(target.as_os_str().as_bytes()), 0o777, io::empty());
        }
        if kind.is_file() {
            return self.file(real, None);
        }
        if !kind.is_dir() {
            let reason = "is neither a file, a directory nor a symbolic link";
            return Err(ImageError::Definition(format!("{} {reason}", real.display())));
        }
        self.write(Kind::Directory, 0o555, io::empty())?;
        let mut entries = Vec::new();
        for entry in fs::read_dir(real).map_err(io_error(failed()))? {
            let entry = entry.map_err(io_error(failed()))?;
            entries.push((entry.file_name(), entry.file_type().map_err(io_error(failed()))?));
        }
        entries.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        for (name, kind) in entries {
            self.child(name.as_bytes(), |packer| packer.path(&real.join(&name), kind))?;
        }
        Ok(())
    }

    fn file(&mut self, real: &Path, executable: Option<bool>) -> Result<(), ImageError> {
        let failed = || format!("cannot pack {}", real.display());
        let file = File::open(real).map_err(io_error(failed()))?;
        let metadata = file.metadata().map_err(io_error(failed()))?;
        let executable = executable.unwrap_or(metadata.permissions().mode() & 0o111 != 0);
        let mode = if executable { 0o555 } else { 0o444 };
        self.write(Kind::File(metadata.len()), mode, file)
    }

    /// Writes a merged tree at the root of the layer.
    pub fn root(&mut self, tree: &Directory, directory_mode: u32) -> Result<(), ImageError> {
        self.write(Kind::Directory, 0o755, io::empty())?;
        self.nodes(tree, directory_mode)
    }

    fn nodes(&mut self, directory: &Directory, mode: u32) -> Result<(), ImageError> {
        for (name, node) in directory {
            self.child(name.as_bytes(), |packer| match node {
                Node::Symlink(target) => packer.write(Kind::Symlink(target), 0o777, io::empty()),
                Node::File { real, executable } => packer.file(real, Some(*executable)),
                Node::Directory(children) => {
                    packer.write(Kind::Directory, mode, io::empty())?;
                    packer.nodes(children, mode)
                }
            })?;
        }
        Ok(())
    }

    /// Copies the members of a tar file, without the zero blocks that end it.
    pub fn members(&mut self, real: &Path) -> Result<(), ImageError> {
        let failed = || format!("cannot read the layer {}", real.display());
        let file = File::open(real).map_err(io_error(failed()))?;
        let end = members_length(&file).map_err(io_error(failed()))?;
        (&file).rewind().map_err(io_error(failed()))?;
        self.tar.append_members(&file, end).map_err(io_error(failed()))
    }

    fn child(
        &mut self,
        name: &[u8],
        write: impl FnOnce(&mut Self) -> Result<(), ImageError>,
    ) -> Result<(), ImageError> {
        let separator: &[u8] = if self.name.ends_with(b"/") { b"" } else { b"/" };
        self.below(&[separator, name].concat(), write)
    }

    /// Extends the current name while `write` runs.
    fn below(
        &mut self,
        name: &[u8],
        write: impl FnOnce(&mut Self) -> Result<(), ImageError>,
    ) -> Result<(), ImageError> {
        let length = self.name.len();
        self.name.extend_from_slice(name);
        let result = write(self);
        self.name.truncate(length);
        result
    }

    fn write(&mut self, kind: Kind<'_>, mode: u32, data: impl Read) -> Result<(), ImageError> {
        let (mode, uid, gid) = self.rights(&kind, mode);
        let entry = Entry {
            path: self.name.strip_suffix(b"/").unwrap_or(&self.name),
            kind,
            mode,
            uid,
            gid,
            // A name would win over the number where the two differ.
            uname: if uid == self.owner.uid { &self.owner.uname } else { "" },
            gname: if gid == self.owner.gid { &self.owner.gname } else { "" },
            mtime: self.mtime,
        };
        let failed = || format!("cannot pack {}", String::from_utf8_lossy(entry.path));
        self.tar.append_file(&entry, data).map_err(|error| io_error(failed())(error))
    }
}
