//! The user that a builder runs as where Wharf is root, so that what escapes from a sandbox is nobody: a member of Nix's group
//! of build users, one builder each, or else an id that no user has, from the range that Nix allocates from too
//! (`auto-allocate-uids`).

use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use sandbox::{IdMap, IdRange};

use crate::error::BuildError;

/// Where Nix locks its build users.
const NIX_POOL: &str = "/nix/var/nix/userpool";
/// `start-id` of Nix; each builder has as many ids as a user namespace usually has.
const FIRST_FREE: u32 = 872_415_232;
const FREE_STEP: u32 = 65_536;
const FREE: u32 = 128;

/// A user that runs one builder at a time.
pub(crate) struct BuildUser {
    pub user: u32,
    pub group: u32,
    /// Held locked as long as the builder runs.
    _lock: File,
}

impl BuildUser {
    /// One that is free. `None` for an ordinary user, and for one who is root of a few ids only: then the builder is who we are.
    /// Without a sandbox (`members_only`), only a member of the group can make something in the store; `None` if there is none.
    pub fn acquire(group: &str, own_pool: &Path, members_only: bool) -> Result<Option<Self>, BuildError> {
        if IdMap::own().is_none() {
            return Ok(None);
        }
        let pool = if Path::new(NIX_POOL).is_dir() { Path::new(NIX_POOL) } else { own_pool };
        let made = DirBuilder::new().recursive(true).mode(0o700).create(pool);
        made.map_err(BuildError::file("create the directory", pool))?;
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let members = members(group, &text("/etc/group"), &text("/etc/passwd"));
        if members_only && members.is_empty() {
            return Ok(None);
        }
        let free =
            (0..if members_only { 0 } else { FREE }).map(|number| FIRST_FREE + number * FREE_STEP).map(|id| (id, id));
        for (user, group) in members.into_iter().chain(free) {
            let path = pool.join(user.to_string());
            if let Some(lock) = try_lock(&path)? {
                return Ok(Some(Self { user, group, _lock: lock }));
            }
        }
        // More builders than the group has members, or than there are processors anywhere.
        Err(BuildError::file("find a free build user in", pool)(std::io::Error::from(std::io::ErrorKind::ResourceBusy)))
    }

    /// The ids of the sandbox: the builder is this user, and what prepares the sandbox is root.
    pub fn ids(&self, inside_user: u32, inside_group: u32) -> IdMap {
        let one = |inside, outside| IdRange { inside, outside, count: 1 };
        IdMap::Ranges {
            users: vec![one(0, 0), one(inside_user, self.user)],
            groups: vec![one(0, 0), one(inside_group, self.group)],
        }
    }

    /// Gives the user these directories and what is directly in them.
    pub fn own(&self, directories: &[PathBuf]) -> Result<(), BuildError> {
        for directory in directories {
            let failed = || BuildError::file("hand over", directory);
            for entry in fs::read_dir(directory).map_err(failed())? {
                self.take(&entry.map_err(failed())?.path())?;
            }
            self.take(directory)?;
        }
        Ok(())
    }

    fn take(&self, path: &Path) -> Result<(), BuildError> {
        std::os::unix::fs::lchown(path, Some(self.user), Some(self.group)).map_err(BuildError::file("hand over", path))
    }
}

/// The users and their group, of texts as in `/etc/group` and `/etc/passwd`.
fn members(group: &str, groups: &str, users: &str) -> Vec<(u32, u32)> {
    let fields = |line: &str| line.split(':').map(str::to_owned).collect::<Vec<_>>();
    let group = groups.lines().map(fields).find(|fields| fields[0] == group && !group.is_empty());
    let Some([_, _, id, names]) = group.as_deref().and_then(|fields| fields.first_chunk()) else { return Vec::new() };
    let Ok(group) = id.parse() else { return Vec::new() };
    let names: Vec<&str> = names.split(',').collect();
    let users = users.lines().map(fields).filter(|fields| names.contains(&fields[0].as_str()));
    users.filter_map(|fields| Some((fields.get(2)?.parse().ok().filter(|id| *id != 0)?, group))).collect()
}

fn try_lock(path: &Path) -> Result<Option<File>, BuildError> {
    let failed = || BuildError::file("lock the build user", path);
    let file = File::options().create(true).append(true).open(path).map_err(failed())?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(failed()(error.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::members;

    #[test]
    fn build_users_are_the_members_of_their_group() {
        let groups = "root:x:0:\nnixbld:x:30000:nixbld1,nixbld2,root\n";
        let users =
            "root:x:0:0::/:/bin/sh\nnixbld1:x:30001:30000::/:/x\nnixbld2:x:30002:30000::/:/x\nother:x:7:7::/:/x\n";
        assert_eq!(members("nixbld", groups, users), [(30001, 30000), (30002, 30000)]);
        assert_eq!(members("builders", groups, users), []);
        assert_eq!(members("", groups, users), []);
        assert_eq!(members("nixbld", "nixbld:x\n", users), []);
    }
}
