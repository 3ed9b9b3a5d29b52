//! `wharf run`.

use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::net::{IpAddr, Ipv4Addr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;

use image::Image;
use project::Derived;
use runtime::{Network, Port, Protocol, RunOptions, Tmpfs, Volume, parse_size};

use crate::artifacts::Artifacts;
use crate::containers::Engine;
use crate::failure::Failure;
use crate::progress;
use crate::settings::{Settings, Verbosity};
use crate::target::{BuildArguments, TargetArguments};

/// Build an image and run it
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  wharf run ./examples/registry                  ports that the image exposes are published on 127.0.0.1
  wharf run ./web.nix -p 8080:80 -v data:/data   publish a port, keep a directory
  wharf run ./web.nix -it -- sh                  look around inside

The exit code is the container's own. Ctrl-C stops it; nothing of it is left behind.")]
pub(crate) struct Arguments {
    /// A file, a directory, or a flake reference such as .#name [default: .]
    target: Option<String>,
    /// The command, in place of the image's
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
    /// Publish a port: [[ADDRESS:]HOST:]CONTAINER[/udp]
    #[arg(short, long, value_name = "PORT")]
    publish: Vec<Port>,
    /// Mount a directory of this machine, or one with a name that outlives the container: SOURCE:PATH[:ro];
    /// -v before a value with a colon means the same
    #[arg(long, value_name = "VOLUME")]
    volume: Vec<Volume>,
    /// Set a variable, or pass one on: NAME[=VALUE]
    #[arg(short, long, value_name = "VARIABLE")]
    env: Vec<String>,
    /// Set the variables in this file, one NAME=VALUE a line
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    /// private, host or none
    #[arg(long, default_value = "private")]
    network: Network,
    /// The name, which is the host name inside too
    #[arg(long)]
    name: Option<String>,
    /// The program, in place of the image's entry point
    #[arg(long, value_name = "PROGRAM")]
    entrypoint: Option<String>,
    /// USER[:GROUP], names of the image or numbers
    #[arg(short, long)]
    user: Option<String>,
    /// The working directory inside
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<String>,
    /// Pass standard input on
    #[arg(short, long)]
    interactive: bool,
    /// Give the container a terminal
    #[arg(short, long)]
    tty: bool,
    /// Let nothing be written but volumes and directories in memory
    #[arg(long)]
    read_only: bool,
    /// A directory in memory: PATH[:size=SIZE]
    #[arg(long, value_name = "PATH")]
    tmpfs: Vec<Tmpfs>,
    /// The most memory, as 512m
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    memory: Option<u64>,
    /// The most processes
    #[arg(long, value_name = "N")]
    pids_limit: Option<u64>,
    /// Run with docker or podman instead of Wharf itself
    #[arg(long, value_enum)]
    runtime: Option<Engine>,
    #[command(flatten)]
    how: BuildArguments,
    #[command(flatten)]
    what: TargetArguments,
}

pub(crate) fn run(arguments: &Arguments, settings: &Settings) -> Result<i32, Failure> {
    let target = arguments.what.target(arguments.target.as_deref())?;
    let progress = progress::observer(settings);
    let project = arguments.what.open(settings, &arguments.how, progress.clone(), true)?;
    let derived = project.derivations(&target)?;
    let [one] = &derived[..] else {
        let names: Vec<_> = derived.iter().map(|one| one.attribute.as_str()).collect();
        return Err(Failure::usage(format!("{} has {} images, and one can be run", target.describe(), derived.len()))
            .help(format!("name one with --attr: {}", names.join(", "))));
    };
    runs_here(one)?;
    let paths = project.realise(&derived)?;
    let artifacts = Artifacts::new(&**project.store()?, settings, &*progress);
    let summary = artifacts.image(&one.name, &paths[0])?;
    if arguments.tty && !std::io::stdin().is_terminal() {
        return Err(Failure::usage("--tty needs a terminal, and standard input is none").help("leave -t out"));
    }
    if let Some(engine) = arguments.runtime {
        engine.load(&summary.image, &artifacts.layers)?;
        return run_with(engine, &summary.name(), arguments);
    }
    let options = options(arguments, &summary.image, settings)?;
    if settings.verbosity >= Verbosity::Normal {
        announce(&summary.name(), &options);
    }
    Ok(runtime::run(&summary.image, &options, &progress)?)
}

/// Of an image for several platforms, the one for this machine is taken.
fn runs_here(one: &Derived) -> Result<(), Failure> {
    let here = format!("{}-linux", std::env::consts::ARCH);
    if one.systems.is_empty() || one.systems.contains(&here) {
        return Ok(());
    }
    Err(Failure::new(format!("'{}' is not for this machine, which is {here}", one.name))
        .because(format!("it is for {}", one.systems.join(", ")))
        .help("add this system to `system` in the definition"))
}

fn options(arguments: &Arguments, image: &Image, settings: &Settings) -> Result<RunOptions, Failure> {
    let mut options = RunOptions::new(settings.cache.join("run"), settings.data.join("run"));
    options.name.clone_from(&arguments.name);
    options.command.clone_from(&arguments.command);
    options.entrypoint.clone_from(&arguments.entrypoint);
    options.user.clone_from(&arguments.user);
    options.directory.clone_from(&arguments.workdir);
    options.environment = environment(arguments)?;
    options.volumes.clone_from(&arguments.volume);
    options.tmpfs.clone_from(&arguments.tmpfs);
    options.network = arguments.network;
    options.read_only = arguments.read_only;
    options.interactive = arguments.interactive;
    options.terminal = arguments.tty;
    options.memory = arguments.memory;
    options.processes = arguments.pids_limit;
    options.ports = match (&arguments.publish[..], arguments.network) {
        ([], Network::Private) => exposed(image),
        (ports, _) => ports.to_vec(),
    };
    Ok(options)
}

/// The image's own ports on this machine only, under their own numbers where those are free.
fn exposed(image: &Image) -> Vec<Port> {
    let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let distinct: BTreeSet<(u16, Protocol)> =
        image.config.config.exposed_ports.keys().filter_map(|port| exposed_port(port)).collect();
    let free = |port: u16, protocol| match protocol {
        Protocol::Tcp => TcpListener::bind((address, port)).is_ok(),
        Protocol::Udp => UdpSocket::bind((address, port)).is_ok(),
    };
    distinct
        .into_iter()
        .map(|(container, protocol)| {
            let host = if free(container, protocol) { container } else { 0 };
            Port { address, host, container, protocol }
        })
        .collect()
}

/// A port as an image's configuration has it: `80`, `80/tcp`, `53/udp`.
fn exposed_port(text: &str) -> Option<(u16, Protocol)> {
    let (number, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let number = number.parse().ok().filter(|number| *number > 0)?;
    Some((number, protocol.parse().ok()?))
}

fn environment(arguments: &Arguments) -> Result<Vec<(String, String)>, Failure> {
    let mut variables = Vec::new();
    for file in &arguments.env_file {
        let text = std::fs::read_to_string(file).map_err(|error| Failure::io("read", file, error))?;
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            variables.extend(variable(line));
        }
    }
    variables.extend(arguments.env.iter().filter_map(|text| variable(text)));
    Ok(variables)
}

/// `NAME=VALUE`, or the value that `NAME` has here; nothing if it has none.
fn variable(text: &str) -> Option<(String, String)> {
    match text.split_once('=') {
        Some((name, value)) => Some((name.to_owned(), value.to_owned())),
        None => crate::environment::text(text).map(|value| (text.to_owned(), value)),
    }
}

fn announce(name: &str, options: &RunOptions) {
    let ports: Vec<String> = options
        .ports
        .iter()
        .filter(|port| port.host != 0)
        .map(|port| match port.protocol {
            Protocol::Tcp => format!("{}:{} → {}", port.address, port.host, port.container),
            Protocol::Udp => format!("{}:{} → {}/udp", port.address, port.host, port.container),
        })
        .collect();
    match ports.is_empty() {
        true => eprintln!("running {name}"),
        false => eprintln!("running {name}, published {}; Ctrl-C stops it", ports.join(", ")),
    }
}

/// The same container under docker or podman.
fn run_with(engine: Engine, name: &str, arguments: &Arguments) -> Result<i32, Failure> {
    let mut command = Command::new(engine.program());
    command.args(["run", "--rm"]);
    for port in &arguments.publish {
        let host = if port.host == 0 { String::new() } else { port.host.to_string() };
        command.args(["--publish", &format!("{}:{host}:{}/{}", port.address, port.container, port.protocol)]);
    }
    for volume in &arguments.volume {
        let source = match &volume.source {
            // Docker's client takes what is not absolute for a name.
            runtime::VolumeSource::Path(path) => absolute(path)?.display().to_string(),
            runtime::VolumeSource::Name(name) => name.clone(),
        };
        let mode = if volume.read_only { "ro" } else { "rw" };
        command.args(["--volume", &format!("{source}:{}:{mode}", volume.target)]);
    }
    for (name, value) in environment(arguments)? {
        command.args(["--env", &format!("{name}={value}")]);
    }
    for tmpfs in &arguments.tmpfs {
        let size = tmpfs.size.map(|size| format!(":size={size}")).unwrap_or_default();
        command.args(["--tmpfs", &format!("{}{size}", tmpfs.target)]);
    }
    match arguments.network {
        Network::Private => {}
        Network::Host => drop(command.arg("--network=host")),
        Network::None => drop(command.arg("--network=none")),
    }
    let options = [
        ("--name", arguments.name.clone()),
        ("--entrypoint", arguments.entrypoint.clone()),
        ("--user", arguments.user.clone()),
        ("--workdir", arguments.workdir.clone()),
        ("--memory", arguments.memory.map(|bytes| bytes.to_string())),
        ("--pids-limit", arguments.pids_limit.map(|count| count.to_string())),
    ];
    for (option, value) in options {
        command.args(value.map(|value| format!("{option}={value}")));
    }
    let flags =
        [("--interactive", arguments.interactive), ("--tty", arguments.tty), ("--read-only", arguments.read_only)];
    command.args(flags.iter().filter(|(_, on)| *on).map(|(flag, _)| flag));
    command.arg(name).args(&arguments.command);
    let status = command
        .status()
        .map_err(|error| Failure::new(format!("cannot run {}", engine.program())).because(error.to_string()))?;
    Ok(status.code().unwrap_or(128))
}

fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    path.canonicalize().map_err(|error| Failure::io("mount", path, error))
}
