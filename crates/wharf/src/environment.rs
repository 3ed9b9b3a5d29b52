//! The environment variables that Wharf reads, each declared and explained once, and read nowhere else.

use std::ffi::OsString;
use std::path::PathBuf;

/// A variable's name, and what it does: the list that the manual page prints.
pub(crate) const VARIABLES: &[(&str, &str)] = &[
    (
        "WHARF_HOME",
        "Where Wharf's own store is, which is used if this is set, and archives and notes; default $XDG_DATA_HOME/wharf or \
         ~/.local/share/wharf",
    ),
    (
        "WHARF_STORE",
        "The store to use where --store names none: auto, own, daemon, a directory, unix://SOCKET or ssh-ng://HOST",
    ),
    ("WHARF_CACHE", "Where downloads and digests are cached; default $XDG_CACHE_HOME/wharf or ~/.cache/wharf"),
    (
        "WHARF_FORGES",
        "HOST=ADDRESS …: where the interfaces of forges are, for github:, gitlab: and sourcehut: references",
    ),
    ("XDG_CONFIG_HOME", "Below it, wharf/registries.toml names mirrors and insecure registries"),
    (
        "NIX_PATH",
        "What <name> finds in expressions, as Nix has it; its nixpkgs is a file's pkgs where no flake.lock pins one",
    ),
    ("NIX_CONFIG", "Settings as in nix.conf, which count more than those of any file"),
    ("NIX_CONF_DIR", "The directory of the machine's nix.conf; default /etc/nix"),
    ("NIX_USER_CONF_FILES", "The user's files of settings; default $XDG_CONFIG_HOME/nix/nix.conf"),
    ("NIX_DAEMON_SOCKET_PATH", "Where this machine's Nix daemon listens; default /nix/var/nix/daemon-socket/socket"),
    ("NIX_SSHOPTS", "More options for ssh when it reaches an ssh-ng: store"),
    ("NIX_SSL_CERT_FILE", "Used before SSL_CERT_FILE where Nix would use it: for binary caches and fetchers"),
    ("AWS_ACCESS_KEY_ID", "With AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN: who you are at s3: binary caches"),
    ("AWS_PROFILE", "Which keys of ~/.aws/credentials, or of AWS_SHARED_CREDENTIALS_FILE, to use there instead"),
    ("AWS_REGION", "The region of s3: binary caches whose address names none; else AWS_DEFAULT_REGION"),
    ("NIX_SHOW_STATS", "If 1, nix-instantiate prints counters of the evaluation, as JSON on standard error"),
    ("NIX_SHOW_STATS_PATH", "The file to which it writes them instead"),
    ("NO_COLOR", "If set to anything, nothing is coloured"),
    ("DOCKER_CONFIG", "The directory of Docker's config.json, from which credentials are read; default ~/.docker"),
    (
        "DOCKER_HOST",
        "Where docker-daemon: finds Docker's daemon, as unix://PATH or tcp://HOST:PORT; else Docker's context",
    ),
    ("DOCKER_CONTEXT", "The context of Docker's client to use instead of its current one"),
    ("DOCKER_CERT_PATH", "The directory of ca.pem, cert.pem and key.pem for a daemon that is spoken to by TLS"),
    (
        "DOCKER_TLS_VERIFY",
        "If set, the certificate of that daemon is checked; the files are then in DOCKER_CONFIG by default",
    ),
    ("CONTAINERS_REGISTRIES_CONF", "Read instead of the registries.conf of the user and of /etc/containers"),
    (
        "CONTAINERD_ADDRESS",
        "With CONTAINERD_NAMESPACE: passed on to ctr by containerd:, as everything else of the environment is",
    ),
    (
        "XDG_RUNTIME_DIR",
        "Below it are podman's credentials, containers/auth.json, and the socket of a user's own Docker",
    ),
    ("REGISTRY_AUTH_FILE", "A file of credentials in the form of containers-auth.json(5), used before Docker's"),
    ("SSL_CERT_FILE", "A PEM file of certificate authorities to trust beside Mozilla's"),
];

/// A snapshot of the environment.
pub(crate) struct Environment {
    /// `HOME`, if it is an absolute path; without it, what the system's list of users says.
    pub(crate) home: Option<PathBuf>,
    /// In whose place Wharf's own directories are where there is no home.
    pub(crate) fallback: Option<PathBuf>,
    /// `NO_COLOR` is set and not empty.
    pub(crate) no_color: bool,
    /// `NIX_PATH`.
    pub(crate) nix_path: Option<String>,
}

impl Environment {
    /// Reads the variables that have one meaning for all commands.
    pub(crate) fn read() -> Self {
        Self {
            home: directory("HOME").or_else(home_of_user),
            fallback: None,
            no_color: std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()),
            nix_path: text("NIX_PATH"),
        }
    }

    /// Wharf's own directory: `own`, else `xdg`/wharf, else `HOME`/`fallback`/wharf.
    pub(crate) fn wharf_directory(&self, own: &str, xdg: &str, fallback: &str) -> Option<PathBuf> {
        directory(own).or_else(|| {
            let home = || self.home.as_ref().or(self.fallback.as_ref());
            let base = directory(xdg).or_else(|| Some(home()?.join(fallback)))?;
            Some(base.join("wharf"))
        })
    }
}

/// The home that `/etc/passwd` has for the user, as services and `env -i` leave `HOME` out.
fn home_of_user() -> Option<PathBuf> {
    let users = std::fs::read_to_string("/etc/passwd").ok()?;
    home_in(&users, rustix::process::geteuid().as_raw())
}

fn home_in(users: &str, id: u32) -> Option<PathBuf> {
    let id = id.to_string();
    let homes = users.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let mut homes = homes.filter(|fields| fields.len() == 7 && fields[2] == id).map(|fields| PathBuf::from(fields[5]));
    homes.find(|home| home.is_absolute())
}

/// A variable that names a directory. One that is relative counts as unset, as the XDG specification asks.
pub(crate) fn directory(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute())
}

/// A variable as text; bytes that are no text count as unset.
pub(crate) fn text(name: &str) -> Option<String> {
    std::env::var_os(name).map(OsString::into_string)?.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_users_has_homes() {
        let users =
            "root:x:0:0:root:/root:/bin/sh\nbroken:x:7\nnobody:x:7:7::nowhere:/bin/false\nme:x:7:7::/home/me:\n";
        assert_eq!(home_in(users, 0), Some(PathBuf::from("/root")));
        assert_eq!(home_in(users, 7), Some(PathBuf::from("/home/me")));
        assert_eq!(home_in(users, 8), None);
    }
}
