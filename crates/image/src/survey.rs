//! What an image holds, file by file: read from its layers, whatever they come from.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{self, Read};
use std::ops::Bound;

use serde::Serialize;

use crate::digest::{Digest, Hashing};
use crate::error::{ImageError, io_error};
use crate::image::Image;
use crate::layer::Layer;
use crate::objects::STORE_DIR;

/// No image has more entries.
const MAX_ENTRIES: usize = 10_000_000;

/// The entries of all layers, the lowest first.
pub struct Survey {
    /// One for each layer.
    pub layers: Vec<Vec<Entry>>,
}

/// One entry of a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The absolute path; of a whiteout, what it hides.
    pub path: String,
    /// What is there.
    pub kind: EntryKind,
    /// The bytes of a file.
    pub size: u64,
    /// Permission bits.
    pub mode: u32,
}

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file with the digest of its content.
    File(Digest),
    /// A link, symbolic or hard, to this target.
    Link(String),
    /// A directory.
    Directory,
    /// Nothing: what lower layers have at this path is gone.
    Whiteout,
    /// Nothing: what lower layers have in this directory is gone.
    Opaque,
    /// A device, a FIFO or the like.
    Other,
}

/// Bytes of a layer, and of them those that are of no use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Weight {
    /// Regular files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes of files that a higher layer replaces or removes.
    pub hidden: u64,
    /// Bytes of files whose content a lower layer has too.
    pub repeated: u64,
}

impl Survey {
    /// Reads every layer once.
    ///
    /// # Errors
    /// A layer cannot be read or is no tar stream.
    pub fn of(image: &Image) -> Result<Self, ImageError> {
        Self::with(image, |_, _| ())
    }

    /// As [`Survey::of`], showing each file's bytes to `look` in pieces, with the entry's path.
    pub(crate) fn with(image: &Image, mut look: impl FnMut(&str, &[u8])) -> Result<Self, ImageError> {
        let mut count = 0;
        let layers = image.layers.iter().enumerate().map(|(number, layer)| {
            entries(layer, &mut count, &mut look).map_err(io_error(format!("cannot read layer {}", number + 1)))
        });
        Ok(Self { layers: layers.collect::<Result<_, _>>()? })
    }

    /// What a container sees: each path with its entry and the number of its layer.
    pub fn visible(&self) -> BTreeMap<&str, (usize, &Entry)> {
        let mut visible: BTreeMap<&str, (usize, &Entry)> = BTreeMap::new();
        for (number, layer) in self.layers.iter().enumerate() {
            for entry in layer {
                match entry.kind {
                    EntryKind::Whiteout => remove(&mut visible, &entry.path, true),
                    EntryKind::Opaque => remove(&mut visible, &entry.path, false),
                    _ => {}
                }
            }
            for entry in layer.iter().filter(|entry| !matches!(entry.kind, EntryKind::Whiteout | EntryKind::Opaque)) {
                if entry.kind != EntryKind::Directory {
                    remove(&mut visible, &entry.path, false);
                }
                visible.insert(&entry.path, (number, entry));
            }
        }
        visible
    }

    /// The weight of each layer.
    pub fn weights(&self) -> Vec<Weight> {
        let visible = self.visible();
        let mut seen: HashMap<&Digest, usize> = HashMap::new();
        let mut weights = vec![Weight::default(); self.layers.len()];
        for (number, layer) in self.layers.iter().enumerate() {
            let mut counted = HashSet::new();
            for entry in layer {
                let EntryKind::File(digest) = &entry.kind else { continue };
                let weight = &mut weights[number];
                weight.files += 1;
                weight.bytes += entry.size;
                let is_seen = visible.get(entry.path.as_str()).is_some_and(|(layer, _)| *layer == number);
                let first = *seen.entry(digest).or_insert(number);
                if !is_seen {
                    weight.hidden += entry.size;
                } else if first < number && counted.insert(&entry.path) {
                    weight.repeated += entry.size;
                }
            }
        }
        weights
    }

    /// The bytes of each part of a layer: a store object, or a directory at the root.
    pub fn parts(&self, layer: usize) -> BTreeMap<&str, u64> {
        let mut parts: BTreeMap<&str, u64> = BTreeMap::new();
        let shown =
            |entry: &&Entry| !matches!(entry.kind, EntryKind::Directory | EntryKind::Whiteout | EntryKind::Opaque);
        for entry in self.layers[layer].iter().filter(shown) {
            *parts.entry(part_of(&entry.path)).or_default() += entry.size;
        }
        parts
    }

    /// The largest files that a container sees.
    pub fn largest(&self, count: usize) -> Vec<(String, u64)> {
        let mut files: Vec<_> =
            self.visible().into_iter().map(|(path, (_, entry))| (path.to_owned(), entry.size)).collect();
        files.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        files.truncate(count);
        files.retain(|(_, size)| *size > 0);
        files
    }
}

/// The store object that a path is in, else its first name.
pub fn part_of(path: &str) -> &str {
    let names = if path.starts_with(STORE_DIR) { 4 } else { 2 };
    let end = path.match_indices('/').nth(names - 1).map_or(path.len(), |(index, _)| index);
    &path[..end]
}

fn remove<'a>(visible: &mut BTreeMap<&'a str, (usize, &'a Entry)>, path: &str, itself: bool) {
    if itself {
        visible.remove(path);
    }
    let below = format!("{}/", path.trim_end_matches('/'));
    let after = visible.range::<str, _>((Bound::Included(below.as_str()), Bound::Unbounded)).map(|(path, _)| *path);
    let gone: Vec<&'a str> = after.take_while(|path| path.starts_with(&below)).collect();
    for path in gone {
        visible.remove(path);
    }
}

fn entries(layer: &Layer, count: &mut usize, look: &mut impl FnMut(&str, &[u8])) -> io::Result<Vec<Entry>> {
    let mut archive = ::tar::Archive::new(layer.read_tar());
    let mut found = Vec::new();
    for entry in archive.entries()? {
        let mut entry = entry?;
        *count += 1;
        if *count > MAX_ENTRIES {
            return Err(io::Error::other(format!("the image has more than {MAX_ENTRIES} entries")));
        }
        found.push(read(&mut entry, look)?);
    }
    Ok(found)
}

fn read(entry: &mut ::tar::Entry<'_, impl Read>, look: &mut impl FnMut(&str, &[u8])) -> io::Result<Entry> {
    let path = absolute(&entry.path_bytes());
    let (kind, mode) = (entry.header().entry_type(), entry.header().mode()? & 0o7777);
    let made = |path, kind, size| Entry { path, kind, size, mode };
    let (parent, name) = path.rsplit_once('/').unwrap_or(("", &path));
    if name == ".wh..wh..opq" {
        return Ok(made(parent.to_owned(), EntryKind::Opaque, 0));
    }
    if let Some(hidden) = name.strip_prefix(".wh.") {
        return Ok(made(format!("{parent}/{hidden}"), EntryKind::Whiteout, 0));
    }
    if kind.is_symlink() || kind.is_hard_link() {
        let target = String::from_utf8_lossy(&entry.link_name_bytes().unwrap_or_default()).into_owned();
        look(&path, target.as_bytes());
        let target = if kind.is_hard_link() { absolute(target.as_bytes()) } else { target };
        return Ok(made(path, EntryKind::Link(target), 0));
    }
    if kind.is_dir() {
        return Ok(made(path, EntryKind::Directory, 0));
    }
    if !kind.is_file() && !kind.is_contiguous() {
        return Ok(made(path, EntryKind::Other, 0));
    }
    let mut out = Hashing::new(Looking { path: &path, look });
    io::copy(entry, &mut out)?;
    let (digest, size, _) = out.finish();
    Ok(made(path, EntryKind::File(digest), size))
}

/// The path as a container sees it: `./a`, `a/` and `/a` are the same.
fn absolute(path: &[u8]) -> String {
    let path = String::from_utf8_lossy(path);
    let names = path.split('/').filter(|name| !matches!(*name, "" | "."));
    names.fold(String::new(), |whole, name| whole + "/" + name)
}

struct Looking<'a, F> {
    path: &'a str,
    look: &'a mut F,
}

impl<F: FnMut(&str, &[u8])> io::Write for Looking<'_, F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (self.look)(self.path, bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, content: &str) -> Entry {
        let (digest, size) = (Digest::of(content.as_bytes()), content.len() as u64);
        Entry { path: path.to_owned(), kind: EntryKind::File(digest), size, mode: 0o644 }
    }

    fn special(path: &str, kind: EntryKind) -> Entry {
        Entry { path: path.to_owned(), kind, size: 0, mode: 0o755 }
    }

    #[test]
    fn what_is_hidden_or_repeated_is_counted() {
        let survey = Survey {
            layers: vec![
                vec![special("/a", EntryKind::Directory), file("/a/b", "12"), file("/a/c", "345"), file("/d", "6")],
                vec![special("/a/b", EntryKind::Whiteout), file("/e", "6"), file("/d", "7")],
                vec![special("/a", EntryKind::Opaque), file("/a/c", "345")],
            ],
        };
        let visible: Vec<_> = survey.visible().into_iter().map(|(path, (layer, _))| (path, layer)).collect();
        assert_eq!(visible, [("/a", 0), ("/a/c", 2), ("/d", 1), ("/e", 1)]);
        let weights = survey.weights();
        assert_eq!(weights[0], Weight { files: 3, bytes: 6, hidden: 6, repeated: 0 });
        assert_eq!(weights[1], Weight { files: 2, bytes: 2, hidden: 0, repeated: 1 });
        assert_eq!(weights[2], Weight { files: 1, bytes: 3, hidden: 0, repeated: 3 });
        assert_eq!(survey.largest(2), [("/a/c".to_owned(), 3), ("/d".to_owned(), 1)]);
    }

    #[test]
    fn a_part_is_an_object_or_a_directory_of_the_root() {
        assert_eq!(part_of("/nix/store/abc-x/bin/y"), "/nix/store/abc-x");
        assert_eq!(part_of("/nix/store/abc-x"), "/nix/store/abc-x");
        assert_eq!(part_of("/etc/passwd"), "/etc");
        assert_eq!(part_of("/file"), "/file");
    }
}
