//! Recognising what an image is stored as.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use nix_formats::store_path::StorePath;

use crate::description::{self, Description};
use crate::error::{ImageError, io_error};
use crate::image::Image;
use crate::layout;
use crate::objects::Objects;

/// How a script that streams an image, as `streamLayeredImage` makes it, names the image.
const STREAM_MARK: &str = "\n# image: ";

pub(crate) fn open_object(objects: &Objects, object: &StorePath) -> Result<Image, ImageError> {
    let path = objects.real_path(object);
    let metadata = fs::metadata(&path).map_err(io_error(format!("cannot open {}", object.to_absolute())))?;
    if metadata.is_file()
        && let Some(image) = streamed_image(&path)?
    {
        return open_object(objects, &image);
    }
    let description = path.join(description::FILE_NAME);
    if description.is_file() {
        let failed = || format!("cannot read {}", description.display());
        let bytes = fs::read(&description).map_err(io_error(failed()))?;
        return Description::parse(&bytes, &description, objects);
    }
    open_path(&path)
}

pub(crate) fn open_path(path: &Path) -> Result<Image, ImageError> {
    if path.join("oci-layout").is_file() {
        return layout::open(path);
    }
    Err(ImageError::Unusable { path: path.to_owned(), reason: "it is not an OCI layout".to_owned() })
}

/// The image that a script streams, if the file is such a script.
fn streamed_image(path: &Path) -> Result<Option<StorePath>, ImageError> {
    let failed = || format!("cannot read {}", path.display());
    let mut start = Vec::new();
    let file = File::open(path).map_err(io_error(failed()))?;
    file.take(4096).read_to_end(&mut start).map_err(io_error(failed()))?;
    let start = String::from_utf8_lossy(&start);
    let line = start.split_once(STREAM_MARK).and_then(|(_, rest)| rest.lines().next());
    Ok(line.and_then(|line| StorePath::from_absolute(line).ok()))
}
