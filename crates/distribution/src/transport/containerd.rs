//! `containerd:`: containerd's storage, through `ctr`, which gives blobs by digest and takes archives from a pipe.

use futures_util::future::BoxFuture;
use image::Digest;
use image::media::Descriptor;

use crate::blob::Blob;
use crate::byte_stream::{ByteStream, verified, without_first};
use crate::documents::{Document, MANIFEST_LIMIT};
use crate::error::Error;
use crate::transport::Source;
use crate::transport::docker_daemon::tagged;
use crate::transport::program::Program;
use crate::transport::tar_sink::{Flavour, TarSink};

const CTR: Program = Program {
    name: "ctr",
    transport: "containerd:",
    advice: "install containerd, or copy to an archive that needs no program: oci-archive:FILE",
};
/// How much of a list of images is read.
const LIST_LIMIT: usize = 1 << 20;

/// The arguments of `ctr`, which reads CONTAINERD_ADDRESS and CONTAINERD_NAMESPACE itself.
fn arguments(namespace: Option<&str>, rest: &[&str]) -> Vec<String> {
    let namespace = namespace.map(|namespace| ["--namespace", namespace]);
    namespace.iter().flatten().copied().chain(rest.iter().copied()).map(str::to_owned).collect()
}

/// An image that containerd has.
pub(crate) struct ContainerdSource {
    namespace: Option<String>,
    name: String,
    root: Descriptor,
}

/// A blob that containerd has.
struct Content {
    namespace: Option<String>,
    descriptor: Descriptor,
}

impl ContainerdSource {
    /// Looks the name up, as it is and then as Docker's Hub would complete it.
    pub async fn find(namespace: Option<&str>, name: &str) -> Result<ContainerdSource, Error> {
        let whole = tagged(name).ok().filter(|whole| whole != name);
        for name in [Some(name.to_owned()), whole].into_iter().flatten() {
            let filter = format!("name=={name}");
            let list = arguments(namespace, &["images", "ls", &filter]);
            let printed = CTR.output(list, &format!("look up {name}"), LIST_LIMIT).await?;
            if let Some(root) = target(&String::from_utf8_lossy(&printed), &name) {
                return Ok(ContainerdSource { namespace: namespace.map(str::to_owned), name, root });
            }
        }
        let place = namespace.map(|namespace| format!(" in its namespace {namespace}")).unwrap_or_default();
        Err(Error::NotFound { registry: format!("containerd{place}"), what: format!("image {name}") })
    }

    async fn read(&self, wanted: &Descriptor) -> Result<Document, Error> {
        let digest = wanted.digest.to_string();
        let get = arguments(self.namespace.as_deref(), &["content", "get", &digest]);
        let bytes = CTR.output(get, &format!("read {digest}"), MANIFEST_LIMIT).await?;
        let found = Digest::of(&bytes);
        if found != wanted.digest {
            let (what, registry) = ("a manifest".to_owned(), "containerd".to_owned());
            return Err(Error::Corrupt { what, registry, expected: digest, found: found.to_string() });
        }
        Document::parse(bytes, Some(&wanted.media_type), &self.name)
    }
}

/// The row of an image in the table that `ctr images ls` prints: REF TYPE DIGEST SIZE …
fn target(table: &str, name: &str) -> Option<Descriptor> {
    table.lines().find_map(|line| {
        let mut columns = line.split_whitespace();
        let (reference, media_type, digest) = (columns.next()?, columns.next()?, columns.next()?);
        // The size in the table is of everything together.
        (reference == name).then(|| Some(Descriptor::new(media_type, digest.parse().ok()?, 0)))?
    })
}

impl Source for ContainerdSource {
    fn name(&self) -> String {
        "containerd".to_owned()
    }

    fn root(&self) -> BoxFuture<'_, Result<Document, Error>> {
        Box::pin(self.read(&self.root))
    }

    fn document<'a>(&'a self, wanted: &'a Descriptor) -> BoxFuture<'a, Result<Document, Error>> {
        Box::pin(self.read(wanted))
    }

    fn blob(&self, wanted: &Descriptor) -> Box<dyn Blob> {
        Box::new(Content { namespace: self.namespace.clone(), descriptor: wanted.clone() })
    }

    /// It fetches only what its own platform needs.
    fn is_complete(&self) -> bool {
        false
    }
}

impl Blob for Content {
    fn open(&self, skip: u64) -> ByteStream {
        let digest = self.descriptor.digest.to_string();
        let get = arguments(self.namespace.as_deref(), &["content", "get", &digest]);
        let bytes = CTR.stream(get, format!("read {digest}"));
        let whole = verified(bytes, self.descriptor.digest, self.descriptor.size, "containerd".to_owned());
        without_first(whole, skip)
    }

    fn known(&self) -> Option<Descriptor> {
        Some(self.descriptor.clone())
    }
}

/// Gives containerd an image under `name`.
pub(crate) fn sink(namespace: Option<&str>, name: &str, by_digest: bool) -> Result<TarSink, Error> {
    let (name, flavour) = (tagged(name)?, if by_digest { Flavour::Oci } else { Flavour::Docker });
    let import = arguments(namespace, &["images", "import", "--all-platforms", "-"]);
    let action = format!("import {name}");
    let consume = move |bytes: ByteStream| -> BoxFuture<'static, Result<(), Error>> {
        Box::pin(async move { CTR.feed(import, bytes, &action).await })
    };
    Ok(TarSink::new(flavour, Some(name), by_digest, consume))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_found_in_the_table() {
        let digest = Digest::of(b"");
        let table = format!(
            "REF    TYPE   DIGEST SIZE PLATFORMS LABELS\n\
             docker.io/library/a:10 application/x sha256:{0} 1.0 MiB linux/amd64 -\n\
             docker.io/library/a:1 application/vnd.oci.image.index.v1+json {digest} 1.0 MiB linux/amd64 - \n",
            "0".repeat(64)
        );
        assert_eq!(target(&table, "docker.io/library/a:1").unwrap().digest, digest);
        assert!(target(&table, "docker.io/library/a").is_none());
    }
}
