//! `wharf registry serve`.

use std::net::SocketAddr;
use std::path::PathBuf;

use registry::{Config, Server};

use crate::failure::Failure;
use crate::interrupt;
use crate::settings::Settings;

/// Serve container images from a directory
#[derive(clap::Args)]
#[command(arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Subcommand,
}

#[derive(clap::Subcommand)]
enum Subcommand {
    /// Run the registry until it is stopped
    #[command(after_help = "\
Examples:
  wharf registry serve --root ./images
  wharf registry serve --config /etc/wharf/registry.toml

The configuration is TOML with the sections [listen], [storage], [auth] and [webhooks.NAME].
Options given here win over it.")]
    Serve(Serve),
}

#[derive(clap::Args)]
struct Serve {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The address and port to listen on
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// The directory that holds everything
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Refuse every change
    #[arg(long)]
    read_only: bool,
}

pub(crate) fn run(arguments: &Arguments, settings: &Settings) -> Result<i32, Failure> {
    match &arguments.command {
        Subcommand::Serve(serve) => run_serve(serve, settings),
    }
}

fn run_serve(arguments: &Serve, settings: &Settings) -> Result<i32, Failure> {
    let mut config = match &arguments.config {
        Some(file) => Config::load(file)?,
        None => Config { storage: default_storage(settings), ..Config::default() },
    };
    if let Some(address) = arguments.listen {
        config.listen.address = address;
    }
    if let Some(root) = &arguments.root {
        config.storage.root.clone_from(root);
    }
    config.storage.read_only |= arguments.read_only;
    crate::logging::start(settings, "registry=info");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let shutdown = interrupt::requested()?;
        Server::bind(config).await?.run(shutdown).await;
        Ok(0)
    })
}

/// Without a configuration the registry lives beside the store.
fn default_storage(settings: &Settings) -> registry::config::Storage {
    registry::config::Storage { root: settings.data.join("registry"), ..Default::default() }
}
