//! `includeNixDB`: the database by which a Nix inside the container knows the objects of its image.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use nix_formats::store_path::StorePath;
use store::{LocalStore, PathInfo};

use crate::compress::Compression;
use crate::digest::Hashing;
use crate::error::{ImageError, io_error};
use crate::layer::{Layer, Source};
use crate::media::Descriptor;
use crate::ownership::Ownership;
use crate::pack::ROOT_MTIME;
use crate::root_changes::Changed;

/// The name of the layer's file in the image's output.
const FILE: &str = "nix-db.tar";
/// What makes up a database; the store that writes it makes locks too, which an image need not have.
const DATABASE: [&str; 2] = ["nix/var/nix/db/db.sqlite", "nix/var/nix/db/schema"];
const ROOTS: &str = "nix/var/nix/gcroots/docker";

/// Writes a layer with the database of `closure` into the directory `real`, which will be `placed`. The objects in
/// `roots` are kept from collection.
///
/// # Errors
/// The closure is not whole, or the file system refuses.
pub(super) fn layer(
    closure: &[PathInfo],
    roots: &[StorePath],
    scratch: &Path,
    real: &Path,
    placed: &Path,
) -> Result<Layer, ImageError> {
    let store = scratch.join("nix-db-store");
    LocalStore::open(&store)?.register(&closure.iter().map(reproducible).collect::<Vec<_>>())?;
    let tree = scratch.join("nix-db");
    for name in DATABASE {
        let (from, to) = (store.join(name), tree.join(name));
        make_parent(&to)?;
        fs::copy(&from, &to).map_err(io_error(format!("cannot copy {}", from.display())))?;
    }
    for root in roots {
        let link = tree.join(ROOTS).join(root.base_name());
        make_parent(&link)?;
        symlink(root.to_absolute(), &link).map_err(io_error(format!("cannot make {}", link.display())))?;
    }
    pack(&tree, &real.join(FILE), placed.join(FILE))
}

/// Nothing that depends on when and where the objects were made.
fn reproducible(info: &PathInfo) -> PathInfo {
    let mut info = info.clone();
    info.registration_time = ROOT_MTIME as i64;
    info.deriver = None;
    info.ultimate = false;
    info
}

fn make_parent(path: &Path) -> Result<(), ImageError> {
    let parent = path.parent().unwrap_or(path);
    fs::create_dir_all(parent).map_err(io_error(format!("cannot make {}", parent.display())))
}

fn pack(tree: &Path, file: &Path, placed: PathBuf) -> Result<Layer, ImageError> {
    let failed = || io_error(format!("cannot write {}", file.display()));
    let mut out = Hashing::new(BufWriter::new(File::create(file).map_err(failed())?));
    Changed::new(tree, &Ownership::default(), (0, 0)).pack(&mut out)?;
    let (diff_id, size, mut out) = out.finish();
    out.flush().map_err(failed())?;
    let compression = Compression::None;
    let descriptor = Descriptor::new(compression.media_type(), diff_id, size);
    Ok(Layer { diff_id, source: Source::File { path: placed, offset: 0, descriptor, compression } })
}
