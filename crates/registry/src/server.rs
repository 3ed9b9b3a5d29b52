//! The socket, the connections and the tasks in the background.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::auth::Authenticator;
use crate::config::Config;
use crate::http::{self, App};
use crate::metrics::Metrics;
use crate::repository::Repositories;
use crate::storage::{Filesystem, Storage};
use crate::uploads::Uploads;
use crate::webhooks::Webhooks;

/// How long requests in progress may take after a shutdown is asked for.
const GRACE: Duration = Duration::from_secs(30);
/// How long a client may take to send a request's headers.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// The most bytes of headers that are taken, and the most of a body that is read at once.
const BUFFER: usize = 128 * 1024;
/// How often uploads are looked through for expired ones.
const SWEEP: Duration = Duration::from_secs(60);

/// Why a registry does not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address is taken or not ours.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// Another process serves the directory.
    #[error("another registry is serving {}; two processes cannot share a directory", root.display())]
    Locked {
        /// The storage directory.
        root: PathBuf,
    },
    /// The storage cannot be used.
    #[error("cannot use the registry's storage {}: {source}", root.display())]
    Storage {
        /// The storage directory.
        root: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Accounts or webhooks are wrong.
    #[error("cannot set up the registry: {0}")]
    Setup(String),
}

/// A registry that listens and is ready to run.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    app: Arc<App>,
    upload_expiry: Duration,
    client: reqwest::Client,
}

/// Serves until `shutdown` is done, then finishes the requests in progress.
pub async fn serve(config: Config, shutdown: impl Future<Output = ()>) -> Result<(), ServeError> {
    Server::bind(config).await?.run(shutdown).await;
    Ok(())
}

impl Server {
    /// Opens the storage and the socket.
    pub async fn bind(config: Config) -> Result<Server, ServeError> {
        let app = Arc::new(open(&config)?);
        let client = webhook_client().map_err(ServeError::Setup)?;
        let listen = |source| ServeError::Listen { address: config.listen.address, source };
        let listener = TcpListener::bind(config.listen.address).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        if !app.auth.is_required() && !app.read_only && !address.ip().is_loopback() {
            tracing::warn!("everybody who reaches {address} may push: there is no `auth.htpasswd`");
        }
        Ok(Server { listener, address, app, upload_expiry: config.storage.upload_expiry, client })
    }

    /// The address it listens on, with the port that the system chose if the configuration said 0.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown` is done, then finishes the requests in progress, for 30 seconds at most.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let mut tasks = self.app.webhooks.deliver(&self.client);
        tasks.push(sweep_uploads(Arc::clone(&self.app), self.upload_expiry));
        let graceful = GracefulShutdown::new();
        let mut shutdown = pin!(shutdown);
        tracing::info!("listening on {}", self.address);
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = &mut shutdown => break,
            };
            match accepted {
                Ok((stream, peer)) => handle(&self.app, &graceful, stream, peer),
                Err(error) => {
                    // Out of file descriptors, mostly: wait for connections to end.
                    tracing::warn!("cannot accept a connection: {error}");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
        drop(self.listener);
        if tokio::time::timeout(GRACE, graceful.shutdown()).await.is_err() {
            tracing::warn!("some requests did not finish within {} s", GRACE.as_secs());
        }
        tasks.iter().for_each(JoinHandle::abort);
    }
}

fn open(config: &Config) -> Result<App, ServeError> {
    let root = &config.storage.root;
    let storage = Filesystem::open(root).map_err(|source| match source.kind() {
        io::ErrorKind::WouldBlock => ServeError::Locked { root: root.clone() },
        _ => ServeError::Storage { root: root.clone(), source },
    })?;
    let storage: Arc<dyn Storage> = Arc::new(storage);
    let secret = storage.secret().map_err(|source| ServeError::Storage { root: root.clone(), source })?;
    let setup = |error: io::Error| ServeError::Setup(error.to_string());
    Ok(App {
        repositories: Repositories::new(Arc::clone(&storage), config.storage.sparse),
        uploads: Uploads::new(Arc::clone(&storage)),
        auth: Authenticator::new(&config.auth, secret).map_err(setup)?,
        webhooks: Webhooks::open(&root.join("webhooks"), &config.webhooks).map_err(setup)?,
        metrics: Metrics::default(),
        allow_delete: config.storage.delete,
        read_only: config.storage.read_only,
        public_url: config.listen.public_url.clone(),
        storage,
    })
}

/// A client that trusts Mozilla's certificate authorities and follows no redirects: the receiver is who was configured.
fn webhook_client() -> Result<reqwest::Client, String> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().cloned());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .user_agent(concat!("wharf-registry/", env!("CARGO_PKG_VERSION")));
    client.build().map_err(|error| error.to_string())
}

fn handle(app: &Arc<App>, graceful: &GracefulShutdown, stream: TcpStream, peer: SocketAddr) {
    // Small answers would wait 40 ms for the client's acknowledgement otherwise.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!("{peer}: {error}");
    }
    let app = Arc::clone(app);
    let service = service_fn(move |request| http::serve(Arc::clone(&app), peer, request));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(stream), service);
    let connection = graceful.watch(connection);
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!("{peer}: {error}");
        }
    });
}

fn sweep_uploads(app: Arc<App>, expiry: Duration) -> JoinHandle<()> {
    tokio::spawn(async move {
        loop {
            let owner = Arc::clone(&app);
            let swept = tokio::task::spawn_blocking(move || owner.uploads.sweep(expiry)).await;
            match swept {
                Ok(Ok(0)) | Err(_) => {}
                Ok(Ok(count)) => tracing::info!("removed {count} unfinished uploads"),
                Ok(Err(error)) => tracing::warn!("cannot look through the uploads: {error}"),
            }
            tokio::time::sleep(SWEEP).await;
        }
    })
}
