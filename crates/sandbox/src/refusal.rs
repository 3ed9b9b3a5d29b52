//! Why a machine refuses namespaces, and what to type for it not to.

use std::fs;
use std::path::Path;

/// The kinds that a sandbox is made of, as in `/proc/sys/user/max_*_namespaces`.
const KINDS: [&str; 6] = ["user", "mnt", "pid", "ipc", "uts", "net"];

/// What to do on this machine for namespaces to be allowed.
pub(crate) fn remedy() -> String {
    remedy_below(Path::new("/proc/sys"), rustix::process::geteuid().is_root())
}

fn remedy_below(settings: &Path, root: bool) -> String {
    let value = |name: &str| fs::read_to_string(settings.join(name.replace('.', "/"))).ok();
    let is = |name: &str, bad: &str| value(name).is_some_and(|value| value.trim() == bad);
    let mut lines = Vec::new();
    for kind in KINDS {
        let name = format!("user.max_{kind}_namespaces");
        if is(&name, "0") {
            lines.push(format!("{name}=15000"));
        }
    }
    for (name, bad, good) in
        [("kernel.unprivileged_userns_clone", "0", "1"), ("kernel.apparmor_restrict_unprivileged_userns", "1", "0")]
    {
        if !root && is(name, bad) {
            lines.push(format!("{name}={good}"));
        }
    }
    match lines.is_empty() {
        false => format!("as root: sysctl {}", lines.join(" ")),
        true => "no setting of the kernel forbids it, so a filter does, as those of containers: start that one with \
                 --privileged, or with --security-opt seccomp=unconfined --cap-add SYS_ADMIN"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_setting_that_forbids_namespaces_is_named() {
        let place = tempfile::tempdir().unwrap();
        let set = |name: &str, value: &str| {
            let file = place.path().join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, format!("{value}\n")).unwrap();
        };
        assert!(remedy_below(place.path(), false).contains("--privileged"));
        set("user/max_user_namespaces", "127000");
        set("kernel/unprivileged_userns_clone", "1");
        set("kernel/apparmor_restrict_unprivileged_userns", "0");
        assert!(remedy_below(place.path(), false).contains("--privileged"));
        set("kernel/apparmor_restrict_unprivileged_userns", "1");
        let apparmor = "as root: sysctl kernel.apparmor_restrict_unprivileged_userns=0";
        assert_eq!(remedy_below(place.path(), false), apparmor);
        // It is not about root.
        assert!(remedy_below(place.path(), true).contains("--privileged"));
        set("kernel/unprivileged_userns_clone", "0");
        set("user/max_user_namespaces", "0");
        assert_eq!(
            remedy_below(place.path(), false),
            "as root: sysctl user.max_user_namespaces=15000 kernel.unprivileged_userns_clone=1 \
             kernel.apparmor_restrict_unprivileged_userns=0"
        );
    }
}
