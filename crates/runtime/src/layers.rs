//! The layers of an image as directories, unpacked once and kept for the next run.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use image::{Image, ImageError, Layer, Source};
use nix_formats::store_path::StorePath;
use store::progress::{Activity, Outcome, Progress, Task};

use crate::error::RuntimeError;
use crate::scratch::Scratch;
use crate::unpack::{Omitted, Whiteouts, unpack};

/// An image on disk.
pub(crate) struct Unpacked {
    /// The directories of the layers, the topmost first.
    pub layers: Vec<PathBuf>,
    /// Whether there is only one directory, which has the content of all layers and is this container's own.
    pub flat: bool,
    /// The store objects of the image with their places on the host: they are mounted, not unpacked.
    pub objects: Vec<(StorePath, PathBuf)>,
}

/// Unpacks what is not unpacked yet.
pub(crate) fn unpack_image(image: &Image, cache: &Path, progress: &dyn Progress) -> Result<Unpacked, RuntimeError> {
    let directory = cache.join("layers");
    fs::create_dir_all(&directory).map_err(RuntimeError::file("create the directory", &directory))?;
    let mut layers = Vec::new();
    for layer in &image.layers {
        let place = directory.join(place_name(layer));
        if !place.is_dir() {
            unpack_layer(layer, cache, &place, progress)?;
        }
        layers.push(place);
    }
    layers.reverse();
    Ok(Unpacked { layers, flat: false, objects: objects(image) })
}

/// Unpacks all layers into one directory, for machines on which they cannot be stacked.
pub(crate) fn unpack_flat(
    image: &Image,
    directory: PathBuf,
    progress: &dyn Progress,
) -> Result<Unpacked, RuntimeError> {
    for layer in &image.layers {
        let omitted = fill(layer, &directory, Whiteouts::Apply, progress)?;
        warn(layer, &omitted, progress);
    }
    Ok(Unpacked { layers: vec![directory], flat: true, objects: objects(image) })
}

/// Whether a directory is on a file system whose directories can be stacked. They cannot on another stack, as in most
/// containers: there neither whiteouts can be made nor an upper directory be had.
pub(crate) fn can_be_stacked(directory: &Path) -> bool {
    const OVERLAY: u64 = 0x794c_7630;
    !rustix::fs::statfs(directory).is_ok_and(|file_system| u64::try_from(file_system.f_type) == Ok(OVERLAY))
}

fn objects(image: &Image) -> Vec<(StorePath, PathBuf)> {
    let mut result = Vec::new();
    for layer in &image.layers {
        if let Source::Pack { objects, .. } = layer.source() {
            result.extend(layer.store_paths().iter().map(|path| (path.clone(), objects.real_path(path))));
        }
    }
    result.sort();
    result.dedup();
    result
}

/// A layer without its store objects is another directory than the whole one, and one with owners than one without.
fn place_name(layer: &Layer) -> String {
    let owners = if sandbox::IdMap::own().is_some() { "-owners" } else { "" };
    let rest = if layer.store_paths().is_empty() { "" } else { "-rest" };
    format!("{}{rest}{owners}", layer.diff_id().hex())
}

fn unpack_layer(layer: &Layer, cache: &Path, place: &Path, progress: &dyn Progress) -> Result<(), RuntimeError> {
    let scratch = Scratch::unique(&cache.join("unpacking"))?;
    let root = scratch.directory("root")?;
    let omitted = fill(layer, &root, Whiteouts::Keep, progress)?;
    warn(layer, &omitted, progress);
    sync(&root)?;
    match fs::rename(&root, place) {
        Ok(()) => Ok(()),
        // Another process was faster; what it made is the same.
        Err(_) if place.is_dir() => Ok(()),
        Err(error) => Err(RuntimeError::file("move into place the layer", place)(error)),
    }
}

/// The layer counts as unpacked once it has its name, so its bytes must be on the disk before.
fn sync(directory: &Path) -> Result<(), RuntimeError> {
    let file = fs::File::open(directory).map_err(RuntimeError::file("open the directory", directory))?;
    rustix::fs::syncfs(&file).map_err(RuntimeError::file("flush to disk", directory))
}

fn fill(
    layer: &Layer,
    directory: &Path,
    whiteouts: Whiteouts,
    progress: &dyn Progress,
) -> Result<Omitted, RuntimeError> {
    let name = layer.diff_id().to_string();
    let task = Task::start(progress, Activity::Unpack, &name, None);
    let (reader, writer) = io::pipe().map_err(RuntimeError::file("make a pipe for", directory))?;
    let bad = |entry: PathBuf, problem: String| RuntimeError::Layer { layer: *layer.diff_id(), entry, problem };
    let (written, unpacked) = std::thread::scope(|scope| {
        let writing = scope.spawn(|| write(layer, writer));
        let mut reader = Counted { inner: reader, task: &task };
        let unpacked = unpack(&mut reader, directory, whiteouts);
        // The rest must go by whatever happened: its digest is checked, and a writer that nobody listens to would
        // report that instead of what is wrong with the archive.
        let drained = io::copy(&mut reader, &mut io::sink()).map_err(RuntimeError::file("read a layer for", directory));
        let written = writing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        (written.and(drained), unpacked)
    });
    written?;
    let omitted = unpacked.map_err(|entry| bad(entry.path, entry.problem))?;
    task.finish(Outcome::Done);
    Ok(omitted)
}

fn write(layer: &Layer, out: io::PipeWriter) -> Result<(), RuntimeError> {
    let mut out = layer.write_rest(io::BufWriter::with_capacity(1 << 16, out))?;
    out.flush()
        .map_err(|source| RuntimeError::Image(ImageError::Io { action: "cannot unpack a layer".to_owned(), source }))
}

struct Counted<'a, R> {
    inner: R,
    task: &'a Task<'a>,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.task.advance(count as u64);
        Ok(count)
    }
}

fn warn(layer: &Layer, omitted: &Omitted, progress: &dyn Progress) {
    if omitted.devices > 0 {
        progress.warn(&format!(
            "layer {} has {} device nodes that only root can make; the container has the usual /dev instead",
            layer.diff_id(),
            omitted.devices
        ));
    }
}
