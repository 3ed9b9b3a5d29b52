//! `builtin:oci-merge` and `builtin:oci-export`: one file from whole images.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use build::{Builtin, BuiltinContext, BuiltinError};
use serde::Deserialize;

use super::base;
use crate::archive::{self, Format};
use crate::cache::LayerCache;
use crate::compress::Compression;
use crate::docker::Selection;
use crate::error::{ImageError, io_error};
use crate::flatten::Flattened;
use crate::image::Image;
use crate::objects::Objects;

/// The builder `builtin:oci-merge`: an archive of several images, as `dockerTools.mergeImages` makes it.
pub struct OciMerge {
    cache: LayerCache,
}

/// The builder `builtin:oci-export`: the tree of an image as a tar, as `dockerTools.exportImage` makes it.
pub struct OciExport;

/// The image that `builtin:oci-export` takes.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Export {
    from_image: PathBuf,
    from_image_name: Option<String>,
    from_image_tag: Option<String>,
}

impl OciMerge {
    /// A builder that remembers the sizes of layers in `cache`.
    pub fn new(cache: LayerCache) -> Self {
        Self { cache }
    }
}

impl Builtin for OciMerge {
    fn name(&self) -> &str {
        "builtin:oci-merge"
    }

    fn build(&self, context: &BuiltinContext<'_>) -> Result<(), BuiltinError> {
        let paths: Vec<PathBuf> = attribute(context, "images")?;
        let images = paths.iter().map(|path| open(context, path, Selection::default()));
        let images = images.collect::<Result<Vec<_>, _>>()?;
        write_output(context, |out| archive::write(&images, Format::Universal, Compression::None, &self.cache, out))
    }
}

impl Builtin for OciExport {
    fn name(&self) -> &str {
        "builtin:oci-export"
    }

    fn build(&self, context: &BuiltinContext<'_>) -> Result<(), BuiltinError> {
        let export: Export = attribute(context, "export")?;
        let wanted = Selection { name: export.from_image_name.as_deref(), tag: export.from_image_tag.as_deref() };
        let image = open(context, &export.from_image, wanted)?;
        let left_out = |name: &str| context.log(&format!("left out, since a user cannot make it: {name}"));
        let tree = Flattened::of(&image, context.scratch, &left_out)?;
        write_output(context, |out| tree.write(out))
    }
}

pub(super) fn attribute<T: for<'de> Deserialize<'de>>(
    context: &BuiltinContext<'_>,
    name: &str,
) -> Result<T, BuiltinError> {
    let attributes = context.attributes.structured.as_ref().ok_or("the builder needs __structuredAttrs")?;
    let value = attributes.get(name).ok_or_else(|| format!("the attribute `{name}` is missing"))?;
    Ok(T::deserialize(value).map_err(|error| format!("{name}: {error}"))?)
}

pub(super) fn open(context: &BuiltinContext<'_>, path: &Path, wanted: Selection<'_>) -> Result<Image, BuiltinError> {
    let objects = Objects::of_store(context.store, &context.output("out")?.path);
    Ok(base::open(&objects, path, wanted, context.scratch)?)
}

fn write_output(
    context: &BuiltinContext<'_>,
    write: impl FnOnce(&mut BufWriter<File>) -> Result<(), ImageError>,
) -> Result<(), BuiltinError> {
    let path = &context.output("out")?.real_path;
    let failed = || io_error(format!("cannot write {}", path.display()));
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path).map_err(failed())?);
    write(&mut out)?;
    out.flush().map_err(failed())?;
    Ok(())
}
