//! Running commands on an image's root, in it or beside it.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use build::{BuiltinContext, BuiltinError};
use nix_formats::store_path::StorePath;
use sandbox::{
    Capabilities, Ending, Entry, Exit, IdMap, Identity, Mount, Network, Root, Sandbox, Seccomp, StandardStreams, Watch,
    guarded_processes, standard_devices,
};
use serde::Deserialize;

use crate::error::{ImageError, io_error};
use crate::objects::Objects;
use crate::ownership::Ownership;

/// Where commands beside the image find its root.
const BESIDE: &str = "/build/layer";
/// Where the script and the record of owners are for the commands: in `/dev`, which is never part of an image.
const SCRIPT: &str = "/dev/wharf/commands";
const RECORD: &str = "/dev/wharf/ownership";
/// As much memory as `/dev` may take.
const DEVICES_SIZE: u64 = 1 << 20;

/// Where commands run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Place {
    /// With the image's root as their own.
    Inside,
    /// In an empty system, the image's root being the current directory.
    Beside,
}

/// The surroundings of commands.
pub(super) struct Commands<'a> {
    context: &'a BuiltinContext<'a>,
    shell: &'a Path,
    root: &'a Path,
    tmp: bool,
    objects: Objects,
    stage: PathBuf,
}

impl<'a> Commands<'a> {
    /// Commands that `shell` runs on the tree at `root`, which gets a `/tmp` if `tmp`.
    pub fn new(
        context: &'a BuiltinContext<'a>,
        shell: &'a Path,
        root: &'a Path,
        tmp: bool,
    ) -> Result<Self, BuiltinError> {
        let stage = context.scratch.join("stage");
        fs::create_dir(&stage).map_err(io_error(format!("cannot make {}", stage.display())))?;
        let objects = Objects::of_store(context.store, &context.output("out")?.path);
        Ok(Self { context, shell, root, tmp, objects, stage })
    }

    /// The store objects that commands see.
    pub fn objects(&self) -> impl Iterator<Item = &'a StorePath> {
        self.context.input_closure.iter()
    }

    /// Runs one script; who owns what afterwards, as far as it was said.
    pub fn run(&self, place: Place, text: &str) -> Result<Ownership, BuiltinError> {
        let (script, record) = (self.context.scratch.join("commands"), self.context.scratch.join("ownership"));
        fs::write(&script, text).map_err(io_error(format!("cannot write {}", script.display())))?;
        File::create(&record).map_err(io_error(format!("cannot write {}", record.display())))?;
        let (output, input) = std::io::pipe().map_err(io_error("cannot make a pipe"))?;
        let mut child = self.sandbox(place, input.into(), &script, &record)?.spawn()?;
        let mut lines = Lines { context: self.context, partial: Vec::new() };
        let ending =
            child.follow(output.into(), &Watch::default(), self.context.cancelled, &mut |bytes| lines.take(bytes))?;
        lines.end();
        if ending != Ending::Exit(Exit::Status(0)) {
            return Err(format!("the commands that run {} {}", place.describe(), describe(ending)).into());
        }
        let written = fs::read(&record).map_err(io_error(format!("cannot read {}", record.display())))?;
        Ok(Ownership::parse(&written, Path::new(place.root()))?)
    }

    fn sandbox(&self, place: Place, output: OwnedFd, script: &Path, record: &Path) -> Result<Sandbox, BuiltinError> {
        let null = File::open("/dev/null").map_err(io_error("cannot open /dev/null"))?;
        let error = output.try_clone().map_err(io_error("cannot copy a descriptor"))?;
        let environment = [
            ("HOME", "/homeless-shelter"),
            ("PATH", "/path-not-set"),
            ("TMPDIR", if self.has_tmp(place) { "/tmp" } else { "/dev/shm" }),
            ("SOURCE_DATE_EPOCH", "315532800"),
            ("WHARF_OWNERSHIP", RECORD),
        ];
        Ok(Sandbox {
            root: match place {
                Place::Inside => Root::Directory(self.root.to_owned()),
                Place::Beside => Root::Tmpfs,
            },
            stage: self.stage.clone(),
            mounts: self.mounts(place, script, record)?,
            read_only_root: false,
            programs: vec![self.shell.to_owned()],
            arguments: vec![self.shell.into(), "-e".into(), SCRIPT.into()],
            environment: environment.into_iter().map(|(name, value)| (name.into(), value.into())).collect(),
            directory: place.root().into(),
            identity: Identity { user: 0, group: 0, groups: Vec::new() },
            // One id, whoever builds: an image must not depend on how many ids its builder has.
            ids: IdMap::Single,
            network: Network::Private,
            tunnel: None,
            host_name: "localhost".to_owned(),
            cgroups: Vec::new(),
            limits: Vec::new(),
            seccomp: Seccomp::ContainerOneId,
            capabilities: Capabilities::CONTAINER,
            no_new_privileges: true,
            user_namespaces: false,
            fixed_addresses: true,
            streams: StandardStreams { input: null.into(), output, error },
            controlling_terminal: false,
        })
    }

    fn has_tmp(&self, place: Place) -> bool {
        self.tmp || place == Place::Beside
    }

    fn mounts(&self, place: Place, script: &Path, record: &Path) -> Result<Vec<Mount>, ImageError> {
        let mut mounts = vec![Mount::new("/dev", Entry::Tmpfs { mode: 0o755, size: Some(DEVICES_SIZE) })];
        mounts.extend(standard_devices(None));
        mounts.push(Mount::new("/dev/wharf", Entry::Directory(0o755)));
        mounts.push(Mount::read_only(script, SCRIPT));
        mounts.push(Mount::writable(record, RECORD));
        mounts.extend(guarded_processes());
        mounts.push(Mount::new("/sys", Entry::Sys));
        if self.has_tmp(place) {
            mounts.push(Mount::new("/tmp", Entry::Directory(0o1777)));
        }
        for object in self.objects() {
            mounts.push(self.object(object)?);
        }
        if place == Place::Beside {
            mounts.push(Mount::writable(self.root, BESIDE));
        }
        Ok(mounts)
    }

    fn object(&self, object: &StorePath) -> Result<Mount, ImageError> {
        let (real, target) = (self.objects.real_path(object), object.to_absolute());
        match fs::read_link(&real) {
            Ok(to) => Ok(Mount::new(target, Entry::Symlink(to))),
            Err(error) if error.kind() == ErrorKind::InvalidInput => Ok(Mount::read_only(real, target)),
            Err(error) => Err(io_error(format!("cannot read {target}"))(error)),
        }
    }
}

impl Place {
    /// The path of the image's root for the commands.
    fn root(self) -> &'static str {
        match self {
            Self::Inside => "/",
            Self::Beside => BESIDE,
        }
    }

    fn describe(self) -> &'static str {
        match self {
            Self::Inside => "as root of the image",
            Self::Beside => "on the image's tree",
        }
    }
}

fn describe(ending: Ending) -> String {
    match ending {
        Ending::Exit(Exit::Status(status)) => format!("exited with status {status}"),
        Ending::Exit(Exit::Signal(signal)) => format!("were killed by signal {signal}"),
        Ending::Cancelled => "were given up".to_owned(),
        Ending::TooLong(_) | Ending::TooSilent(_) | Ending::TooMuch(_) => "were killed".to_owned(),
    }
}

/// Cuts what commands write into lines for the log.
struct Lines<'a> {
    context: &'a BuiltinContext<'a>,
    partial: Vec<u8>,
}

impl Lines<'_> {
    fn take(&mut self, bytes: &[u8]) {
        let mut lines = bytes.split(|byte| *byte == b'\n');
        let last = lines.next_back().unwrap_or_default();
        for line in lines {
            self.partial.extend_from_slice(line);
            self.end_line();
        }
        self.partial.extend_from_slice(last);
        if self.partial.len() > 64 << 10 {
            self.end_line();
        }
    }

    fn end_line(&mut self) {
        self.context.log(&String::from_utf8_lossy(&std::mem::take(&mut self.partial)));
    }

    fn end(&mut self) {
        if !self.partial.is_empty() {
            self.end_line();
        }
    }
}
