//! Looking into an image's root file system without mounting it: which layer has a file, following links as a process
//! inside would.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use nix_formats::STORE_DIR;

use crate::layers::Unpacked;

/// More links in a row than this are a cycle, as in the kernel.
const MAX_LINKS: usize = 40;

/// The longest file that is read: `/etc/passwd` has no reason to be longer.
const MAX_FILE: u64 = 16 << 20;

/// What is at a path without following a link at its end.
enum Found {
    Nothing,
    Link(PathBuf),
    File(PathBuf),
    Directory,
}

impl Unpacked {
    /// The text of a file of the image; nothing if it has none, or one that is no regular file.
    pub fn read(&self, path: &Path) -> Option<String> {
        let file = fs::File::open(self.find(path)?).ok()?;
        let mut bytes = Vec::new();
        file.take(MAX_FILE).read_to_end(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Where a regular file of the image is on the host.
    fn find(&self, path: &Path) -> Option<PathBuf> {
        let mut rest: VecDeque<OsString> = names(path).collect();
        let mut done = PathBuf::new();
        let mut links = 0;
        while let Some(name) = rest.pop_front() {
            if name == ".." {
                done.pop();
                continue;
            }
            match self.look(&done.join(&name)) {
                Found::Nothing => return None,
                Found::File(file) => return rest.is_empty().then_some(file),
                Found::Directory => done.push(name),
                Found::Link(to) => {
                    links += 1;
                    if links > MAX_LINKS {
                        return None;
                    }
                    if to.is_absolute() {
                        done = PathBuf::new();
                    }
                    for name in names(&to).collect::<Vec<_>>().into_iter().rev() {
                        rest.push_front(name);
                    }
                }
            }
        }
        None
    }

    /// Looks at a path below the root whose directories have no links.
    fn look(&self, path: &Path) -> Found {
        if let Some(real) = self.object(path) {
            return kind(&real).unwrap_or(Found::Nothing);
        }
        for layer in &self.layers {
            let real = layer.join(path);
            match kind(&real) {
                Some(found) => return found,
                None if hidden_below(layer, path) => return Found::Nothing,
                None => {}
            }
        }
        match Path::new(STORE_DIR).starts_with(Path::new("/").join(path)) && !self.objects.is_empty() {
            true => Found::Directory,
            false => Found::Nothing,
        }
    }

    /// The place on the host of something in a store object that the image has.
    fn object(&self, path: &Path) -> Option<PathBuf> {
        let inside = path.strip_prefix(STORE_DIR.trim_start_matches('/')).ok()?;
        let mut names = inside.components();
        let base = names.next()?.as_os_str();
        let (_, real) = self.objects.iter().find(|(path, _)| OsStr::new(path.base_name()) == base)?;
        let rest = names.as_path();
        Some(if rest.as_os_str().is_empty() { real.clone() } else { real.join(rest) })
    }
}

/// The names of a path; `..` is kept.
fn names(path: &Path) -> impl Iterator<Item = OsString> {
    let components = path.components().filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir));
    components.map(|part| part.as_os_str().to_owned())
}

/// What is at a place of the host; nothing if a deeper layer has to be asked.
fn kind(real: &Path) -> Option<Found> {
    let metadata = real.symlink_metadata().ok()?;
    let file_type = metadata.file_type();
    Some(if file_type.is_dir() {
        Found::Directory
    } else if file_type.is_symlink() {
        fs::read_link(real).map_or(Found::Nothing, Found::Link)
    } else if file_type.is_file() {
        Found::File(real.to_owned())
    } else {
        // A whiteout, which hides the layers below, or a device, which is of no use here.
        Found::Nothing
    })
}

/// Whether a layer hides this path in those below it: by something else than a directory on the way, or by a
/// directory that is opaque.
fn hidden_below(layer: &Path, path: &Path) -> bool {
    let parents = path.ancestors().skip(1).filter(|parent| !parent.as_os_str().is_empty());
    parents.map(|parent| layer.join(parent)).any(|real| match real.symlink_metadata() {
        Ok(metadata) if metadata.is_dir() => {
            let mut value = [0; 1];
            rustix::fs::getxattr(&real, "user.overlay.opaque", &mut value[..]).is_ok_and(|_| value == *b"y")
        }
        Ok(_) => true,
        Err(_) => false,
    })
}
