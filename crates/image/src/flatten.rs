//! One tree from all layers of an image: what a container sees, without running one.
//!
//! Layers come from outside, so nothing of theirs touches the file system but their content, in files that are named
//! by number; names are only compared.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;

use crate::error::{ImageError, io_error};
use crate::image::Image;
use crate::pack::ROOT_MTIME;
use crate::tar::{Dialect, Entry, Kind, TarWriter};

/// A file of this name hides what lower layers have of the name after the prefix.
const WHITEOUT: &[u8] = b".wh.";
/// A file of this name hides all that lower layers have in the directory.
const OPAQUE: &[u8] = b".wh..wh..opq";
/// No image has more entries.
const MAX_ENTRIES: usize = 10_000_000;

/// What an image has at a path.
#[derive(Clone)]
pub(crate) struct Node {
    pub content: Content,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
}

/// What kind of thing a node is.
#[derive(Clone)]
pub(crate) enum Content {
    Directory,
    Symlink(Vec<u8>),
    /// A part of a layer's tar stream.
    File {
        layer: usize,
        offset: u64,
        size: u64,
    },
}

/// The names of a path, so that a directory comes before what is in it, and both before their siblings.
type Names = Vec<Vec<u8>>;

/// The tree of an image. Hard links have become files.
pub struct Flattened {
    tree: BTreeMap<Names, Node>,
    /// The layers' tar streams.
    files: Vec<File>,
}

impl Flattened {
    /// Stacks the layers of an image. Devices, sockets and FIFOs are left out and named to `left_out`. Layers are
    /// unpacked into files in `scratch`.
    ///
    /// # Errors
    /// A layer cannot be read or is no tar.
    pub fn of(image: &Image, scratch: &Path, left_out: &dyn Fn(&str)) -> Result<Self, ImageError> {
        let mut flattened = Self { tree: BTreeMap::new(), files: Vec::new() };
        for (number, layer) in image.layers.iter().enumerate() {
            let path = scratch.join(format!("layer-{number}.tar"));
            let failed = || io_error(format!("cannot unpack a layer into {}", path.display()));
            let file = File::options().read(true).write(true).create_new(true).open(&path).map_err(failed())?;
            let mut out = layer.write_tar(BufWriter::with_capacity(1 << 20, file))?;
            out.flush().map_err(failed())?;
            let mut file = out.into_inner().map_err(|error| failed()(error.into_error()))?;
            file.rewind().map_err(failed())?;
            apply(&mut flattened.tree, number, &file, left_out)
                .map_err(io_error(format!("layer {} is damaged", number + 1)))?;
            flattened.files.push(file);
        }
        Ok(flattened)
    }

    /// Writes the tree as a tar, sorted, with one time for all.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write(&self, out: impl Write) -> Result<(), ImageError> {
        write_tree(&self.tree, &self.files, out).map_err(io_error("cannot write the image's tree"))
    }

    /// What is in the tree, a directory before what is in it. Every parent of an entry is a directory of the tree.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&[Vec<u8>], &Node)> {
        self.tree.iter().map(|(names, node)| (&names[..], node))
    }

    /// The content of a file of the tree.
    ///
    /// # Errors
    /// The layer cannot be read.
    pub(crate) fn content(&self, layer: usize, offset: u64, size: u64) -> io::Result<impl Read + use<'_>> {
        let mut file = &self.files[layer];
        file.seek(SeekFrom::Start(offset))?;
        Ok(file.take(size))
    }
}

/// Puts a layer on top of those below it.
fn apply(tree: &mut BTreeMap<Names, Node>, layer: usize, file: &File, left_out: &dyn Fn(&str)) -> io::Result<()> {
    hide_below(tree, file)?;
    let mut file = file;
    file.rewind()?;
    for entry in ::tar::Archive::new(file).entries_with_seek()? {
        let entry = entry?;
        let Some(names) = names(&entry.path_bytes())? else { continue };
        let name = names.last().map(Vec::as_slice).unwrap_or_default();
        if name.starts_with(WHITEOUT) {
            continue;
        }
        let Some(node) = node(tree, layer, &entry)? else {
            left_out(&String::from_utf8_lossy(&entry.path_bytes()));
            continue;
        };
        if tree.len() >= MAX_ENTRIES {
            return Err(io::Error::other(format!("the image has more than {MAX_ENTRIES} entries")));
        }
        put(tree, resolve_parents(tree, names)?, node);
    }
    Ok(())
}

/// Removes what the layer's whiteouts hide. It comes first: a whiteout hides nothing of its own layer.
fn hide_below(tree: &mut BTreeMap<Names, Node>, file: &File) -> io::Result<()> {
    for entry in ::tar::Archive::new(file).entries_with_seek()? {
        let Some(mut names) = names(&entry?.path_bytes())? else { continue };
        let name = names.pop().unwrap_or_default();
        if name == OPAQUE {
            let names = resolve_parents(tree, [&names[..], &[Vec::new()]].concat())?;
            remove_below(tree, &names[..names.len() - 1]);
        } else if let Some(hidden) = name.strip_prefix(WHITEOUT) {
            names.push(hidden.to_vec());
            let names = resolve_parents(tree, names)?;
            tree.remove(&names);
            remove_below(tree, &names);
        }
    }
    Ok(())
}

fn node<R: Read>(tree: &BTreeMap<Names, Node>, layer: usize, entry: &::tar::Entry<'_, R>) -> io::Result<Option<Node>> {
    let header = entry.header();
    let kind = header.entry_type();
    let content = if kind.is_dir() {
        Content::Directory
    } else if kind.is_symlink() {
        Content::Symlink(entry.link_name_bytes().unwrap_or_default().into_owned())
    } else if kind.is_hard_link() {
        let target = names(&entry.link_name_bytes().unwrap_or_default())?.unwrap_or_default();
        let missing = || io::Error::new(io::ErrorKind::InvalidData, "a hard link leads to nothing");
        return tree.get(&resolve_parents(tree, target)?).cloned().map(Some).ok_or_else(missing);
    } else if kind.is_file() || kind.is_contiguous() {
        Content::File { layer, offset: entry.raw_file_position(), size: entry.size() }
    } else {
        return Ok(None);
    };
    let number = |value: io::Result<u64>| Ok::<_, io::Error>(u32::try_from(value?).unwrap_or(u32::MAX));
    Ok(Some(Node { content, mode: header.mode()?, uid: number(header.uid())?, gid: number(header.gid())? }))
}

/// Puts a node in its place; a directory keeps what is below it, anything else replaces all.
fn put(tree: &mut BTreeMap<Names, Node>, names: Names, node: Node) {
    if !matches!(node.content, Content::Directory) {
        remove_below(tree, &names);
    }
    for length in 0..names.len() {
        let parent = Node { content: Content::Directory, mode: 0o755, uid: 0, gid: 0 };
        tree.entry(names[..length].to_vec()).or_insert(parent);
    }
    tree.insert(names, node);
}

fn remove_below(tree: &mut BTreeMap<Names, Node>, names: &[Vec<u8>]) {
    let start = names.to_vec();
    let below = tree.range(start..).map(|(other, _)| other).take_while(|other| other.starts_with(names));
    let below: Vec<_> = below.filter(|other| other.len() > names.len()).cloned().collect();
    below.iter().for_each(|other| {
        tree.remove(other);
    });
}

/// Follows links in all names but the last, inside the tree, as unpacking in a container's root would.
fn resolve_parents(tree: &BTreeMap<Names, Node>, names: Names) -> io::Result<Names> {
    let mut todo = names;
    let Some(last) = todo.pop() else { return Ok(todo) };
    todo.reverse();
    let mut done: Names = Vec::new();
    let mut links = 0;
    while let Some(name) = todo.pop() {
        if name == b".." {
            done.pop();
            continue;
        }
        done.push(name);
        if let Some(Node { content: Content::Symlink(target), .. }) = tree.get(&done) {
            links += 1;
            if links > 40 {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "its links lead in circles"));
            }
            done.pop();
            if target.starts_with(b"/") {
                done.clear();
            }
            let parts = target.split(|byte| *byte == b'/').filter(|part| !matches!(*part, b"" | b"."));
            todo.extend(parts.map(<[u8]>::to_vec).collect::<Vec<_>>().into_iter().rev());
        }
    }
    done.push(last);
    Ok(done)
}

/// The names of a member's path; `None` for the root itself.
fn names(path: &[u8]) -> io::Result<Option<Names>> {
    let parts = path.split(|byte| *byte == b'/').filter(|part| !matches!(*part, b"" | b"."));
    let names: Names = parts.map(<[u8]>::to_vec).collect();
    if names.iter().any(|name| name == b"..") {
        let path = String::from_utf8_lossy(path);
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("`{path}` leads out of the image")));
    }
    Ok(Some(names).filter(|names| !names.is_empty()))
}

fn write_tree(tree: &BTreeMap<Names, Node>, files: &[File], out: impl Write) -> io::Result<()> {
    let mut tar = TarWriter::new(out, Dialect::Gnu);
    let root = Node { content: Content::Directory, mode: 0o755, uid: 0, gid: 0 };
    let above = (!tree.contains_key(&Vec::new())).then_some((&[][..], &root));
    let nodes = tree.iter().map(|(names, node)| (&names[..], node));
    for (names, node) in above.into_iter().chain(nodes) {
        let path = [&[b".".to_vec()], names].concat().join(&b'/');
        let mut entry = Entry {
            path: &path,
            kind: Kind::Directory,
            mode: node.mode,
            uid: node.uid,
            gid: node.gid,
            uname: "",
            gname: "",
            mtime: ROOT_MTIME,
        };
        match &node.content {
            Content::Directory => tar.append(&entry)?,
            Content::Symlink(target) => {
                entry.kind = Kind::Symlink(target);
                tar.append(&entry)?;
            }
            Content::File { layer, offset, size } => {
                entry.kind = Kind::File(*size);
                let mut file = &files[*layer];
                file.seek(SeekFrom::Start(*offset))?;
                tar.append_file(&entry, file.take(*size))?;
            }
        }
    }
    tar.finish().map(drop)
}
