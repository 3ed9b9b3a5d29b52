//! A process in Linux namespaces, with mounts, limits and seccomp.
