//! Why something is in an image: the shortest chain of references that leads to it from the image's configuration or
//! from what is at its root.
//!
//! References are found as Nix finds them, by the hash parts in the bytes of files, so that images from anywhere can be
//! asked, without a store.

use std::collections::{BTreeMap, HashMap, VecDeque};

use serde::Serialize;

use crate::error::ImageError;
use crate::image::Image;
use crate::media::canonical_json;
use crate::objects::STORE_DIR;
use crate::survey::{EntryKind, Survey, part_of};

/// The length of a hash part.
const HASH: usize = 32;

/// A step of a chain: something, and where it names the next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// A store path, a path at the root, or `config.Cmd` and the like.
    pub from: String,
    /// The file with the reference; the same as `from` where that is a file.
    pub file: String,
}

/// The references of an image.
pub struct Why {
    survey: Survey,
    /// Store path → what names it and in which file.
    named_by: HashMap<String, Vec<Step>>,
}

impl Why {
    /// Reads every layer twice: which objects there are, and who names them.
    ///
    /// # Errors
    /// A layer cannot be read.
    pub fn of(image: &Image) -> Result<Self, ImageError> {
        let first = Survey::of(image)?;
        let objects = objects(&first);
        let mut named_by: HashMap<String, Vec<Step>> = HashMap::new();
        let mut note = |from: &str, file: &str, object: &String| {
            let steps = named_by.entry(object.clone()).or_default();
            if from != object && !steps.iter().any(|step| step.from == from) {
                steps.push(Step { from: from.to_owned(), file: file.to_owned() });
            }
        };
        let config = serde_json::to_value(&image.config.config).unwrap_or_default();
        for (name, value) in config.as_object().into_iter().flatten() {
            let from = format!("config.{name}");
            scan(&canonical_json(value), &objects, |object| note(&from, &from, object));
        }
        let mut window = Window::default();
        let survey = Survey::with(image, |path, bytes| {
            let from = if path.starts_with(STORE_DIR) { part_of(path) } else { path };
            window.look(path, bytes, |bytes| scan(bytes, &objects, |object| note(from, path, object)));
        })?;
        Ok(Self { survey, named_by })
    }

    /// The store paths of the image whose name has `text` in it, or the one that `text` is or leads to.
    pub fn find(&self, text: &str) -> Vec<String> {
        if text.starts_with('/') {
            return self.follow(text).into_iter().collect();
        }
        let objects = objects(&self.survey);
        let mut found: Vec<_> =
            objects.into_values().filter(|path| path[STORE_DIR.len() + 1 + HASH..].contains(text)).collect();
        found.sort();
        found
    }

    /// The store object that a path is in or, by links, leads to; or the path itself, if the image has it.
    fn follow(&self, path: &str) -> Option<String> {
        let visible = self.survey.visible();
        let mut path = path.trim_end_matches('/').to_owned();
        for _ in 0..40 {
            if path.starts_with(STORE_DIR) {
                return Some(part_of(&path).to_owned()).filter(|object| visible.contains_key(object.as_str()));
            }
            match visible.get(path.as_str()).map(|(_, entry)| &entry.kind) {
                Some(EntryKind::Link(target)) if target.starts_with('/') => path.clone_from(target),
                Some(_) => return Some(path),
                None => return None,
            }
        }
        None
    }

    /// The shortest chain to a store path, from its beginning; empty if nothing leads to it.
    pub fn chain(&self, object: &str) -> Vec<Step> {
        let mut came_from: BTreeMap<String, Option<(String, Step)>> = BTreeMap::from([(object.to_owned(), None)]);
        let mut queue = VecDeque::from([object.to_owned()]);
        while let Some(next) = queue.pop_front() {
            for step in self.named_by.get(&next).into_iter().flatten() {
                if came_from.contains_key(&step.from) {
                    continue;
                }
                came_from.insert(step.from.clone(), Some((next.clone(), step.clone())));
                if !step.from.starts_with(STORE_DIR) {
                    return walk(&came_from, &step.from);
                }
                queue.push_back(step.from.clone());
            }
        }
        Vec::new()
    }

    /// The number of the layer, from 1, that has a path.
    pub fn layer(&self, path: &str) -> Option<usize> {
        self.survey.visible().get(path).map(|(layer, _)| layer + 1)
    }
}

fn walk(came_from: &BTreeMap<String, Option<(String, Step)>>, start: &str) -> Vec<Step> {
    let mut chain = Vec::new();
    let mut at = start;
    while let Some(Some((next, step))) = came_from.get(at) {
        chain.push(step.clone());
        at = next;
    }
    chain
}

/// Every store object of an image by its hash part.
fn objects(survey: &Survey) -> HashMap<Vec<u8>, String> {
    let paths = survey.layers.iter().flatten().map(|entry| entry.path.as_str());
    let inside = paths.filter(|path| path.len() > STORE_DIR.len() + HASH && path.starts_with(STORE_DIR));
    inside
        .map(part_of)
        .filter_map(|object| {
            Some((object.as_bytes().get(STORE_DIR.len() + 1..)?.get(..HASH)?.to_vec(), object.to_owned()))
        })
        .collect()
}

/// Calls `found` for each object whose hash part is in the bytes.
fn scan(bytes: &[u8], objects: &HashMap<Vec<u8>, String>, mut found: impl FnMut(&String)) {
    let mut start = 0;
    // A run of the letters of a hash that is long enough; most bytes are passed over by steps of a whole hash.
    while let Some(window) = bytes.get(start..start + HASH) {
        match window.iter().rposition(|byte| !is_hash_letter(*byte)) {
            Some(wrong) => start += wrong + 1,
            None => {
                if let Some(object) = objects.get(window) {
                    found(object);
                }
                start += 1;
            }
        }
    }
}

fn is_hash_letter(byte: u8) -> bool {
    byte.is_ascii_digit() || (byte.is_ascii_lowercase() && !matches!(byte, b'e' | b'o' | b't' | b'u'))
}

/// Keeps the end of the last piece, since a hash may lie across two.
#[derive(Default)]
struct Window {
    path: String,
    bytes: Vec<u8>,
}

impl Window {
    fn look(&mut self, path: &str, bytes: &[u8], scan: impl FnOnce(&[u8])) {
        if self.path != path {
            self.path = path.to_owned();
            self.bytes.clear();
        }
        self.bytes.extend_from_slice(bytes);
        scan(&self.bytes);
        let kept = self.bytes.len().saturating_sub(HASH - 1);
        self.bytes.drain(..kept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_found_wherever_it_stands() {
        let hash = b"0123456789abcdfghijklmnpqrsvwxyz".to_vec();
        let objects = HashMap::from([(hash.clone(), "object".to_owned())]);
        let mut count = 0;
        let text = [b"xyz/nix/store/", &hash[..], b"-a", &hash, &hash, b"e", &hash[1..]].concat();
        scan(&text, &objects, |_| count += 1);
        assert_eq!(count, 3);
        let mut window = Window::default();
        let mut found = 0;
        for piece in text.chunks(7) {
            window.look("p", piece, |bytes| scan(bytes, &objects, |_| found += 1));
        }
        assert_eq!(found, 3);
    }
}
