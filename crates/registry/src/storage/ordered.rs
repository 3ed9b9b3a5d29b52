//! A directory whose entries can be listed in order, page by page, without reading all of them.
//!
//! Small collections are one flat directory. When a directory has more than [`SPLIT_AT`] entries, they move into
//! subdirectories named `+c` by the next character, so that a page reads a few small directories however many entries
//! there are, and names with a long common prefix cost nothing until there are many of them.
//!
//! Entries only ever move down. A lookup goes down too, so it finds an entry while it is being moved, and a crash in the
//! middle of a split leaves a directory that reads the same.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// How many entries a directory may have before it is split.
const SPLIT_AT: usize = 512;

/// An ordered directory. Writers (`insert`, `remove`) and `page` must be kept apart by the caller's lock; `find` needs none.
pub struct OrderedDirectory {
    root: PathBuf,
}

/// The entries of one directory that continue with the same character.
#[derive(Default)]
struct Group {
    entries: Vec<String>,
    subdirectory: Option<PathBuf>,
}

impl OrderedDirectory {
    pub fn new(root: PathBuf) -> OrderedDirectory {
        OrderedDirectory { root }
    }

    /// Calls `open` with each path where `name` may be, from the top; the first that is not "not found" is the answer.
    pub fn find<T>(&self, name: &str, open: impl Fn(&Path) -> io::Result<T>) -> io::Result<Option<T>> {
        let file = encode(name);
        let mut directory = self.root.clone();
        let mut rest = name.chars();
        loop {
            match open(&directory.join(&file)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                other => return other.map(Some),
            }
            let Some(next) = rest.next() else { return Ok(None) };
            directory.push(subdirectory(next));
            if !directory.is_dir() {
                return Ok(None);
            }
        }
    }

    /// Puts an entry in its place by `make(path)`, which creates or replaces the file at that path. Returns the
    /// directory that changed, for the caller to sync.
    pub fn insert(&self, name: &str, make: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<PathBuf> {
        if let Some(existing) = self.find(name, |path| fs::symlink_metadata(path).map(|_| path.to_owned()))? {
            make(&existing)?;
            return Ok(existing.parent().map(Path::to_owned).unwrap_or_default());
        }
        let (directory, depth) = self.deepest(name);
        make_directory(&directory)?;
        make(&directory.join(encode(name)))?;
        if fs::read_dir(&directory)?.count() > SPLIT_AT {
            split(&directory, depth)?;
        }
        Ok(directory)
    }

    /// Removes an entry, and the subdirectories that it leaves empty.
    pub fn remove(&self, name: &str) -> io::Result<bool> {
        let removed = self.find(name, |path| fs::remove_file(path).map(|()| path.to_owned()))?;
        let Some(path) = removed else { return Ok(false) };
        let parent = path.parent().unwrap_or(&self.root);
        sync(parent)?;
        for directory in parent.ancestors().take_while(|d| *d != self.root && d.starts_with(&self.root)) {
            if fs::remove_dir(directory).is_err() {
                break;
            }
        }
        Ok(true)
    }

    /// At most `limit` names that sort after `after`.
    pub fn page(&self, after: &str, limit: usize) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        page_of(&self.root, "", after, limit, &mut names)?;
        Ok(names)
    }

    /// The deepest existing directory for `name`, and how many characters it stands for.
    fn deepest(&self, name: &str) -> (PathBuf, usize) {
        let mut directory = self.root.clone();
        for (depth, next) in name.chars().enumerate() {
            let below = directory.join(subdirectory(next));
            if !below.is_dir() {
                return (directory, depth);
            }
            directory = below;
        }
        (directory, name.chars().count())
    }
}

fn page_of(directory: &Path, prefix: &str, after: &str, limit: usize, names: &mut Vec<String>) -> io::Result<()> {
    for (next, group) in groups(directory, prefix)? {
        if names.len() >= limit {
            break;
        }
        let start: String = prefix.chars().chain(next).collect();
        let all_before = start.as_str() <= after && !after.starts_with(&start);
        if all_before {
            continue;
        }
        let mut found: Vec<String> = group.entries.into_iter().filter(|name| name.as_str() > after).collect();
        if let Some(below) = group.subdirectory {
            page_of(&below, &start, after, limit - names.len(), &mut found)?;
        }
        found.sort_unstable();
        found.truncate(limit - names.len());
        names.append(&mut found);
    }
    Ok(())
}

/// What is in `directory`, by the character after `prefix`. An entry that is the prefix itself has none and comes first.
fn groups(directory: &Path, prefix: &str) -> io::Result<BTreeMap<Option<char>, Group>> {
    let mut groups: BTreeMap<Option<char>, Group> = BTreeMap::new();
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(groups),
        other => other?,
    };
    for entry in entries {
        let Ok(file) = entry?.file_name().into_string() else { continue };
        if let Some(next) = file.strip_prefix('+') {
            groups.entry(decode(next).chars().next()).or_default().subdirectory = Some(directory.join(&file));
        } else {
            let name = decode(&file);
            let next = name.strip_prefix(prefix).and_then(|rest| rest.chars().next());
            groups.entry(next).or_default().entries.push(name);
        }
    }
    Ok(groups)
}

/// Moves the entries of `directory`, which stands for `depth` characters, one level down.
fn split(directory: &Path, depth: usize) -> io::Result<()> {
    let mut crowded: BTreeMap<PathBuf, usize> = BTreeMap::new();
    for entry in fs::read_dir(directory)? {
        let file = entry?.file_name();
        let Some(file) = file.to_str().filter(|file| !file.starts_with('+')) else { continue };
        let Some(next) = decode(file).chars().nth(depth) else { continue };
        let below = directory.join(subdirectory(next));
        if !crowded.contains_key(&below) {
            make_directory(&below)?;
        }
        fs::rename(directory.join(file), below.join(file))?;
        *crowded.entry(below).or_default() += 1;
    }
    for (below, count) in crowded {
        sync(&below)?;
        if count > SPLIT_AT {
            split(&below, depth + 1)?;
        }
    }
    sync(directory)
}

/// Names may hold `/`, file names may not; no name that the registry uses holds `:`.
fn encode(name: &str) -> String {
    name.replace('/', ":")
}

fn decode(file: &str) -> String {
    file.replace(':', "/")
}

fn subdirectory(next: char) -> String {
    format!("+{}", if next == '/' { ':' } else { next })
}

/// Makes a directory and what is missing above it, durably.
pub fn make_directory(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Ok(()) => sync(path.parent().unwrap_or(path)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make_directory(path.parent().ok_or(error)?)?;
            make_directory(path)
        }
        Err(error) => Err(error),
    }
}

/// Makes the entries of a directory durable.
pub fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(directory: &OrderedDirectory, name: &str) {
        directory.insert(name, |path| File::create(path).map(drop)).unwrap();
    }

    #[test]
    fn pages_are_in_order_over_splits_and_removals() {
        let temp = tempfile::tempdir().unwrap();
        let directory = OrderedDirectory::new(temp.path().join("tags"));
        assert!(directory.page("", 10).unwrap().is_empty());
        let mut names: Vec<String> = (0..1500).map(|i| format!("tag-{i}")).collect();
        names.extend(["tag".into(), "tag-".into(), "a".into(), "zz/x".into(), "zz-y".into(), "zz".into()]);
        for name in &names {
            put(&directory, name);
        }
        for name in names.iter().step_by(3) {
            assert!(directory.remove(name).unwrap());
            assert!(!directory.remove(name).unwrap());
        }
        let mut expected: Vec<String> =
            names.iter().enumerate().filter(|(i, _)| i % 3 != 0).map(|(_, name)| name.clone()).collect();
        expected.sort();
        let mut listed = Vec::new();
        loop {
            let page = directory.page(listed.last().map_or("", String::as_str), 97).unwrap();
            if page.is_empty() {
                break;
            }
            listed.extend(page);
        }
        assert_eq!(listed, expected);
        for name in &expected {
            assert!(directory.find(name, |path| fs::symlink_metadata(path)).unwrap().is_some(), "{name}");
        }
        let top = fs::read_dir(temp.path().join("tags")).unwrap().count();
        assert!(top <= SPLIT_AT + 1, "{top} entries at the top");
    }

    #[test]
    fn a_crash_in_a_split_changes_nothing_that_is_read() {
        let temp = tempfile::tempdir().unwrap();
        let directory = OrderedDirectory::new(temp.path().join("tags"));
        for name in ["ab", "aa", "ba", "a"] {
            put(&directory, name);
        }
        make_directory(&temp.path().join("tags/+a")).unwrap();
        fs::rename(temp.path().join("tags/ab"), temp.path().join("tags/+a/ab")).unwrap();
        assert_eq!(directory.page("", 9).unwrap(), ["a", "aa", "ab", "ba"]);
        put(&directory, "ac");
        assert!(temp.path().join("tags/+a/ac").exists());
        assert_eq!(directory.page("a", 2).unwrap(), ["aa", "ab"]);
    }
}
