//! Limits of memory and processes, by the kernel's control groups, of the first or the second version.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Where control groups are mounted, by convention everywhere.
const ROOT: &str = "/sys/fs/cgroup";

/// What a process and its descendants may have together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// The most memory in bytes.
    pub memory: Option<u64>,
    /// The most processes.
    pub processes: Option<u64>,
}

/// The control groups of one sandbox, removed with this.
#[derive(Debug, Default)]
pub struct Cgroups {
    directories: Vec<PathBuf>,
}

impl Cgroups {
    /// Makes the groups that the limits need. Of a limit that cannot be set `refused` is told, with the controller, `memory`
    /// or `pids`.
    pub fn new(name: &str, limits: Limits, refused: &mut dyn FnMut(&str, &io::Error)) -> Cgroups {
        let mut cgroups = Cgroups::default();
        let wanted = [
            ("memory", limits.memory, "memory.max", "memory.limit_in_bytes"),
            ("pids", limits.processes, "pids.max", "pids.max"),
        ];
        for (controller, limit, second, first) in wanted {
            let Some(limit) = limit else { continue };
            let result = match Path::new(ROOT).join("cgroup.controllers").exists() {
                true => cgroups.limit(&unified_parent(), name, second, limit),
                false => cgroups.limit(&version_one_parent(controller), name, first, limit),
            };
            if let Err(error) = result {
                refused(controller, &error);
            }
        }
        cgroups
    }

    /// The directories that the process is to be put into.
    pub fn directories(&self) -> &[PathBuf] {
        &self.directories
    }

    fn limit(&mut self, parent: &io::Result<PathBuf>, name: &str, file: &str, limit: u64) -> io::Result<()> {
        let parent = parent.as_ref().map_err(|error| io::Error::new(error.kind(), error.to_string()))?;
        let directory = parent.join(format!("wharf-{name}"));
        let known = self.directories.contains(&directory);
        match fs::create_dir(&directory) {
            // The second limit of the same group, or what a killed run has left.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => made?,
        }
        let result = fs::write(directory.join(file), limit.to_string());
        match (&result, known) {
            (Ok(()), false) => self.directories.push(directory),
            // Nothing is limited by it, so the process need not be in it.
            (Err(_), false) => drop(fs::remove_dir(&directory)),
            _ => {}
        }
        result
    }
}

impl Drop for Cgroups {
    fn drop(&mut self) {
        for directory in &self.directories {
            // Its processes are gone, so only another one of the same name could keep it.
            let _ = fs::remove_dir(directory);
        }
    }
}

/// The parent for new groups in the second version: the root's for root, who hands the controllers down; else the one
/// above our own, since a group with processes cannot have limited children.
fn unified_parent() -> io::Result<PathBuf> {
    if rustix::process::geteuid().is_root() {
        let controllers = Path::new(ROOT).join("cgroup.subtree_control");
        for controller in ["+memory", "+pids"] {
            // If it cannot be handed down, setting the limit says so.
            let _ = fs::write(&controllers, controller);
        }
        return Ok(ROOT.into());
    }
    let own = own_group("")?;
    Ok(own.parent().map_or(own.clone(), Path::to_path_buf))
}

fn version_one_parent(controller: &str) -> io::Result<PathBuf> {
    let own = own_group(controller)?;
    let inside = own.strip_prefix("/").unwrap_or(&own);
    let mounted = Path::new(ROOT).join(controller);
    let parent = mounted.join(inside);
    Ok(if parent.exists() { parent } else { mounted })
}

/// The group of this process for a controller, from `/proc/self/cgroup`: lines of `number:controllers:path`.
fn own_group(controller: &str) -> io::Result<PathBuf> {
    let text = fs::read_to_string("/proc/self/cgroup")?;
    let path = text.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        controllers.split(',').any(|known| known == controller).then_some(path)
    });
    let path = path.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
    match controller {
        "" => Ok(Path::new(ROOT).join(path.trim_start_matches('/'))),
        _ => Ok(path.into()),
    }
}
