//! What a layer is made of, and the tar stream it becomes.
//!
//! A layer that Wharf builds is not stored: its [`Pack`] says which store objects go where, and the stream is made
//! again whenever it is wanted. The bytes depend on the objects' content alone.

use std::fs::{self, File, FileType};
use std::io::{self, Read, Seek, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix_formats::store_path::StorePath;
use regex_automata::meta::Regex;
use serde::{Deserialize, Serialize};

use crate::error::{ImageError, io_error};
use crate::objects::Objects;
use crate::tar::{Dialect, Entry, Kind, TarWriter, members_length};
use crate::tree::{self, Directory, Node};

/// The time of files at an image's root, as nixpkgs sets it: 1980, the first that zip archives can hold.
pub const ROOT_MTIME: u64 = 315_532_800;

/// Who owns the entries of a layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Owner {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// The user's name, empty for none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub uname: String,
    /// The group's name, empty for none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub gname: String,
}

impl Owner {
    /// User and group 0, without names, as `tar --numeric-owner` writes them.
    pub const ROOT: Self = Self { uid: 0, gid: 0, uname: String::new(), gname: String::new() };
}

/// What a layer has at `/`, before its store objects.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Head {
    /// Nothing.
    #[default]
    None,
    /// The directories' content, copied; a later one wins. As `buildImage`'s `copyToRoot`.
    #[serde(rename_all = "camelCase")]
    Copy {
        /// The directories.
        contents: Vec<PathInStore>,
        /// Keep links to directories as links instead of copying what they point at.
        keep_dirlinks: bool,
    },
    /// The directories' content as links to it; an earlier one wins. As `buildLayeredImage`'s `contents`.
    Links {
        /// The directories.
        contents: Vec<PathInStore>,
    },
    /// The members of a tar file, which a builder made.
    Tar {
        /// The file.
        file: PathInStore,
    },
}

impl Head {
    /// The paths in the store that it is made of.
    pub fn paths(&self) -> &[PathInStore] {
        match self {
            Self::None => &[],
            Self::Copy { contents, .. } | Self::Links { contents } => contents,
            Self::Tar { file } => std::slice::from_ref(file),
        }
    }
}

/// A directory that an image has at its root whatever its contents are, as `/tmp`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RootDirectory {
    /// Its path below the root.
    pub path: String,
    /// Its permission bits.
    pub mode: u32,
    /// Who owns it.
    pub uid: u32,
    /// And which group.
    pub gid: u32,
}

/// Other modes and owners than those of the store for a part of an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Permission {
    /// The object.
    pub object: StorePath,
    /// Which of its paths: a regular expression that is found in the absolute path.
    pub regex: String,
    /// The permission bits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<u32>,
    /// The user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// The group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gid: Option<u32>,
}

/// A store object, or a path inside one, as `/nix/store/…`.
pub type PathInStore = PathBuf;

/// How a layer's names and headers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Style {
    /// As nixpkgs' `stream_layered_image.py` writes store layers: PAX, names that begin with `/`.
    Stream,
    /// As GNU tar writes `.`: names that begin with `./`.
    Tar,
}

impl Style {
    fn dialect(self) -> Dialect {
        match self {
            Self::Stream => Dialect::Pax,
            Self::Tar => Dialect::Gnu,
        }
    }

    fn prefix(self) -> &'static [u8] {
        match self {
            Self::Stream => b"/",
            Self::Tar => b"./",
        }
    }
}

/// The recipe of a layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Pack {
    /// What is at `/`.
    #[serde(default)]
    pub head: Head,
    /// Who owns what is at `/`.
    pub head_owner: Owner,
    /// Directories at `/` besides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub directories: Vec<RootDirectory>,
    /// The store objects, in the order of the stream.
    #[serde(default)]
    pub objects: Vec<StorePath>,
    /// Who owns the store objects.
    pub owner: Owner,
    /// Exceptions to modes and owners; the last that fits counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub permissions: Vec<Permission>,
    /// The time of every entry, in seconds since the epoch.
    pub mtime: u64,
    /// How names and headers are written.
    pub style: Style,
}

impl Pack {
    /// Writes the layer's tar stream.
    ///
    /// # Errors
    /// An object that cannot be read, two contents that cannot be merged, or the errors of `out`.
    pub fn write(&self, store: &Objects, out: impl Write) -> Result<(), ImageError> {
        self.write_parts(store, &self.objects, out)
    }

    /// Writes the tar stream of what is at `/`, without the store objects.
    ///
    /// # Errors
    /// As [`Pack::write`].
    pub fn write_head(&self, store: &Objects, out: impl Write) -> Result<(), ImageError> {
        self.write_parts(store, &[], out)
    }

    fn write_parts(&self, store: &Objects, objects: &[StorePath], out: impl Write) -> Result<(), ImageError> {
        let mut packer = Packer {
            tar: TarWriter::new(out, self.style.dialect()),
            name: self.style.prefix().to_vec(),
            owner: &self.head_owner,
            mtime: self.mtime,
            permissions: Vec::new(),
        };
        match &self.head {
            Head::None => {}
            Head::Copy { contents, keep_dirlinks } => {
                // Directories keep the mode that they have in the store.
                packer.root(&tree::copied(store, contents, *keep_dirlinks)?, 0o555)?;
            }
            Head::Links { contents } => packer.root(&tree::linked(store, contents)?, 0o755)?,
            Head::Tar { file } => packer.members(&store.locate(file)?)?,
        }
        packer.directories(&self.directories)?;
        packer.owner = &self.owner;
        packer.permissions = self.permissions.iter().map(compiled).collect::<Result<_, _>>()?;
        if !objects.is_empty() {
            packer.store_directories()?;
        }
        for object in objects {
            packer.object(object, &store.real_path(object))?;
        }
        packer.tar.finish().map_err(io_error("cannot write a layer"))?;
        Ok(())
    }
}

/// A tar stream with the name of the entry that is being written.
struct Packer<'a, W> {
    tar: TarWriter<W>,
    name: Vec<u8>,
    owner: &'a Owner,
    mtime: u64,
    permissions: Vec<(Regex, &'a Permission)>,
}

fn compiled(permission: &Permission) -> Result<(Regex, &Permission), ImageError> {
    let wrong = |error| ImageError::Definition(format!("perms: the expression `{}`: {error}", permission.regex));
    Ok((Regex::new(&permission.regex).map_err(wrong)?, permission))
}

impl<W: Write> Packer<'_, W> {
    /// Directories that are there whatever the contents are; one that the contents have gets this mode and owner. Those
    /// above are root's, since some clients give directories that are not in a layer modes that nobody expects.
    fn directories(&mut self, directories: &[RootDirectory]) -> Result<(), ImageError> {
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
    fn store_directories(&mut self) -> Result<(), ImageError> {
        for name in [&b"nix"[..], b"nix/store"] {
            self.below(name, |packer| packer.write(Kind::Directory, 0o755, io::empty()))?;
        }
        Ok(())
    }

    fn object(&mut self, object: &StorePath, real: &Path) -> Result<(), ImageError> {
        let name = format!("nix/store/{}", object.base_name());
        let failed = || format!("cannot read {}", object.to_absolute());
        let kind = fs::symlink_metadata(real).map_err(io_error(failed()))?.file_type();
        self.below(name.as_bytes(), |packer| packer.path(real, kind))
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
    fn root(&mut self, tree: &Directory, directory_mode: u32) -> Result<(), ImageError> {
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
    fn members(&mut self, real: &Path) -> Result<(), ImageError> {
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
