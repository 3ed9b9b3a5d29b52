//! Running an ordinary builder: a program in a sandbox that sees its inputs and nothing else.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix_formats::STORE_DIR;
use nix_formats::store_path::StorePath;
use rustix::pipe::{PipeFlags, pipe_with};
use sandbox::{
    Capabilities, Cgroups, Ending, Entry, Exit, IdMap, Identity, Mount, Network, Root, Sandbox, Seccomp, Signal,
    StandardStreams, guarded_processes, standard_devices,
};

use crate::build_user::BuildUser;
use crate::confinement::Confinement;
use crate::environment::{BUILD_DIRECTORY, Environment, environment};
use crate::error::BuildError;
use crate::job::{Job, replace_placeholders};
use crate::log::BuildLog;
use crate::{graphs, machine_view, structured, unconfined};

/// The ids that Nix gives a builder in its sandbox.
const USER: u32 = 1000;
const GROUP: u32 = 100;

/// Runs the builder. Returns how it has failed, as a verb phrase, or nothing.
pub(crate) fn run(job: &Job<'_>, cancelled: &OwnedFd, log: &mut BuildLog<'_>) -> Result<Option<String>, BuildError> {
    for name in ["build", "tmp", "stage"] {
        let directory = job.directory.join(name);
        fs::create_dir(&directory).map_err(BuildError::file("create the directory", &directory))?;
    }
    set_mode(&job.directory.join("tmp"), 0o1777)?;
    set_mode(&job.directory.join("build"), 0o700)?;
    set_mode(&job.store_directory(), 0o1775)?;
    let environment = surroundings(job)?;
    write_files(job, &environment)?;
    let (output, input) = pipe_with(PipeFlags::CLOEXEC).map_err(BuildError::file("make a pipe for", "the log"))?;
    let user = build_user(job)?;
    if let Some(user) = &user {
        user.own(&[job.directory.join("build"), job.directory.join("tmp"), job.store_directory()])?;
        if job.is_unconfined() {
            let store = job.place.store.real_path(&job.node.path);
            unconfined::share_store(store.parent().unwrap_or(&store), user)?;
        }
        // Who opens /dev/stderr opens the pipe.
        std::os::unix::fs::fchown(&input, Some(user.user), Some(user.group))
            .map_err(BuildError::file("hand over", "the log"))?;
    }
    let cgroups = cgroups(job);
    let started = sandbox(job, environment, input, &cgroups, user.as_ref())?.spawn();
    let start_error = |source| BuildError::Start { derivation: job.node.path.clone(), source };
    let mut child = match started {
        Ok(child) => child,
        // The derivation's fault, and so a failure like any other.
        Err(sandbox::Error::Execute { source, .. }) => {
            let builder = String::from_utf8_lossy(&job.node.derivation.builder);
            return Ok(Some(format!("could not be executed: '{builder}': {source}{}", hint(job, &builder))));
        }
        Err(error) => return Err(start_error(error)),
    };
    let watch = &job.place.options.watch;
    let ending = child.follow(output, watch, Some(cancelled.as_fd()), &mut |bytes| log.write(bytes));
    match ending.map_err(start_error)? {
        Ending::Cancelled => Err(BuildError::Cancelled { derivation: job.node.path.clone() }),
        ending => Ok(describe(ending, job)),
    }
}

/// Whom the builder runs as, if not as we do. One that sees the machine is to have our rights on it.
fn build_user(job: &Job<'_>) -> Result<Option<BuildUser>, BuildError> {
    match &job.place.options.build_users_group {
        Some(group) if !job.open => {
            BuildUser::acquire(group, &job.place.kept.with_file_name("userpool"), job.is_unconfined())
        }
        _ => Ok(None),
    }
}

/// The control groups for the limits. Where there are none, that is said once, and builders run without.
fn cgroups(job: &Job<'_>) -> Cgroups {
    let name = format!("build-{}-{}", std::process::id(), job.node.path.hash_part());
    Cgroups::new(&name, job.place.options.limits, &mut |controller, error| {
        job.place.told_of_limits.call_once(|| {
            job.place.progress.warn(&format!(
                "builders are not limited: there is no control group for {controller} that may be written ({error})"
            ));
        });
    })
}

fn describe(ending: Ending, job: &Job<'_>) -> Option<String> {
    Some(match ending {
        Ending::Exit(Exit::Status(0)) => return None,
        Ending::Exit(Exit::Status(status)) => format!("exited with status {status}"),
        Ending::Exit(Exit::Signal(signal)) => {
            let limit = job.place.options.limits.memory.filter(|_| signal == Signal::KILL.as_raw());
            let why = limit.map(|limit| format!(", as one that takes more than {limit} bytes of memory is"));
            format!("was killed by signal {signal}{}", why.unwrap_or_default())
        }
        Ending::TooLong(limit) => format!("was killed after {} seconds, the limit for a build", limit.as_secs()),
        Ending::TooSilent(limit) => format!("was killed after {} seconds of silence", limit.as_secs()),
        Ending::TooMuch(limit) => format!("was killed after {limit} bytes of log"),
        Ending::Cancelled => "was given up".to_owned(),
    })
}

/// What may be the reason when a builder that ought to be there is not found.
fn hint(job: &Job<'_>, builder: &str) -> String {
    match StorePath::split_absolute(builder.as_bytes()) {
        Ok((path, _)) if !job.inputs.contains(&path) => {
            "; it is not among the inputs, as the reference in the derivation lacks its context".to_owned()
        }
        Ok(_) => String::new(),
        Err(_) if builder == "/bin/sh" => String::new(),
        Err(_) if job.is_unconfined() => String::new(),
        Err(_) => "; a builder must be in the store, since the sandbox has nothing else but /bin/sh".to_owned(),
    }
}

fn surroundings(job: &Job<'_>) -> Result<Environment, BuildError> {
    let store = &*job.place.store;
    let graphs = graphs::exported(store, &job.node.path, &job.rules, &job.inputs)?;
    let options = &job.place.options;
    let directory = build_directory(job);
    let directory = directory.to_string_lossy();
    if let Some(attributes) = &job.attributes.structured {
        let graphs = graphs::as_json(store, &graphs)?;
        let documents = structured::documents(attributes, job.node.outputs.iter(), graphs);
        let (none, documents) = (BTreeMap::new(), Some(&documents));
        return Ok(environment(&job.attributes, &job.rules, options, job.fixed, none, documents, &directory));
    }
    let mut texts = BTreeMap::new();
    for (name, paths) in graphs {
        texts.insert(name, graphs::as_text(store, &paths)?);
    }
    Ok(environment(&job.attributes, &job.rules, options, job.fixed, texts, None, &directory))
}

/// The build directory, as the builder sees it.
fn build_directory(job: &Job<'_>) -> PathBuf {
    match job.is_unconfined() {
        true => job.directory.join("build"),
        false => BUILD_DIRECTORY.into(),
    }
}

fn write_files(job: &Job<'_>, environment: &Environment) -> Result<(), BuildError> {
    for (name, contents) in &environment.files {
        let path = job.directory.join("build").join(OsStr::from_bytes(name));
        let mut file = File::options()
            .write(true)
            .create_new(true)
            .mode(0o644)
            .open(&path)
            .map_err(BuildError::file("create the builder's file", &path))?;
        file.write_all(contents).map_err(BuildError::file("write the builder's file", &path))?;
    }
    Ok(())
}

fn sandbox(
    job: &Job<'_>,
    environment: Environment,
    output: OwnedFd,
    cgroups: &Cgroups,
    user: Option<&BuildUser>,
) -> Result<Sandbox, BuildError> {
    let derivation = &job.node.derivation;
    let builder = replace_placeholders(&derivation.builder, &job.node.outputs);
    let program = PathBuf::from(OsStr::from_bytes(&builder));
    if !program.is_absolute() {
        return Err(BuildError::Derivation {
            derivation: job.node.path.clone(),
            problem: format!("its builder '{}' is not an absolute path", program.display()),
        });
    }
    let arguments = derivation.args.iter().map(|argument| replace_placeholders(argument, &job.node.outputs));
    let name = program.file_name().unwrap_or_default().to_owned();
    let owned = |bytes: &[u8]| OsStr::from_bytes(bytes).to_owned();
    let null = File::open("/dev/null").map_err(BuildError::file("open", "/dev/null"))?;
    let error = output.try_clone().map_err(BuildError::file("copy a descriptor of", "the log"))?;
    let unconfined = job.is_unconfined();
    Ok(Sandbox {
        root: if unconfined { Root::Machine } else { Root::Tmpfs },
        stage: job.directory.join("stage"),
        mounts: mounts(job, &identity(job, user))?,
        // What is not for writing is not writable, even as the owner of everything in the namespace.
        read_only_root: true,
        arguments: [name].into_iter().chain(arguments.map(|argument| owned(&argument))).collect::<Vec<OsString>>(),
        programs: vec![program],
        environment: environment.variables.iter().map(|(name, value)| (owned(name), owned(value))).collect(),
        directory: build_directory(job),
        identity: identity(job, user),
        ids: match (job.confinement, user) {
            (Confinement::Full, Some(user)) => user.ids(USER, GROUP),
            (Confinement::Full, None) => IdMap::Single,
            _ => IdMap::Host,
        },
        network: if job.fixed || job.open { Network::Host } else { Network::Private },
        tunnel: None,
        host_name: "localhost".to_owned(),
        cgroups: cgroups.directories().to_vec(),
        limits: Vec::new(),
        seccomp: Seccomp::Builder,
        capabilities: Capabilities::NONE,
        no_new_privileges: true,
        // Where the builder's id is the host's root, a namespace of its own would show it an unguarded /proc.
        user_namespaces: user.is_some() || !rustix::process::geteuid().is_root(),
        fixed_addresses: true,
        streams: StandardStreams { input: null.into(), output, error },
        controlling_terminal: false,
    })
}

/// Who the builder is, in its own eyes.
fn identity(job: &Job<'_>, user: Option<&BuildUser>) -> Identity {
    match (job.confinement, user) {
        (Confinement::Full, _) if !job.open => Identity { user: USER, group: GROUP, groups: Vec::new() },
        (_, Some(user)) => Identity { user: user.user, group: user.group, groups: Vec::new() },
        _ => machine_view::identity(),
    }
}

fn mounts(job: &Job<'_>, identity: &Identity) -> Result<Vec<Mount>, BuildError> {
    if job.open {
        let path = job.node.path.to_absolute();
        job.place
            .progress
            .warn(&format!("'{path}' is built with a view of this machine, on which what it makes may depend"));
    }
    if job.is_unconfined() {
        return Ok(Vec::new());
    }
    if job.open {
        let mut mounts = machine_view::mounts()?;
        mounts.push(Mount::writable(job.directory.join("build"), BUILD_DIRECTORY));
        mounts.push(Mount::writable(job.store_directory(), STORE_DIR));
        for input in &job.inputs {
            mounts.push(input_mount(job, input)?);
        }
        return Ok(mounts);
    }
    let mut mounts = vec![
        Mount::writable(job.directory.join("tmp"), "/tmp"),
        Mount::writable(job.directory.join("build"), BUILD_DIRECTORY),
        Mount::writable(job.store_directory(), STORE_DIR),
    ];
    mounts.extend(guarded_processes());
    mounts.extend(standard_devices(None));
    if job.rules.features.contains("kvm") && Path::new("/dev/kvm").exists() {
        mounts.push(Mount::writable("/dev/kvm", "/dev/kvm"));
    }
    mounts.extend(etc(job, identity));
    if let Some(shell) = &job.place.options.shell {
        mounts.push(Mount::read_only(shell, "/bin/sh"));
    }
    for input in &job.inputs {
        mounts.push(input_mount(job, input)?);
    }
    Ok(mounts)
}

fn input_mount(job: &Job<'_>, input: &StorePath) -> Result<Mount, BuildError> {
    let (real, target) = (job.place.store.real_path(input), input.to_absolute());
    let metadata = real.symlink_metadata().map_err(BuildError::file("find the input", &real))?;
    if !metadata.is_symlink() {
        return Ok(Mount::read_only(real, target));
    }
    let to = fs::read_link(&real).map_err(BuildError::file("read the input", &real))?;
    Ok(Mount::new(target, Entry::Symlink(to)))
}

/// The files of `/etc` that Nix puts there.
fn etc(job: &Job<'_>, &Identity { user, group, .. }: &Identity) -> Vec<Mount> {
    let file = |path: &str, text: String| Mount::new(path, Entry::File(text.into_bytes(), 0o644));
    let passwd = format!(
        "root:x:0:0:Nix build user:{BUILD_DIRECTORY}:/noshell\n\
         nixbld:x:{user}:{group}:Nix build user:{BUILD_DIRECTORY}:/noshell\n\
         nobody:x:65534:65534:Nobody:/:/noshell\n"
    );
    let group = format!("root:x:0:\nnixbld:!:{group}:\nnogroup:x:65534:\n");
    let mut mounts =
        vec![Mount::new("/etc", Entry::Directory(0o555)), file("/etc/passwd", passwd), file("/etc/group", group)];
    if !job.fixed {
        mounts.push(file("/etc/hosts", "127.0.0.1 localhost\n::1 localhost\n".to_owned()));
        return mounts;
    }
    mounts.push(file("/etc/nsswitch.conf", "hosts: files dns\nservices: files\n".to_owned()));
    let host = ["/etc/resolv.conf", "/etc/services", "/etc/hosts"].map(PathBuf::from);
    mounts.extend(host.into_iter().filter(|path| path.exists()).map(|path| Mount::read_only(path.clone(), path)));
    if let Some(certificates) = &job.place.options.certificates {
        mounts.push(Mount::read_only(certificates, "/etc/ssl/certs/ca-certificates.crt"));
    }
    mounts
}

/// Modes are set, not asked for, since the umask of the caller would take bits away.
pub(crate) fn set_mode(path: &Path, mode: u32) -> Result<(), BuildError> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(BuildError::file("set the mode of", path))
}
