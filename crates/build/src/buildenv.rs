//! `builtin:buildenv`: a tree of symbolic links to several packages, as `nix-env` makes for a profile. The rules are
//! those of `libstore/builtins/buildenv.cc` in C++ Nix.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use rustix::fs::{Dir, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::attributes::words;
use crate::builtin::{Builtin, BuiltinContext, BuiltinError};

/// The priority of the first package that others ask for rather than the user.
const PROPAGATED_PRIORITY: i64 = 1000;

/// What no profile wants: useless there, or the cause of pointless collisions.
const LEFT_OUT: [&str; 7] = [
    "/propagated-build-inputs",
    "/nix-support",
    "/perllocal.pod",
    "/info/dir",
    "/log",
    "/manifest.nix",
    "/manifest.json",
];

/// The builder of profiles.
pub(crate) struct BuildEnv;

/// One package of the environment, a path in the store.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Package {
    priority: i64,
    path: PathBuf,
}

/// What the tree has at a name.
enum Entry {
    Link { to: PathBuf, priority: i64 },
    Directory(BTreeMap<OsString, Entry>),
}

impl Builtin for BuildEnv {
    fn name(&self) -> &str {
        "builtin:buildenv"
    }

    fn build(&self, context: &BuiltinContext<'_>) -> Result<(), BuiltinError> {
        let mut packages = packages(&context.attributes.required("derivations")?)?;
        packages.sort();
        let manifest = context.attributes.required("manifest")?;
        let mut merger = Merger { files: StoreFiles::new(context)?, context, tree: BTreeMap::new() };
        let (mut done, mut postponed) = (BTreeSet::new(), BTreeSet::new());
        for package in packages {
            merger.add_package(package, &mut done, &mut postponed)?;
        }
        let mut priority = PROPAGATED_PRIORITY;
        while !postponed.is_empty() {
            for path in std::mem::take(&mut postponed) {
                merger.add_package(Package { priority, path }, &mut done, &mut postponed)?;
                priority += 1;
            }
        }
        let out = &context.output("out")?.real_path;
        write_tree(out, &merger.tree)?;
        Ok(symlink(manifest, out.join("manifest.nix"))?)
    }
}

/// The active packages of the attribute `derivations`: for each "true" or "false", a priority, a count, and that many
/// paths.
fn packages(text: &str) -> Result<Vec<Package>, BuiltinError> {
    let mut words = words(text);
    let mut packages = Vec::new();
    while let Some(active) = words.next() {
        let malformed = || format!("attribute 'derivations' is malformed: '{text}'");
        let priority = words.next().and_then(|word| word.parse().ok()).ok_or_else(malformed)?;
        let count: usize = words.next().and_then(|word| word.parse().ok()).ok_or_else(malformed)?;
        for _ in 0..count {
            let path = PathBuf::from(words.next().ok_or_else(malformed)?);
            if active != "false" {
                packages.push(Package { priority, path });
            }
        }
    }
    Ok(packages)
}

struct Merger<'a> {
    files: StoreFiles,
    context: &'a BuiltinContext<'a>,
    tree: BTreeMap<OsString, Entry>,
}

impl Merger<'_> {
    fn add_package(
        &mut self,
        package: Package,
        done: &mut BTreeSet<PathBuf>,
        postponed: &mut BTreeSet<PathBuf>,
    ) -> Result<(), BuiltinError> {
        if !done.insert(package.path.clone()) {
            return Ok(());
        }
        let mut tree = std::mem::take(&mut self.tree);
        self.merge(&mut tree, &package.path, package.priority)?;
        self.tree = tree;
        let propagated = self.files.read(&package.path.join("nix-support/propagated-user-env-packages"))?;
        let propagated = propagated.split([' ', '\n']).filter(|word| !word.is_empty()).map(PathBuf::from);
        postponed.extend(propagated.filter(|path| !done.contains(path)));
        Ok(())
    }

    /// Links everything in the directory `source` into `into`.
    fn merge(&self, into: &mut BTreeMap<OsString, Entry>, source: &Path, priority: i64) -> Result<(), BuiltinError> {
        let Some(names) = self.files.list(source)? else {
            self.context.log(&format!("{} is left out, since it is not a directory", source.display()));
            return Ok(());
        };
        for name in names {
            let path = source.join(&name);
            let left_out = LEFT_OUT.iter().any(|end| path.as_os_str().as_bytes().ends_with(end.as_bytes()));
            if name.as_bytes().starts_with(b".") || left_out {
                continue;
            }
            match self.files.is_directory(&path)? {
                None => self.context.log(&format!("{} is left out, since it is a dangling link", path.display())),
                Some(true) => self.merge_directory(into, name, path, priority)?,
                Some(false) => merge_file(into, name, path, priority)?,
            }
        }
        Ok(())
    }

    fn merge_directory(
        &self,
        into: &mut BTreeMap<OsString, Entry>,
        name: OsString,
        path: PathBuf,
        priority: i64,
    ) -> Result<(), BuiltinError> {
        match into.get_mut(&name) {
            None => drop(into.insert(name, Entry::Link { to: path, priority })),
            Some(Entry::Directory(children)) => self.merge(children, &path, priority)?,
            Some(Entry::Link { to, priority: earlier }) => {
                if self.files.is_directory(to)? != Some(true) {
                    return Err(collision(&path, to, "one is a directory and the other is not"));
                }
                let mut children = BTreeMap::new();
                self.merge(&mut children, &self.files.canonical(to)?, *earlier)?;
                self.merge(&mut children, &path, priority)?;
                into.insert(name, Entry::Directory(children));
            }
        }
        Ok(())
    }
}

fn merge_file(
    into: &mut BTreeMap<OsString, Entry>,
    name: OsString,
    path: PathBuf,
    priority: i64,
) -> Result<(), BuiltinError> {
    match into.get(&name) {
        Some(Entry::Directory(_)) => {
            return Err(collision(&path, Path::new(&name), "one is a directory and the other is not"));
        }
        Some(Entry::Link { to, priority: earlier }) if *earlier == priority => {
            return Err(collision(&path, to, &format!("both have the priority {priority}; change that of one")));
        }
        Some(Entry::Link { priority: earlier, .. }) if *earlier < priority => return Ok(()),
        _ => {}
    }
    into.insert(name, Entry::Link { to: path, priority });
    Ok(())
}

fn collision(first: &Path, second: &Path, why: &str) -> BuiltinError {
    format!("'{}' and '{}' are in each other's way: {why}", first.display(), second.display()).into()
}

fn write_tree(directory: &Path, entries: &BTreeMap<OsString, Entry>) -> Result<(), BuiltinError> {
    fs::create_dir(directory).map_err(|error| format!("cannot create '{}': {error}", directory.display()))?;
    for (name, entry) in entries {
        match entry {
            Entry::Link { to, .. } => symlink(to, directory.join(name))
                .map_err(|error| format!("cannot create '{}': {error}", directory.join(name).display()))?,
            Entry::Directory(children) => write_tree(&directory.join(name), children)?,
        }
    }
    Ok(())
}

/// Files by their path in `/nix/store`, wherever the store really lies: links are followed as they would be with the
/// store's root as the root of the file system.
struct StoreFiles {
    root: OwnedFd,
    root_path: PathBuf,
}

impl StoreFiles {
    fn new(context: &BuiltinContext<'_>) -> Result<StoreFiles, BuiltinError> {
        let real = context.store.real_path(context.derivation_path);
        let root = real.ancestors().nth(3).filter(|root| real.starts_with(root.join("nix/store")));
        let root_path = root.ok_or("the store is not laid out as ROOT/nix/store")?.to_path_buf();
        let root = rustix::fs::open(&root_path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(StoreFiles { root, root_path })
    }

    /// Opens a file; `None` if it is not there, or only a link to nowhere is.
    fn open(&self, path: &Path, flags: OFlags) -> Result<Option<OwnedFd>, BuiltinError> {
        let flags = flags | OFlags::CLOEXEC;
        match rustix::fs::openat2(&self.root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT) {
            Ok(file) => Ok(Some(file)),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
            Err(errno) => Err(format!("cannot open '{}': {errno}", path.display()).into()),
        }
    }

    fn is_directory(&self, path: &Path) -> Result<Option<bool>, BuiltinError> {
        let Some(file) = self.open(path, OFlags::PATH)? else { return Ok(None) };
        let mode = rustix::fs::fstat(&file)?.st_mode;
        Ok(Some(FileType::from_raw_mode(mode) == FileType::Directory))
    }

    /// The sorted names in a directory; `None` if it is none.
    fn list(&self, path: &Path) -> Result<Option<Vec<OsString>>, BuiltinError> {
        let Some(directory) = self.open(path, OFlags::RDONLY | OFlags::DIRECTORY)? else { return Ok(None) };
        let mut names = Vec::new();
        for entry in Dir::read_from(&directory)? {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes()).to_owned();
            if name != "." && name != ".." {
                names.push(name);
            }
        }
        names.sort();
        Ok(Some(names))
    }

    /// The text of a file; nothing if it is not there.
    fn read(&self, path: &Path) -> Result<String, BuiltinError> {
        match self.open(path, OFlags::RDONLY)? {
            Some(file) => Ok(std::io::read_to_string(fs::File::from(file))?),
            None => Ok(String::new()),
        }
    }

    /// The path without links, still as it is in `/nix/store`.
    fn canonical(&self, path: &Path) -> Result<PathBuf, BuiltinError> {
        use std::os::fd::AsRawFd;
        let gone = || BuiltinError::from(format!("'{}' is not there any more", path.display()));
        let file = self.open(path, OFlags::PATH)?.ok_or_else(gone)?;
        let real = fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
        let root = self.root_path.canonicalize()?;
        Ok(Path::new("/").join(real.strip_prefix(root)?))
    }
}
