//! `containers-storage:`: podman's storage, through the pipes of `podman save` and `podman load`.

use futures_util::future::BoxFuture;

use crate::byte_stream::ByteStream;
use crate::error::Error;
use crate::transport::docker_daemon::tagged;
use crate::transport::export::Export;
use crate::transport::program::Program;
use crate::transport::tar_sink::{Flavour, TarSink};

const PODMAN: Program = Program {
    name: "podman",
    transport: "containers-storage:",
    advice: "install podman, or copy to an archive that needs no program: oci-archive:FILE",
};

/// What podman has under `name`. It keeps layers unpacked, so they come without compression, and no manifest.
pub(crate) fn export(name: &str) -> Result<Export, Error> {
    let image = name.to_owned();
    let open = move || -> ByteStream {
        let arguments = ["save", "--quiet", "--format", "docker-archive", &image].map(str::to_owned);
        PODMAN.stream(arguments.to_vec(), format!("save {image}"))
    };
    Ok(Export::new(format!("containers-storage:{name}"), open))
}

/// Gives podman an image under `name`. It keeps the manifest of an OCI archive; where digests are not known before, it
/// gets the other kind.
pub(crate) fn sink(name: &str, by_digest: bool) -> Result<TarSink, Error> {
    let (name, flavour) = (tagged(name)?, if by_digest { Flavour::Oci } else { Flavour::Docker });
    let action = format!("load {name}");
    let consume = move |bytes: ByteStream| -> BoxFuture<'static, Result<(), Error>> {
        Box::pin(async move { PODMAN.feed(vec!["load".to_owned(), "--quiet".to_owned()], bytes, &action).await })
    };
    Ok(TarSink::new(flavour, Some(name), by_digest, consume).one_platform())
}
