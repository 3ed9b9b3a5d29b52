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
        if limits == Limits::default() {
            return Cgroups::default();
        }
        let membership = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let is_root = rustix::process::geteuid().is_root();
        let hierarchy = Hierarchy { root: ROOT.into(), membership, is_root };
        Cgroups::below(&hierarchy, name, limits, refused)
    }

    fn below(hierarchy: &Hierarchy, name: &str, limits: Limits, refused: &mut dyn FnMut(&str, &io::Error)) -> Cgroups {
        let mut cgroups = Cgroups::default();
        let wanted = [
            ("memory", limits.memory, "memory.max", "memory.limit_in_bytes"),
            ("pids", limits.processes, "pids.max", "pids.max"),
        ];
        for (controller, limit, second, first) in wanted {
            let Some(limit) = limit else { continue };
            let (parent, file) = match hierarchy.is_unified() {
                true => (hierarchy.unified_parent(), second),
                false => (hierarchy.version_one_parent(controller), first),
            };
            if let Err(error) = parent.and_then(|parent| cgroups.limit(&parent, name, file, limit)) {
                refused(controller, &error);
            }
        }
        cgroups
    }

    /// The directories that the process is to be put into.
    pub fn directories(&self) -> &[PathBuf] {
        &self.directories
    }

    fn limit(&mut self, parent: &Path, name: &str, file: &str, limit: u64) -> io::Result<()> {
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

/// Where this process is among the control groups.
struct Hierarchy {
    /// Where they are mounted.
    root: PathBuf,
    /// `/proc/self/cgroup`: lines of `number:controllers:path`.
    membership: String,
    is_root: bool,
}

impl Hierarchy {
    /// Whether they are of the second version.
    fn is_unified(&self) -> bool {
        self.root.join("cgroup.controllers").exists()
    }

    /// The parent for new groups in the second version: the root's for root, who hands the controllers down; else the one
    /// above our own, since a group with processes cannot have limited children.
    fn unified_parent(&self) -> io::Result<PathBuf> {
        if self.is_root {
            let controllers = self.root.join("cgroup.subtree_control");
            for controller in ["+memory", "+pids"] {
                // If it cannot be handed down, setting the limit says so.
                let _ = fs::write(&controllers, controller);
            }
            return Ok(self.root.clone());
        }
        let own = self.inside(self.own_group("")?);
        Ok(own.parent().filter(|parent| parent.starts_with(&self.root)).unwrap_or(&own).to_owned())
    }

    fn version_one_parent(&self, controller: &str) -> io::Result<PathBuf> {
        let mounted = self.root.join(controller);
        let parent = mounted.join(self.own_group(controller)?.trim_start_matches('/'));
        Ok(if parent.exists() { parent } else { mounted })
    }

    fn inside(&self, group: &str) -> PathBuf {
        self.root.join(group.trim_start_matches('/'))
    }

    /// The group of this process for a controller; the second version has one for all.
    fn own_group(&self, controller: &str) -> io::Result<&str> {
        let path = self.membership.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            let (controllers, path) = (fields.next()?, fields.next()?);
            controllers.split(',').any(|known| known == controller).then_some(path)
        });
        path.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { memory: Some(1 << 20), processes: Some(7) };

    /// Directories that look like control groups, and where a process of this user would put new ones.
    fn groups(version: u32, membership: &str, is_root: bool) -> (tempfile::TempDir, Hierarchy) {
        let place = tempfile::tempdir().unwrap();
        if version == 2 {
            fs::write(place.path().join("cgroup.controllers"), "cpu memory pids\n").unwrap();
        }
        for line in membership.lines() {
            let mut fields = line.splitn(3, ':').skip(1);
            let (controllers, path) = (fields.next().unwrap(), fields.next().unwrap());
            fs::create_dir_all(place.path().join(controllers).join(path.trim_start_matches('/'))).unwrap();
        }
        let hierarchy = Hierarchy { root: place.path().to_owned(), membership: membership.to_owned(), is_root };
        (place, hierarchy)
    }

    fn made(hierarchy: &Hierarchy) -> (Cgroups, Vec<String>) {
        let mut refused = Vec::new();
        let cgroups = Cgroups::below(hierarchy, "x", LIMITS, &mut |controller, _| refused.push(controller.to_owned()));
        (cgroups, refused)
    }

    #[test]
    fn the_second_version_has_one_group_for_both_limits() {
        let (place, hierarchy) = groups(2, "0::/user.slice/session.scope\n", true);
        let (cgroups, refused) = made(&hierarchy);
        let group = place.path().join("wharf-x");
        assert_eq!((cgroups.directories(), refused.len()), (&[group.clone()][..], 0));
        assert_eq!(fs::read_to_string(group.join("memory.max")).unwrap(), "1048576");
        assert_eq!(fs::read_to_string(group.join("pids.max")).unwrap(), "7");
        // Handed down by its root, one after the other.
        assert_eq!(fs::read_to_string(place.path().join("cgroup.subtree_control")).unwrap(), "+pids");
        // A user's are beside the group that the process is in, for that has processes.
        let (place, hierarchy) = groups(2, "0::/user.slice/app.slice/terminal.scope\n", false);
        let beside = place.path().join("user.slice/app.slice/wharf-x");
        assert_eq!(made(&hierarchy).0.directories(), [beside]);
        assert!(!place.path().join("cgroup.subtree_control").exists());
        // In a container the own group may be the topmost.
        let (place, hierarchy) = groups(2, "0::/\n", false);
        assert_eq!(made(&hierarchy).0.directories(), [place.path().join("wharf-x")]);
    }

    #[test]
    fn the_first_version_has_a_group_for_each() {
        let (place, hierarchy) = groups(1, "5:memory:/a\n4:pids:/b\n1:name=systemd:/c\n", true);
        let groups_made = ["memory/a/wharf-x", "pids/b/wharf-x"].map(|group| place.path().join(group));
        let (cgroups, refused) = made(&hierarchy);
        assert_eq!((cgroups.directories(), refused.len()), (&groups_made[..], 0));
        assert_eq!(fs::read_to_string(groups_made[0].join("memory.limit_in_bytes")).unwrap(), "1048576");
        // What a container sees of its own group may not be there.
        fs::remove_dir_all(place.path().join("pids/b")).unwrap();
        assert_eq!(made(&hierarchy).0.directories()[1], place.path().join("pids/wharf-x"));
    }

    #[test]
    fn what_cannot_be_limited_is_told() {
        let (_place, hierarchy) = groups(1, "5:memory:/a\n", true);
        let (cgroups, refused) = made(&hierarchy);
        assert_eq!((cgroups.directories().len(), refused), (1, vec!["pids".to_owned()]));
        let (_place, hierarchy) = groups(2, "", false);
        assert_eq!(made(&hierarchy).1, ["memory", "pids"]);
        let (place, hierarchy) = groups(2, "0::/a/b\n", false);
        fs::remove_dir_all(place.path().join("a")).unwrap();
        assert_eq!(made(&hierarchy).1, ["memory", "pids"]);
    }

    #[test]
    fn groups_of_the_second_version_take_processes_and_go() {
        // Whether or not the controllers are free, the groups themselves are the kernel's.
        let unified = Path::new("/sys/fs/cgroup/unified");
        let root = if unified.exists() { unified } else { Path::new(ROOT) };
        if !root.join("cgroup.controllers").exists() || !rustix::process::geteuid().is_root() {
            println!("not tested: no control groups of the second version, or not root");
            return;
        }
        let hierarchy = Hierarchy { root: root.to_owned(), membership: "0::/\n".to_owned(), is_root: true };
        let name = format!("test-{}", std::process::id());
        let mut cgroups = Cgroups::default();
        let directory = root.join(format!("wharf-{name}"));
        cgroups.limit(&hierarchy.unified_parent().unwrap(), &name, "cgroup.max.depth", 3).unwrap();
        assert_eq!(cgroups.directories(), std::slice::from_ref(&directory));
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        fs::write(directory.join("cgroup.procs"), child.id().to_string()).unwrap();
        let inside = fs::read_to_string(format!("/proc/{}/cgroup", child.id())).unwrap();
        assert!(inside.contains(&format!("0::/wharf-{name}\n")), "{inside}");
        child.kill().unwrap();
        child.wait().unwrap();
        drop(cgroups);
        assert!(!directory.exists());
        let (wrong, mut refused) = (Hierarchy { root: "/nowhere".into(), ..hierarchy }, 0);
        drop(Cgroups::below(&wrong, "x", LIMITS, &mut |_, _| refused += 1));
        assert_eq!(refused, 2);
    }
}
