//! Turns a [`Sandbox`] into the list of steps that the child takes, with every string made beforehand.

use std::ffi::{CString, OsStr};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};
use std::ptr;

use rustix::process::{Gid, Resource, Rlimit, Uid};

use crate::description::{Capabilities, Entry, IdMap, Identity, Mount, Network, Overlay, Root, Sandbox, Seccomp};
use crate::error::Error;
use crate::seccomp;
use crate::spawn::high;

/// What the child does, in order, and what it becomes.
pub(crate) struct Plan {
    pub steps: Vec<Step>,
    /// The program; without one the child exits with success after the last step.
    pub execute: Option<Execute>,
}

/// The arguments of `execve(2)`. The pointer lists end with a null and point into the strings beside them.
pub(crate) struct Execute {
    pub programs: Vec<CString>,
    pub argument_pointers: Vec<*const libc::c_char>,
    pub environment_pointers: Vec<*const libc::c_char>,
    _arguments: Vec<CString>,
    _environment: Vec<CString>,
}

/// A path inside the root, in the forms in which system calls take it.
pub(crate) struct InRoot {
    pub whole: CString,
    pub parent: CString,
    pub name: CString,
}

/// One step of the child. Each maps to a few system calls.
pub(crate) enum Step {
    NewSession,
    LoopbackUp,
    Tunnel(OwnedFd),
    HostName(Vec<u8>),
    NoUserNamespaces,
    PrivateMounts,
    TmpfsRoot { stage: CString },
    DirectoryRoot { source: CString, stage: CString },
    OverlayRoot { base: CString, options: CString, stage: CString },
    OpenRoot { stage: CString },
    MakeDirectory { at: InRoot, mode: u32 },
    WriteFile { at: InRoot, contents: Vec<u8>, mode: u32 },
    MakeSymlink { at: InRoot, to: CString },
    Bind { source: CString, at: InRoot, directory: bool, writable: bool },
    KeepWritable { at: InRoot },
    FileSystem { kind: FileSystem, at: InRoot, options: Vec<(CString, CString)> },
    ReadOnlyRoot,
    Pivot,
    ChangeDirectory(CString),
    Limit(Resource, Rlimit),
    BoundCapabilities(Capabilities),
    NoNewPrivileges,
    Seccomp(Vec<libc::sock_filter>),
    Groups(Vec<Gid>),
    Become(Uid, Gid),
    DieWithParent,
    ControllingTerminal,
    FixedAddresses,
}

/// A file system that a user namespace may mount.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileSystem {
    Tmpfs,
    Proc,
    Terminals,
    Sys,
}

impl Plan {
    pub fn new(sandbox: &Sandbox) -> Result<Plan, Error> {
        let mut steps = vec![Step::NewSession];
        if matches!(sandbox.root, Root::Machine) {
            machine_steps(sandbox, &mut steps)?;
        } else {
            namespace_steps(sandbox, &mut steps)?;
        }
        // Last, so that the directory is entered with the rights of the program.
        steps.push(Step::ChangeDirectory(c_path(&sandbox.directory)?));
        Ok(Plan { steps, execute: Some(Execute::new(sandbox)?) })
    }

    /// Only the steps that a policy of the machine may forbid.
    pub fn probe() -> Plan {
        Plan {
            steps: vec![Step::LoopbackUp, Step::HostName(b"localhost".to_vec()), Step::PrivateMounts],
            execute: None,
        }
    }
}

/// What is done in namespaces.
fn namespace_steps(sandbox: &Sandbox, steps: &mut Vec<Step>) -> Result<(), Error> {
    if sandbox.network == Network::Private {
        steps.push(Step::LoopbackUp);
        if let Some(entrance) = &sandbox.tunnel {
            steps.push(Step::Tunnel(high(&entrance.0)?));
        }
    }
    steps.push(Step::HostName(sandbox.host_name.clone().into_bytes()));
    if !sandbox.user_namespaces && sandbox.ids != IdMap::Host {
        steps.push(Step::NoUserNamespaces);
    }
    steps.push(Step::PrivateMounts);
    let stage = c_path(&sandbox.stage)?;
    steps.push(root_step(&sandbox.root, stage.clone())?);
    steps.push(Step::OpenRoot { stage });
    for mount in &sandbox.mounts {
        mount_steps(mount, steps)?;
    }
    if sandbox.read_only_root {
        steps.push(Step::ReadOnlyRoot);
    }
    steps.push(Step::Pivot);
    privilege_steps(sandbox, steps);
    Ok(())
}

/// What is done without namespaces: rights are taken away as far as that needs none.
fn machine_steps(sandbox: &Sandbox, steps: &mut Vec<Step>) -> Result<(), Error> {
    if !sandbox.mounts.is_empty() || sandbox.ids != IdMap::Host {
        return Err(Error::Description("a process without namespaces has no mounts and no ids of its own".to_owned()));
    }
    privilege_steps(sandbox, steps);
    Ok(())
}

fn root_step(root: &Root, stage: CString) -> Result<Step, Error> {
    Ok(match root {
        Root::Machine | Root::Tmpfs => Step::TmpfsRoot { stage },
        Root::Directory(source) => Step::DirectoryRoot { source: c_path(source)?, stage },
        Root::Overlay(overlay) => {
            Step::OverlayRoot { base: c_path(&overlay.base)?, options: overlay_options(overlay)?, stage }
        }
    })
}

/// The options of `mount -t overlay`. `userxattr` is what lets an ordinary user's namespace mount it.
fn overlay_options(overlay: &Overlay) -> Result<CString, Error> {
    let mut options = b"userxattr,lowerdir=".to_vec();
    for (index, layer) in overlay.lower.iter().enumerate() {
        if index > 0 {
            options.push(b':');
        }
        options.extend(plain_option(layer)?);
    }
    options.extend(b",upperdir=");
    options.extend(plain_option(&overlay.upper)?);
    options.extend(b",workdir=");
    options.extend(plain_option(&overlay.work)?);
    if options.len() >= 4096 {
        return Err(Error::Description(format!(
            "{} overlay layers do not fit into the one page that mount(2) has for options",
            overlay.lower.len()
        )));
    }
    c_string(options)
}

/// A path as an overlay option, in which `:`, `,` and `\` have a meaning.
fn plain_option(path: &Path) -> Result<&[u8], Error> {
    let bytes = path.as_os_str().as_bytes();
    match bytes.iter().find(|byte| matches!(byte, b':' | b',' | b'\\')) {
        None => Ok(bytes),
        Some(byte) => Err(Error::Description(format!(
            "the path {} has a '{}', which overlayfs cannot take",
            path.display(),
            char::from(*byte)
        ))),
    }
}

fn mount_steps(mount: &Mount, steps: &mut Vec<Step>) -> Result<(), Error> {
    let at = InRoot::new(&mount.target)?;
    parent_steps(&mount.target, steps)?;
    let step = match &mount.entry {
        Entry::Directory(mode) => Step::MakeDirectory { at, mode: *mode },
        Entry::File(contents, mode) => Step::WriteFile { at, contents: contents.clone(), mode: *mode },
        Entry::Symlink(to) => Step::MakeSymlink { at, to: c_path(to)? },
        Entry::Bind { source, writable } => {
            let metadata = source.metadata().map_err(|error| Error::Setup {
                step: format!("find {}, which is to be mounted at {},", source.display(), mount.target.display()),
                source: error,
            })?;
            Step::Bind { source: c_path(source)?, at, directory: metadata.is_dir(), writable: *writable }
        }
        Entry::Tmpfs { mode, size } => {
            let mut options = vec![option("mode", format!("{mode:o}"))?];
            if let Some(size) = size {
                options.push(option("size", size.to_string())?);
            }
            Step::FileSystem { kind: FileSystem::Tmpfs, at, options }
        }
        Entry::Writable => Step::KeepWritable { at },
        Entry::Proc => Step::FileSystem { kind: FileSystem::Proc, at, options: Vec::new() },
        Entry::Terminals => {
            let options = vec![option("mode", "0620")?, option("ptmxmode", "0666")?];
            Step::FileSystem { kind: FileSystem::Terminals, at, options }
        }
        Entry::Sys => Step::FileSystem { kind: FileSystem::Sys, at, options: Vec::new() },
    };
    steps.push(step);
    Ok(())
}

/// Makes the missing directories above `target`; those that an earlier step sees to are skipped.
fn parent_steps(target: &Path, steps: &mut Vec<Step>) -> Result<(), Error> {
    let mut missing: Vec<&Path> = target.ancestors().skip(1).filter(|path| path.parent().is_some()).collect();
    missing.reverse();
    for directory in missing {
        let at = InRoot::new(directory)?;
        let made = steps.iter().rev().take(64).any(|step| match step {
            Step::MakeDirectory { at: earlier, .. } => earlier.whole == at.whole,
            Step::Bind { at: earlier, .. } | Step::MakeSymlink { at: earlier, .. } => earlier.parent == at.whole,
            _ => false,
        });
        if !made {
            steps.push(Step::MakeDirectory { at, mode: 0o755 });
        }
    }
    Ok(())
}

fn privilege_steps(sandbox: &Sandbox, steps: &mut Vec<Step>) {
    steps.extend(sandbox.limits.iter().map(|(resource, limit)| Step::Limit(*resource, *limit)));
    if sandbox.fixed_addresses {
        steps.push(Step::FixedAddresses);
    }
    if sandbox.controlling_terminal {
        steps.push(Step::ControllingTerminal);
    }
    // An ordinary user has none to lose, and nobody gains any who may not gain privileges.
    let can = !matches!(sandbox.root, Root::Machine) || rustix::process::geteuid().is_root();
    if can {
        steps.push(Step::BoundCapabilities(sandbox.capabilities));
    }
    let filter = match sandbox.seccomp {
        Seccomp::Off => None,
        rules => Some(Step::Seccomp(seccomp::filter(rules))),
    };
    // A filter may be loaded with "no new privileges" by anybody, else only with the privileges that `Become` gives up.
    if sandbox.no_new_privileges {
        become_steps(&sandbox.identity, &sandbox.ids, steps);
        steps.push(Step::NoNewPrivileges);
        steps.extend(filter);
    } else {
        steps.extend(filter);
        become_steps(&sandbox.identity, &sandbox.ids, steps);
    }
}

fn become_steps(identity: &Identity, ids: &IdMap, steps: &mut Vec<Step>) {
    if *ids != IdMap::Single {
        steps.push(Step::Groups(identity.groups.iter().map(|group| Gid::from_raw(*group)).collect()));
    }
    steps.push(Step::Become(Uid::from_raw(identity.user), Gid::from_raw(identity.group)));
    // Changing ids clears it.
    steps.push(Step::DieWithParent);
}

impl Execute {
    fn new(sandbox: &Sandbox) -> Result<Execute, Error> {
        let arguments: Vec<CString> = sandbox
            .arguments
            .iter()
            .map(|argument| c_string(argument.as_bytes().to_vec()))
            .collect::<Result<_, _>>()?;
        let environment: Vec<CString> = sandbox
            .environment
            .iter()
            .map(|(name, value)| c_string([name.as_bytes(), b"=", value.as_bytes()].concat()))
            .collect::<Result<_, _>>()?;
        Ok(Execute {
            programs: sandbox.programs.iter().map(|program| c_path(program)).collect::<Result<_, _>>()?,
            argument_pointers: pointers(&arguments),
            environment_pointers: pointers(&environment),
            _arguments: arguments,
            _environment: environment,
        })
    }
}

impl InRoot {
    fn new(path: &Path) -> Result<InRoot, Error> {
        let plain = path.is_absolute()
            && path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
        match (plain, path.parent(), path.file_name()) {
            (true, Some(parent), Some(name)) => {
                Ok(InRoot { whole: c_path(path)?, parent: c_path(parent)?, name: c_path(Path::new(name))? })
            }
            _ => Err(Error::Description(format!(
                "{} is not a place inside the root: an absolute path without '..' is needed",
                path.display()
            ))),
        }
    }
}

fn pointers(strings: &[CString]) -> Vec<*const libc::c_char> {
    strings.iter().map(|string| string.as_ptr()).chain([ptr::null()]).collect()
}

fn option(key: &str, value: impl Into<Vec<u8>>) -> Result<(CString, CString), Error> {
    Ok((c_string(key.as_bytes().to_vec())?, c_string(value.into())?))
}

fn c_path(path: &Path) -> Result<CString, Error> {
    c_string(path.as_os_str().as_bytes().to_vec())
}

fn c_string(bytes: Vec<u8>) -> Result<CString, Error> {
    CString::new(bytes).map_err(|error| {
        let text = error.into_vec();
        Error::Description(format!("{:?} contains a NUL byte, which the kernel cannot take", OsStr::from_bytes(&text)))
    })
}

impl Step {
    /// Whether it only needs what every new namespace gives. That it is refused is then a policy of the machine, such as
    /// AppArmor's, which lets namespaces be made but takes all rights in them away.
    pub fn is_early(&self) -> bool {
        matches!(self, Step::LoopbackUp | Step::HostName(_) | Step::NoUserNamespaces | Step::PrivateMounts)
    }

    /// The step as a verb phrase, for an error.
    pub fn describe(&self) -> String {
        match self {
            Step::NewSession => "start a session".into(),
            Step::LoopbackUp => "bring the loopback interface up".into(),
            Step::Tunnel(_) => "make the way out of the network".into(),
            Step::HostName(_) => "set the host name".into(),
            Step::NoUserNamespaces => "forbid user namespaces".into(),
            Step::PrivateMounts => "make the mounts private".into(),
            Step::TmpfsRoot { stage } => format!("mount a root in memory at {}", text(stage)),
            Step::DirectoryRoot { source, .. } => format!("mount {} as the root", text(source)),
            Step::OverlayRoot { base, .. } => {
                format!("stack the layers in {} as an overlay root", text(base))
            }
            Step::OpenRoot { stage } => format!("open the root at {}", text(stage)),
            Step::MakeDirectory { at, .. } => format!("make the directory {}", text(&at.whole)),
            Step::WriteFile { at, .. } => format!("write the file {}", text(&at.whole)),
            Step::MakeSymlink { at, .. } => format!("make the symbolic link {}", text(&at.whole)),
            Step::Bind { source, at, .. } => {
                format!("mount {} at {}", text(source), text(&at.whole))
            }
            Step::KeepWritable { at } => format!("keep {} writable", text(&at.whole)),
            Step::FileSystem { at, .. } => format!("mount a file system at {}", text(&at.whole)),
            Step::ReadOnlyRoot => "make the root read-only".into(),
            Step::Pivot => "enter the new root".into(),
            Step::ChangeDirectory(path) => format!("change to the directory {}", text(path)),
            Step::Limit(resource, _) => format!("set the resource limit {resource:?}"),
            Step::BoundCapabilities(_) => "drop capabilities".into(),
            Step::NoNewPrivileges => "forbid new privileges".into(),
            Step::Seccomp(_) => "filter system calls".into(),
            Step::Groups(_) => "set the supplementary groups".into(),
            Step::Become(user, group) => {
                format!("become user {} and group {}", user.as_raw(), group.as_raw())
            }
            Step::DieWithParent => "tie its life to its parent's".into(),
            Step::ControllingTerminal => "take the terminal".into(),
            Step::FixedAddresses => "turn off address randomisation".into(),
        }
    }
}

fn text(string: &CString) -> String {
    string.to_string_lossy().into_owned()
}
