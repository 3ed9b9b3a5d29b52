//! `containers-storage:`: podman's storage, through the pipes of `podman save` and `podman load`.

use futures_util::future::BoxFuture;
use image::Digest;

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

/// How much of an answer that is an ID is read.
const ID_LIMIT: usize = 1024;

/// What podman has under `name`. It keeps layers unpacked, so they come without compression, and no manifest.
pub(crate) fn export(name: &str) -> Result<Export, Error> {
    let image = name.to_owned();
    let open = move || -> ByteStream {
        let arguments = ["save", "--quiet", "--format", "docker-archive", &image].map(str::to_owned);
        PODMAN.stream(arguments.to_vec(), format!("save {image}"))
    };
    let image = name.to_owned();
    let id = move || -> BoxFuture<'static, Result<Digest, Error>> {
        let arguments = ["image", "inspect", "--format", "{{.Id}}", &image].map(str::to_owned);
        let action = format!("look up {image}");
        Box::pin(async move {
            let printed = PODMAN.output(arguments.to_vec(), &action, ID_LIMIT).await?;
            let id = format!("sha256:{}", String::from_utf8_lossy(&printed).trim().trim_start_matches("sha256:"));
            id.parse().map_err(|error: image::DigestError| Error::Unusable {
                what: "an image's ID".to_owned(),
                reason: error.to_string(),
            })
        })
    };
    Ok(Export::new(format!("containers-storage:{name}"), open, id))
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
