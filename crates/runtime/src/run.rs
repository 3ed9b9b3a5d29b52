//! The life of a container, from its image to its exit code.

use std::io;
use std::sync::Arc;

use image::Image;
use sandbox::{Cgroups, Child, Limits, Root, Signal, Terminal, Tunnel};
use store::progress::Progress;

use crate::attend::{Console, Signals, attend};
use crate::container::Container;
use crate::error::RuntimeError;
use crate::layers::{can_be_stacked, unpack_flat, unpack_image};
use crate::options::{Network, RunOptions};
use crate::outside::Outside;
use crate::ports;
use crate::scratch::Scratch;

/// The control groups of a container. A limit that cannot be set is a warning, and the container runs without.
fn limited(name: &str, options: &RunOptions, progress: &dyn Progress) -> Cgroups {
    let limits = Limits { memory: options.memory, processes: options.processes };
    Cgroups::new(name, limits, &mut |controller, error| {
        let option = if controller == "memory" { "--memory" } else { "--pids-limit" };
        progress.warn(&format!(
            "{option} has no effect: there is no control group for {controller} that may be written ({error})"
        ));
    })
}

/// Runs a container of the image until it ends, and returns its exit code (128 + the signal's number if one ended it).
///
/// Signals that this process gets meanwhile go to the container; one that it does not handle ends it. When this returns,
/// or the process dies in whatever way, nothing of the container is left: processes and mounts go with its namespaces,
/// and its directory with the next run at the latest.
///
/// # Errors
/// The container could not be started. What it does after that is its exit code's matter.
pub fn run(image: &Image, options: &RunOptions, progress: &Arc<dyn Progress>) -> Result<i32, RuntimeError> {
    let listening = ports::listen(&options.ports)?;
    check(options, progress.as_ref());
    for port in listening.iter().filter(|_| options.network == Network::Private) {
        if let Some(address) = port.address().filter(|_| options.ports.iter().any(|port| port.host == 0)) {
            progress.warn(&format!("port {} of the container is published at {address}", port.container()));
        }
    }
    let name = match &options.name {
        Some(name) => checked_name(name)?,
        None => random_name()?,
    };
    let scratch = Scratch::new(&options.state.join("containers"), &name)?;
    let unpacked = match can_be_stacked(&options.state) {
        true => unpack_image(image, &options.cache, progress.as_ref())?,
        false => unpack_flat(image, scratch.directory("root")?, progress.as_ref())?,
    };
    let cgroups = limited(&name, options, progress.as_ref());
    let terminal = if options.terminal { Some(Terminal::open()?) } else { None };
    let container = Container {
        image,
        options,
        unpacked: &unpacked,
        scratch: &scratch,
        name: &name,
        terminal: terminal.as_ref(),
        cgroups: cgroups.directories(),
    };
    let signals = Signals::catch()?;
    let (mut child, outside) = start(&container, progress.as_ref())?;
    let console = terminal.map(|terminal| Console { master: terminal.master, input: options.interactive });
    let stop = stop_signal(image.config.config.stop_signal.as_deref(), progress.as_ref());
    let published = match options.network {
        Network::Private => Some(ports::publish(listening, &child)?),
        Network::Host | Network::None => None,
    };
    let code = attend(&mut child, &signals, console.as_ref(), stop);
    drop((published, outside));
    code
}

/// Starts the container, with its way out if it has one.
fn start(container: &Container<'_>, progress: &dyn Progress) -> Result<(Child, Option<Outside>), RuntimeError> {
    let started = start_with(container, container.root()?, progress);
    if !matches!(started, Err(RuntimeError::Sandbox(sandbox::Error::Overlay { .. }))) {
        return started;
    }
    // An old kernel, or a file system that it cannot stack. A copy is slower, but the same.
    let unpacked = unpack_flat(container.image, container.scratch.directory("root")?, progress)?;
    let container = Container { unpacked: &unpacked, ..*container };
    start_with(&container, container.root()?, progress)
}

fn start_with(
    container: &Container<'_>,
    root: Root,
    progress: &dyn Progress,
) -> Result<(Child, Option<Outside>), RuntimeError> {
    if container.options.network != Network::Private {
        return Ok((container.sandbox(root, None)?.spawn().map_err(program_error)?, None));
    }
    let (tunnel, entrance) = Tunnel::new()?;
    let child = container.sandbox(root, Some(entrance))?.spawn().map_err(program_error)?;
    let outside = tunnel.device().map_err(io::Error::other).and_then(Outside::open);
    if let Err(error) = &outside {
        progress.warn(&format!("the container cannot reach other hosts: {error}; --network=host would let it"));
    }
    Ok((child, outside.ok()))
}

fn program_error(error: sandbox::Error) -> RuntimeError {
    match error {
        sandbox::Error::Execute { program, source } => {
            let program = program.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
            RuntimeError::Program { program, source }
        }
        error => RuntimeError::Sandbox(error),
    }
}

/// Says which options have no effect together.
fn check(options: &RunOptions, progress: &dyn Progress) {
    if !options.ports.is_empty() && options.network != Network::Private {
        progress.warn("published ports have no effect without a network of the container's own");
    }
    if options.volumes.iter().any(|volume| options.tmpfs.iter().any(|tmpfs| tmpfs.target == volume.target)) {
        progress.warn("a volume hides the directory in memory at the same place");
    }
}

/// The signal that the image wants to be stopped by: `SIGQUIT`, `QUIT` or a number.
fn stop_signal(text: Option<&str>, progress: &dyn Progress) -> Signal {
    let Some(text) = text else { return Signal::TERM };
    let known = [
        ("HUP", Signal::HUP),
        ("INT", Signal::INT),
        ("QUIT", Signal::QUIT),
        ("KILL", Signal::KILL),
        ("USR1", Signal::USR1),
        ("USR2", Signal::USR2),
        ("TERM", Signal::TERM),
        ("WINCH", Signal::WINCH),
    ];
    let name = text.strip_prefix("SIG").unwrap_or(text);
    let number = text.parse().ok();
    match known.iter().find(|(known, signal)| *known == name || Some(signal.as_raw()) == number) {
        Some((_, signal)) => *signal,
        None => {
            progress.warn(&format!("the image's stop signal '{text}' is not known here; SIGTERM is used"));
            Signal::TERM
        }
    }
}

/// A name becomes a host name, and that of a directory.
fn checked_name(name: &str) -> Result<String, RuntimeError> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    match first && name.len() <= 63 && name.bytes().all(fits) {
        true => Ok(name.to_owned()),
        false => Err(RuntimeError::Option(format!(
            "'{name}' is no name for a container: it takes at most 63 letters, digits, '-', '_' and '.', a letter or \
             digit first"
        ))),
    }
}

fn random_name() -> Result<String, RuntimeError> {
    let mut bytes = [0; 6];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .map_err(RuntimeError::file("read", "/dev/urandom"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
