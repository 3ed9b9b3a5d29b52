//! From an image and options to the description of a sandbox.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use image::Image;
use nix_formats::store_path::StorePath;
use sandbox::{
    Capabilities, Entry, IdMap, Identity, Mount, Overlay, Root, Sandbox, Seccomp, StandardStreams, Terminal,
    TunnelEntrance, guarded_processes, standard_devices,
};

use crate::attend::own_stream;
use crate::command;
use crate::error::RuntimeError;
use crate::layers::Unpacked;
use crate::options::{Network, RunOptions, Volume, VolumeSource};
use crate::outside;
use crate::scratch::Scratch;
use crate::user::{self, User};

/// The number of the capability to make device nodes.
const CAP_MKNOD: u32 = 27;

/// Everything that a container is made of.
#[derive(Clone, Copy)]
pub(crate) struct Container<'a> {
    pub image: &'a Image,
    pub options: &'a RunOptions,
    pub unpacked: &'a Unpacked,
    /// The container's own directory.
    pub scratch: &'a Scratch,
    pub name: &'a str,
    pub terminal: Option<&'a Terminal>,
    pub cgroups: &'a [PathBuf],
}

impl Container<'_> {
    /// The root: the layers in a stack with a writable one on top, or the one directory that has them all.
    pub fn root(&self) -> Result<Root, RuntimeError> {
        match self.unpacked.layers.first() {
            Some(directory) if self.unpacked.flat => Ok(Root::Directory(directory.clone())),
            _ => self.overlay(),
        }
    }

    fn overlay(&self) -> Result<Root, RuntimeError> {
        let links = self.scratch.directory("layers")?;
        let (upper, work) = (self.scratch.directory("upper")?, self.scratch.directory("work")?);
        let mut lower = Vec::new();
        // By short links, since the kernel has one page for all names.
        for (number, layer) in self.unpacked.layers.iter().enumerate() {
            let link = links.join(number.to_string());
            std::os::unix::fs::symlink(layer, &link).map_err(RuntimeError::file("make the link", &link))?;
            lower.push(PathBuf::from(number.to_string()));
        }
        if lower.is_empty() {
            let empty = links.join("0");
            fs::create_dir(&empty).map_err(RuntimeError::file("create the directory", &empty))?;
            lower.push("0".into());
        }
        Ok(Root::Overlay(Overlay { base: links, lower, upper, work }))
    }

    /// The description of the sandbox with this root.
    pub fn sandbox(&self, root: Root, tunnel: Option<TunnelEntrance>) -> Result<Sandbox, RuntimeError> {
        let (config, options) = (&self.image.config.config, self.options);
        let user = self.user()?;
        let arguments = command::arguments(config, options)?;
        let environment = command::environment(config, options, &user.home, self.name);
        let directory = options.directory.as_deref().or(config.working_dir.as_deref()).unwrap_or("");
        let directory = Path::new("/").join(directory);
        let own_ids = IdMap::own();
        let many = own_ids.is_some();
        Ok(Sandbox {
            root,
            stage: self.stage()?,
            mounts: self.mounts(&directory, &user.identity)?,
            read_only_root: options.read_only,
            programs: command::programs(&arguments[0], &environment),
            arguments: arguments.into_iter().map(Into::into).collect(),
            environment: environment.into_iter().map(|(name, value)| (name.into(), value.into())).collect(),
            directory,
            identity: user.identity,
            ids: ids(own_ids, options.network),
            network: match options.network {
                Network::Private => sandbox::Network::Private,
                Network::Host => sandbox::Network::Host,
                Network::None => sandbox::Network::None,
            },
            tunnel,
            host_name: self.name.to_owned(),
            cgroups: self.cgroups.to_vec(),
            limits: Vec::new(),
            seccomp: if many { Seccomp::Container } else { Seccomp::ContainerOneId },
            capabilities: match options.network {
                // In the host's own user namespace a device node would be a real one.
                Network::Host => Capabilities(Capabilities::CONTAINER.0 & !(1 << CAP_MKNOD)),
                _ => Capabilities::CONTAINER,
            },
            no_new_privileges: false,
            user_namespaces: !many,
            fixed_addresses: false,
            streams: self.streams()?,
            controlling_terminal: self.terminal.is_some(),
        })
    }

    fn stage(&self) -> Result<PathBuf, RuntimeError> {
        let stage = self.scratch.path().join("stage");
        fs::create_dir_all(&stage).map_err(RuntimeError::file("create the directory", &stage))?;
        Ok(stage)
    }

    fn user(&self) -> Result<User, RuntimeError> {
        let text = self.options.user.as_deref().or(self.image.config.config.user.as_deref()).unwrap_or("");
        let read = |path: &str| self.unpacked.read(Path::new(path)).unwrap_or_default();
        user::resolve(text, &read("/etc/passwd"), &read("/etc/group"))
    }

    fn streams(&self) -> Result<StandardStreams, RuntimeError> {
        let failed = || RuntimeError::file("pass on", "the standard streams");
        if let Some(terminal) = self.terminal {
            let copy = || terminal.slave.try_clone().map_err(failed());
            return Ok(StandardStreams { input: copy()?, output: copy()?, error: copy()? });
        }
        let input = match self.options.interactive {
            true => own_stream(rustix::stdio::stdin()),
            false => File::open("/dev/null").map(Into::into),
        };
        Ok(StandardStreams {
            input: input.map_err(failed())?,
            output: own_stream(rustix::stdio::stdout()).map_err(failed())?,
            error: own_stream(rustix::stdio::stderr()).map_err(failed())?,
        })
    }

    fn mounts(&self, directory: &Path, identity: &Identity) -> Result<Vec<Mount>, RuntimeError> {
        let mut mounts = Vec::new();
        for (path, real) in &self.unpacked.objects {
            mounts.push(object_mount(path, real)?);
        }
        mounts.extend(guarded_processes());
        mounts.push(Mount::new("/sys", Entry::Sys));
        mounts.push(Mount::new("/dev", Entry::Tmpfs { mode: 0o755, size: Some(1 << 20) }));
        mounts.extend(standard_devices(None));
        if let Some(terminal) = self.terminal {
            mounts.push(Mount::writable(&terminal.path, "/dev/console"));
        }
        mounts.extend(self.network_files());
        mounts.push(Mount::new("/tmp", Entry::Directory(0o1777)));
        if directory != Path::new("/") {
            mounts.push(Mount::new(directory, Entry::Directory(0o755)));
        }
        for target in self.image.config.config.volumes.keys() {
            mounts.push(Mount::new(Path::new("/").join(target), Entry::Writable));
        }
        for tmpfs in &self.options.tmpfs {
            mounts.push(Mount::new(&tmpfs.target, Entry::Tmpfs { mode: 0o1777, size: tmpfs.size }));
        }
        for volume in &self.options.volumes {
            mounts.push(self.volume(volume, identity)?);
        }
        Ok(mounts)
    }

    fn volume(&self, volume: &Volume, identity: &Identity) -> Result<Mount, RuntimeError> {
        let source = match &volume.source {
            VolumeSource::Name(name) => named_volume(&self.options.state, name, identity)?,
            VolumeSource::Path(path) => {
                let problem = |error| {
                    RuntimeError::Option(format!(
                        "the volume '{}' cannot be mounted: {error}; create it first",
                        path.display()
                    ))
                };
                path.canonicalize().map_err(problem)?
            }
        };
        Ok(Mount::new(&volume.target, Entry::Bind { source, writable: !volume.read_only }))
    }

    /// The files by which programs find names.
    fn network_files(&self) -> Vec<Mount> {
        let file = |path: &str, text: String| Mount::new(path, Entry::File(text.into_bytes(), 0o644));
        let host = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let own = format!("127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n127.0.0.1 {}\n", self.name);
        let (hosts, resolver) = match self.options.network {
            Network::Host => (host("/etc/hosts") + &format!("127.0.0.1 {}\n", self.name), host("/etc/resolv.conf")),
            Network::Private => (own, outside::resolver_file(&host("/etc/resolv.conf"))),
            Network::None => (own, String::new()),
        };
        vec![
            file("/etc/hostname", format!("{}\n", self.name)),
            file("/etc/hosts", hosts),
            file("/etc/resolv.conf", resolver),
        ]
    }
}

/// The ids of the container. A user namespace has no rights over a network that is not its own, and root expects to
/// use low ports of the host's.
fn ids(own: Option<IdMap>, network: Network) -> IdMap {
    match own {
        None => IdMap::Single,
        Some(_) if network == Network::Host => IdMap::Host,
        Some(own) => own,
    }
}

fn object_mount(path: &StorePath, real: &Path) -> Result<Mount, RuntimeError> {
    let metadata = real.symlink_metadata().map_err(RuntimeError::file("find the store object", real))?;
    if metadata.is_symlink() {
        let to = fs::read_link(real).map_err(RuntimeError::file("read the store object", real))?;
        return Ok(Mount::new(path.to_absolute(), Entry::Symlink(to)));
    }
    Ok(Mount::read_only(real, path.to_absolute()))
}

/// The directory of a volume that outlives containers. A new one belongs to the container's user.
fn named_volume(state: &Path, name: &str, identity: &Identity) -> Result<PathBuf, RuntimeError> {
    let path = state.join("volumes").join(name);
    if !path.is_dir() {
        fs::create_dir_all(&path).map_err(RuntimeError::file("create the volume", &path))?;
        if IdMap::own().is_some() {
            std::os::unix::fs::chown(&path, Some(identity.user), Some(identity.group))
                .map_err(RuntimeError::file("set the owner of the volume", &path))?;
        }
    }
    Ok(path)
}
