//! `docker-archive:` and the writing of `oci-archive:`: images in a tar file.

use std::io::Write;
use std::path::Path;

use futures_util::StreamExt;
use image::{Image, Selection};

use crate::byte_stream::{ByteStream, unwrapped};
use crate::error::{Error, io_error};
use crate::transport::tar_sink::{Flavour, TarSink};
use crate::transport::{Opened, oci_files};

/// Opens an archive of `docker save`. One that is an OCI layout at the same time and nothing else is taken too.
pub(crate) fn open(path: &Path, name: Option<&str>, scratch: &Path) -> Result<Opened, Error> {
    let (name, tag) = match name.map(|name| name.rsplit_once(':')) {
        Some(Some((name, tag))) => (Some(name), Some(tag)),
        Some(None) => (name, None),
        None => (None, None),
    };
    let scratch = oci_files::prepared(scratch)?;
    Ok(Opened::Image(Box::new(Image::open_path(path, scratch, Selection { name, tag })?)))
}

/// Writes an archive under a temporary name, and gives it its own when it is whole.
pub(crate) fn sink(path: &Path, flavour: Flavour, name: Option<&str>) -> Result<TarSink, Error> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let file = tempfile::Builder::new()
        .prefix(".wharf-")
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .tempfile_in(parent)
        .map_err(io_error("write into", parent))?;
    let place = path.to_owned();
    let consume = |bytes: ByteStream| -> futures_util::future::BoxFuture<'static, Result<(), Error>> {
        Box::pin(write(bytes, file, place))
    };
    Ok(TarSink::new(flavour, name.map(str::to_owned), flavour == Flavour::Oci, consume))
}

async fn write(
    mut bytes: ByteStream,
    mut file: tempfile::NamedTempFile,
    place: std::path::PathBuf,
) -> Result<(), Error> {
    while let Some(piece) = bytes.next().await {
        let piece = piece.map_err(|error| unwrapped(error, "the archive"))?;
        let written = tokio::task::spawn_blocking(move || file.write_all(&piece).map(|()| file)).await;
        file = written.map_err(std::io::Error::other).flatten().map_err(io_error("write", &place))?;
    }
    file.as_file().sync_all().map_err(io_error("write", &place))?;
    file.persist(&place).map_err(|error| io_error("finish", &place)(error.error))?;
    Ok(())
}
