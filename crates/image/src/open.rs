//! Recognising what an image is stored as.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use nix_formats::store_path::StorePath;

use crate::description::{self, Description};
use crate::docker::{self, Wanted};
use crate::error::{ImageError, io_error};
use crate::files::Files;
use crate::image::Image;
use crate::layout;
use crate::objects::Objects;

/// How a script that streams an image, as `streamLayeredImage` makes it, names the image.
const STREAM_MARK: &str = "\n# image: ";

pub(crate) fn open_object(
    objects: &Objects,
    object: &StorePath,
    scratch: &Path,
    wanted: Wanted<'_>,
) -> Result<Image, ImageError> {
    let path = objects.real_path(object);
    let metadata = fs::metadata(&path).map_err(io_error(format!("cannot open {}", object.to_absolute())))?;
    if metadata.is_file()
        && let Some(image) = streamed_image(&path)?
    {
        return open_object(objects, &image, scratch, wanted);
    }
    let description = path.join(description::FILE_NAME);
    if description.is_file() {
        let failed = || format!("cannot read {}", description.display());
        let bytes = fs::read(&description).map_err(io_error(failed()))?;
        return Description::parse(&bytes, &description, objects);
    }
    open_path(&path, scratch, wanted)
}

pub(crate) fn open_path(path: &Path, scratch: &Path, wanted: Wanted<'_>) -> Result<Image, ImageError> {
    let files = Files::open(path, scratch)?;
    open_files(&files, path, wanted).inspect_err(|_| files.discard())
}

fn open_files(files: &Files, path: &Path, wanted: Wanted<'_>) -> Result<Image, ImageError> {
    if !path.is_dir() && files.find(docker::MANIFEST)?.is_some() {
        return docker::open(files, wanted);
    }
    if files.find(layout::INDEX_FILE)?.is_some() && files.find(layout::MARK_FILE)?.is_some() {
        return layout::open(files);
    }
    Err(files.unusable("it has neither the `manifest.json` of a docker archive nor the `oci-layout` of an OCI layout"))
}

/// The image that a script streams, if the file is such a script: what `streamLayeredImage` gives.
///
/// # Errors
/// The file cannot be read.
pub fn streamed_image(path: &Path) -> Result<Option<StorePath>, ImageError> {
    let failed = || format!("cannot read {}", path.display());
    let mut start = Vec::new();
    let file = File::open(path).map_err(io_error(failed()))?;
    file.take(4096).read_to_end(&mut start).map_err(io_error(failed()))?;
    let start = String::from_utf8_lossy(&start);
    let line = start.split_once(STREAM_MARK).and_then(|(_, rest)| rest.lines().next());
    Ok(line.and_then(|line| StorePath::from_absolute(line).ok()))
}
