//! `build-env`: one tree of symbolic links from the files of many packages, as the `buildEnv` function of package sets
//! describes an environment.
//!
//! A directory that only one package has becomes one link; where several have it, it is a directory of links. Of two
//! packages with the same file the one with the lower priority number wins; with equal numbers the files must hold the
//! same, else it is a collision.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// The priority that packages have which only come along with others: later than any that was asked for.
const PROPAGATED_PRIORITY: i64 = 1000;

/// What is to be linked, and how strictly.
#[derive(Default)]
struct Options {
    ignore_collisions: bool,
    ignore_contents: bool,
    ignore_single_files: bool,
    /// The subtrees that are linked, each with a leading slash and none at its end; the root is empty.
    links: Vec<Vec<u8>>,
    /// Appended to the output's path for everything but the manifest.
    prefix: OsString,
    manifest: Option<PathBuf>,
    /// A file of further store paths, one a line.
    closure: Option<PathBuf>,
}

#[derive(Debug, thiserror::Error)]
enum BuildEnvError {
    #[error("cannot {action} {}: {source}", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error("collision between {first} and {second}")]
    Collision { first: String, second: String },
    #[error("{} is a file in the store, and only directories can be merged into an environment", .0.display())]
    SingleFile(PathBuf),
    #[error("{} has to be a directory in the environment, but is none", .0.display())]
    NotADirectory(PathBuf),
    #[error("line {line} of the entries is not \"PRIORITY PATH\": {text:?}")]
    Entry { line: usize, text: String },
}

fn io_error<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> BuildEnvError + 'a {
    move |source| BuildEnvError::Io { action, path: path.to_owned(), source }
}

/// One place in the environment: a directory of its own, or a link.
struct Place {
    target: Option<PathBuf>,
    priority: i64,
}

/// How a collision between equals is met.
#[derive(Clone, Copy, PartialEq)]
enum Collisions {
    Fail,
    Warn,
    Ignore,
}

struct Environment<'a> {
    options: &'a Options,
    places: BTreeMap<Vec<u8>, Place>,
    done: BTreeSet<PathBuf>,
    postponed: BTreeSet<PathBuf>,
}

impl<'a> Environment<'a> {
    /// The linked subtrees and all that leads to them are directories, never links.
    fn new(options: &'a Options) -> Self {
        let mut places = BTreeMap::new();
        for link in &options.links {
            let ends = link.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
            for end in ends.chain([link.len()]) {
                places.insert(link[..end].to_vec(), Place { target: None, priority: 0 });
            }
        }
        Self { options, places, done: BTreeSet::new(), postponed: BTreeSet::new() }
    }

    fn add_package(&mut self, package: &Path, collisions: Collisions, priority: i64) -> Result<(), BuildEnvError> {
        if !package.exists() || !self.done.insert(package.to_owned()) {
            return Ok(());
        }
        if package.is_file() {
            if self.options.ignore_single_files {
                eprintln!("build-env: {} is a single file and is left out", package.display());
                return Ok(());
            }
            return Err(BuildEnvError::SingleFile(package.to_owned()));
        }
        self.add(b"", package, collisions, priority)?;
        let list = package.join("nix-support/propagated-user-env-packages");
        match fs::read_to_string(&list) {
            Ok(text) => {
                let propagated = text.lines().next().unwrap_or_default().split_whitespace().map(PathBuf::from);
                self.postponed.extend(propagated);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(io_error("read", &list)(error)),
        }
    }

    /// Gives the place `name` (relative to the environment, with a leading slash) to `target`, or merges the two.
    fn add(&mut self, name: &[u8], target: &Path, collisions: Collisions, priority: i64) -> Result<(), BuildEnvError> {
        if is_left_out(name) || !self.is_wanted(name) {
            return Ok(());
        }
        let old = self.places.get(name).map(|place| (place.target.clone(), place.priority));
        let Some((old_target, old_priority)) = old else {
            self.set(name, Some(target), priority);
            return Ok(());
        };
        let Some(old_target) = old_target else {
            if !target.is_dir() {
                return Err(BuildEnvError::NotADirectory(target.to_owned()));
            }
            self.add_children(name, target, collisions, priority)?;
            self.set(name, None, priority);
            return Ok(());
        };
        let old_is_file = !old_target.is_dir();
        if old_is_file && priority < old_priority {
            self.set(name, Some(target), priority);
        } else if is_same_file(target, &old_target) {
            if old_target.is_symlink() && !target.is_symlink() {
                self.set(name, Some(target), priority);
            }
        } else if old_is_file && priority > old_priority {
            // The one that is there wins.
        } else if old_is_file || !target.is_dir() {
            self.collide(target, &old_target, collisions)?;
        } else {
            self.set(name, None, priority);
            self.add_children(name, &old_target, collisions, old_priority)?;
            self.add_children(name, target, collisions, priority)?;
        }
        Ok(())
    }

    fn set(&mut self, name: &[u8], target: Option<&Path>, priority: i64) {
        self.places.insert(name.to_vec(), Place { target: target.map(Path::to_owned), priority });
    }

    fn add_children(
        &mut self,
        name: &[u8],
        target: &Path,
        collisions: Collisions,
        priority: i64,
    ) -> Result<(), BuildEnvError> {
        for child in sorted_names(target).map_err(io_error("read the directory", target))? {
            let child_name = [name, b"/", child.as_bytes()].concat();
            self.add(&child_name, &target.join(&child), collisions, priority)?;
        }
        Ok(())
    }

    fn collide(&self, new: &Path, old: &Path, collisions: Collisions) -> Result<(), BuildEnvError> {
        let (first, second) = (described(new), described(old));
        match collisions {
            Collisions::Ignore => Ok(()),
            Collisions::Warn => {
                eprintln!("build-env: collision between {first} and {second}; the second stays");
                Ok(())
            }
            Collisions::Fail if !self.options.ignore_contents && holds_the_same(new, old) => Ok(()),
            Collisions::Fail => Err(BuildEnvError::Collision { first, second }),
        }
    }

    /// Whether a name is inside a linked subtree or leads to one.
    fn is_wanted(&self, name: &[u8]) -> bool {
        self.options.links.iter().any(|link| is_within(name, link) || is_within(link, name))
    }

    /// Makes the directories and links in `out`; gives the number of links.
    fn write(&self, out: &Path) -> Result<usize, BuildEnvError> {
        let mut links = 0;
        for (name, place) in &self.places {
            if !self.options.links.iter().any(|link| is_within(name, link)) {
                continue;
            }
            let path = PathBuf::from(OsString::from_vec([out.as_os_str().as_bytes(), name].concat()));
            match &place.target {
                None => fs::create_dir_all(&path).map_err(io_error("create the directory", &path))?,
                Some(target) => {
                    symlink(target, &path).map_err(io_error("create the link", &path))?;
                    links += 1;
                }
            }
        }
        Ok(links)
    }
}

/// Whether `name` is `tree` or below it.
fn is_within(name: &[u8], tree: &[u8]) -> bool {
    name.strip_prefix(tree).is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
}

/// What packages have for their own use, and what is made anew for every environment.
fn is_left_out(name: &[u8]) -> bool {
    let base = name.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    name == b"/propagated-build-inputs"
        || name == b"/nix-support"
        || name.ends_with(b"info/dir")
        || (name.starts_with(b"/share/mime/") && !name.starts_with(b"/share/mime/packages"))
        || base == b"perllocal.pod"
        || base == b"log"
}

fn is_same_file(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

fn holds_the_same(a: &Path, b: &Path) -> bool {
    let compare = || -> io::Result<bool> {
        let (first, second) = (fs::metadata(a)?, fs::metadata(b)?);
        if first.permissions().mode() != second.permissions().mode() {
            eprintln!("build-env: {} and {} have different permissions", a.display(), b.display());
            return Ok(false);
        }
        Ok(first.is_file() && first.len() == second.len() && same_bytes(a, b)?)
    };
    compare().unwrap_or(false)
}

fn same_bytes(a: &Path, b: &Path) -> io::Result<bool> {
    use io::BufRead;
    let open = |path| fs::File::open(path).map(|file| io::BufReader::with_capacity(1 << 16, file));
    let (mut a, mut b) = (open(a)?, open(b)?);
    loop {
        let (left, right) = (a.fill_buf()?, b.fill_buf()?);
        let length = left.len().min(right.len());
        if length == 0 {
            return Ok(left.is_empty() && right.is_empty());
        }
        if left[..length] != right[..length] {
            return Ok(false);
        }
        a.consume(length);
        b.consume(length);
    }
}

fn described(path: &Path) -> String {
    let dangling = path.is_symlink() && !path.exists();
    format!("{}'{}'", if dangling { "dangling symlink " } else { "" }, path.display())
}

fn sorted_names(dir: &Path) -> io::Result<Vec<OsString>> {
    let mut names =
        fs::read_dir(dir)?.map(|entry| entry.map(|entry| entry.file_name())).collect::<Result<Vec<_>, _>>()?;
    names.sort();
    Ok(names)
}

/// Builds the environment of `entries`, a file of lines "PRIORITY PATH", in `out`.
fn build(options: &Options, entries: &Path, out: &Path) -> Result<usize, BuildEnvError> {
    let read = |path: &Path| fs::read_to_string(path).map_err(io_error("read", path));
    let collisions = if options.ignore_collisions { Collisions::Warn } else { Collisions::Fail };
    let mut environment = Environment::new(options);
    for (index, line) in read(entries)?.lines().enumerate() {
        let parsed = line.split_once(' ').and_then(|(priority, path)| Some((priority.parse().ok()?, path)));
        let (priority, path) = parsed.ok_or_else(|| BuildEnvError::Entry { line: index + 1, text: line.to_owned() })?;
        environment.add_package(Path::new(path), collisions, priority)?;
    }
    if let Some(closure) = &options.closure {
        for path in read(closure)?.lines().map(Path::new).filter(|path| path.is_dir()) {
            environment.add_package(path, collisions, PROPAGATED_PRIORITY)?;
        }
    }
    let mut priority = PROPAGATED_PRIORITY;
    while !environment.postponed.is_empty() {
        for package in std::mem::take(&mut environment.postponed) {
            environment.add_package(&package, Collisions::Ignore, priority)?;
            priority += 1;
        }
    }
    let root = PathBuf::from(OsString::from_vec([out.as_os_str().as_bytes(), options.prefix.as_bytes()].concat()));
    fs::create_dir_all(&root).map_err(io_error("create the directory", &root))?;
    let links = environment.write(&root)?;
    if let Some(manifest) = &options.manifest {
        let link = out.join("manifest");
        symlink(manifest, &link).map_err(io_error("create the link", &link))?;
    }
    Ok(links)
}

const USAGE: &str = "usage: build-env [--link DIR]… [--ignore-collisions] [--ignore-contents] [--ignore-single-files]
                 [--prefix DIR] [--manifest FILE] [--closure FILE] ENTRIES OUT";

fn parse(args: impl Iterator<Item = OsString>) -> Option<(Options, PathBuf, PathBuf)> {
    let mut options = Options::default();
    let mut files = Vec::new();
    let mut args = args;
    while let Some(arg) = args.next() {
        match arg.to_str() {
            Some("--ignore-collisions") => options.ignore_collisions = true,
            Some("--ignore-contents") => options.ignore_contents = true,
            Some("--ignore-single-files") => options.ignore_single_files = true,
            Some("--link") => options.links.push(subtree(&args.next()?)),
            Some("--prefix") => options.prefix = args.next()?,
            Some("--manifest") => options.manifest = Some(args.next()?.into()),
            Some("--closure") => options.closure = Some(args.next()?.into()),
            Some(unknown) if unknown.starts_with("--") => return None,
            _ => files.push(PathBuf::from(arg)),
        }
    }
    if options.links.is_empty() {
        options.links.push(Vec::new());
    }
    let [entries, out] = <[PathBuf; 2]>::try_from(files).ok()?;
    Some((options, entries, out))
}

/// `/share/man/` as `/share/man`, and the root as nothing.
fn subtree(path: &OsStr) -> Vec<u8> {
    let parts = path.as_bytes().split(|byte| *byte == b'/').filter(|part| !part.is_empty());
    parts.flat_map(|part| [b"/", part].concat()).collect()
}

/// The applet.
pub(crate) fn main(argv: Vec<OsString>) -> i32 {
    let Some((options, entries, out)) = parse(argv.into_iter().skip(1)) else {
        eprintln!("{USAGE}");
        return 2;
    };
    match build(&options, &entries, &out) {
        Ok(links) => {
            eprintln!("build-env: created {links} links");
            0
        }
        Err(error) => {
            eprintln!("build-env: {error}");
            1
        }
    }
}

#[cfg(test)]
#[path = "build_env_tests.rs"]
mod tests;
