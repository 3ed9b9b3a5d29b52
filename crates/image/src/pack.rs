//! What a layer is made of, and the tar stream it becomes.
//!
//! A layer that Wharf builds is not stored: its [`Pack`] says which store objects go where, and the stream is made
//! again whenever it is wanted. The bytes depend on the objects' content alone.

use std::io::Write;
use std::path::PathBuf;

use nix_formats::store_path::StorePath;
use serde::{Deserialize, Serialize};

use crate::error::{ImageError, io_error};
use crate::objects::Objects;
use crate::packer::{Packer, compiled};
use crate::tar::{Dialect, TarWriter};
use crate::tree;

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
            match store.nar(object) {
                Some(nar) => packer.object_of_nar(object, nar)?,
                None => packer.object(object, &store.real_path(object))?,
            }
        }
        packer.tar.finish().map_err(io_error("cannot write a layer"))?;
        Ok(())
    }
}
