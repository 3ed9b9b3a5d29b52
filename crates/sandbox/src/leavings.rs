//! What a process without a namespace of its own leaves running.
//!
//! In a process namespace the kernel kills everything with its first process. Without one the others are found by what
//! they inherited: the session that the process began, and its user where that is nobody else's.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// How often is looked for processes that were started meanwhile.
const ROUNDS: u32 = 200;
const PAUSE: Duration = Duration::from_millis(5);

/// The processes that belong to one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Leavings {
    /// The process itself, which is the leader of its session.
    pub leader: Pid,
    /// Its user, if nobody else is that user.
    pub user: Option<u32>,
}

impl Leavings {
    /// Kills all but the process itself, until there are none. One that will not go is given up after a second.
    pub fn kill(&self) {
        for _ in 0..ROUNDS {
            let running = self.running();
            if running.is_empty() {
                return;
            }
            for process in running {
                // It may be gone already.
                let _ = kill_process(process, Signal::KILL);
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn running(&self) -> Vec<Pid> {
        let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
        let ids = entries.flatten().filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?));
        ids.filter(|id| *id != self.leader && self.is_ours(*id)).collect()
    }

    fn is_ours(&self, id: Pid) -> bool {
        let directory = format!("/proc/{}", id.as_raw_nonzero());
        let Ok(stat) = fs::read_to_string(format!("{directory}/stat")) else { return false };
        let Some((state, session)) = state_and_session(&stat) else { return false };
        let user = || fs::metadata(&directory).map(|metadata| metadata.uid()).ok();
        // One that is dead only waits to be noticed.
        !matches!(state, "Z" | "X")
            && (session == self.leader.as_raw_nonzero().get() || (self.user.is_some() && user() == self.user))
    }
}

/// From `/proc/ID/stat`: "ID (NAME) STATE PARENT GROUP SESSION …", where the name may have anything in it.
fn state_and_session(stat: &str) -> Option<(&str, i32)> {
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    let state = fields.next()?;
    Some((state, fields.nth(2)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_do_not_mislead() {
        assert_eq!(state_and_session("7 (a) S 1 2 3) R 1 5 9 0 -1"), Some(("R", 9)));
        assert_eq!(state_and_session("7 (sh) S 1 7 7 34816 7"), Some(("S", 7)));
        assert_eq!(state_and_session("nonsense"), None);
    }
}
