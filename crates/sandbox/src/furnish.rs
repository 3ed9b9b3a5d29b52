//! The child's steps that assemble its root. As everything between the clone and the program: system calls alone.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags,
};

use crate::child::last_errno;
use crate::plan::{FileSystem, InRoot, Step};

/// The steps that put something into the root. Paths are resolved within it, whatever links it has.
pub(crate) fn furnish(step: &Step, root: BorrowedFd<'_>) -> Result<(), Errno> {
    match step {
        Step::MakeDirectory { at, mode } => directory(root, at, *mode).map(drop),
        Step::WriteFile { at, contents, mode } => match new_file(root, at, *mode) {
            Ok(file) => write_all(&file, contents),
            Err(Errno::ROFS) => Ok(()),
            Err(errno) => Err(errno),
        },
        Step::MakeSymlink { at, to } => {
            let parent = parent(root, at)?;
            remove_file(&parent, &at.name)?;
            rustix::fs::symlinkat(to.as_c_str(), &parent, at.name.as_c_str())
        }
        Step::Bind { source, at, directory: true, writable } => {
            let target = directory(root, at, 0o755)?;
            bind(source, &target, *writable)
        }
        Step::Bind { source, at, directory: false, writable } => {
            let target = match open_in(root, &at.whole, OFlags::PATH) {
                Err(Errno::NOENT) => new_file(root, at, 0o644)?,
                other => other?,
            };
            bind(source, &target, *writable)
        }
        Step::KeepWritable { at } => {
            let target = directory(root, at, 0o755)?;
            attach(&rustix::mount::open_tree(&target, c"", CLONE | OpenTreeFlags::AT_EMPTY_PATH)?, &target)
        }
        Step::FileSystem { kind, at, options } => {
            let target = directory(root, at, 0o755)?;
            file_system(*kind, options, &target)
        }
        Step::ReadOnlyRoot => read_only(root, false),
        _ => Err(Errno::INVAL),
    }
}

pub(crate) fn mount(source: &CStr, target: &CStr, kind: &CStr, options: &CStr) -> Result<(), Errno> {
    rustix::mount::mount(source, target, kind, MountFlags::NOSUID | MountFlags::NODEV, options)
}

/// Stacks the layers from their common directory, since their names are relative to it. Where the kernel does not know
/// `userxattr` (before 5.11), it can still be mounted by root without it.
pub(crate) fn overlay(base: &CStr, options: &CStr, stage: &CStr) -> Result<(), Errno> {
    rustix::process::chdir(base)?;
    let mounted = mount(c"overlay", stage, c"overlay", options).or_else(|errno| {
        let without = options.to_bytes_with_nul().strip_prefix(b"userxattr,");
        match without.and_then(|rest| CStr::from_bytes_with_nul(rest).ok()) {
            Some(rest) if errno == Errno::INVAL => mount(c"overlay", stage, c"overlay", rest),
            _ => Err(errno),
        }
    });
    rustix::process::chdir(c"/")?;
    mounted
}

pub(crate) fn pivot(root: BorrowedFd<'_>) -> Result<(), Errno> {
    // The old root ends up mounted over the new one, from where it is detached: no directory is needed to hold it.
    rustix::process::fchdir(root)?;
    rustix::process::pivot_root(c".", c".")?;
    rustix::mount::unmount(c".", UnmountFlags::DETACH)?;
    rustix::process::chdir(c"/")
}

pub(crate) fn opened(root: &Option<OwnedFd>) -> Result<BorrowedFd<'_>, Errno> {
    root.as_ref().map(AsFd::as_fd).ok_or(Errno::BADF)
}

/// Opens a path of the root; neither a link nor `..` leads out of it.
fn open_in(root: BorrowedFd<'_>, path: &CString, flags: OFlags) -> Result<OwnedFd, Errno> {
    let flags = flags | OFlags::CLOEXEC;
    rustix::fs::openat2(
        root,
        path.as_c_str(),
        flags,
        Mode::empty(),
        ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
    )
}

fn parent(root: BorrowedFd<'_>, at: &InRoot) -> Result<OwnedFd, Errno> {
    open_in(root, &at.parent, OFlags::PATH | OFlags::DIRECTORY)
}

/// The directory at a path, made if it is missing.
fn directory(root: BorrowedFd<'_>, at: &InRoot, mode: u32) -> Result<OwnedFd, Errno> {
    match open_in(root, &at.whole, OFlags::PATH | OFlags::DIRECTORY) {
        Err(Errno::NOENT) => {}
        other => return other,
    }
    let parent = parent(root, at)?;
    match rustix::fs::mkdirat(&parent, at.name.as_c_str(), Mode::from_raw_mode(mode)) {
        // A link that leads nowhere is in the way.
        Err(Errno::EXIST) => {
            rustix::fs::unlinkat(&parent, at.name.as_c_str(), AtFlags::empty())?;
            rustix::fs::mkdirat(&parent, at.name.as_c_str(), Mode::from_raw_mode(mode))?;
        }
        other => other?,
    }
    open_in(root, &at.whole, OFlags::PATH | OFlags::DIRECTORY)
}

/// A new empty file at a path, in place of a file or link that is there.
fn new_file(root: BorrowedFd<'_>, at: &InRoot, mode: u32) -> Result<OwnedFd, Errno> {
    let parent = parent(root, at)?;
    remove_file(&parent, &at.name)?;
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(&parent, at.name.as_c_str(), flags, Mode::from_raw_mode(mode))
}

fn remove_file(parent: &OwnedFd, name: &CString) -> Result<(), Errno> {
    match rustix::fs::unlinkat(parent, name.as_c_str(), AtFlags::empty()) {
        Err(Errno::NOENT) => Ok(()),
        other => other,
    }
}

fn write_all(file: &OwnedFd, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        let written = rustix::io::write(file, bytes)?;
        bytes = bytes.get(written..).unwrap_or_default();
    }
    Ok(())
}

/// A copy of a mount and of what is mounted below it.
const CLONE: OpenTreeFlags =
    OpenTreeFlags::OPEN_TREE_CLONE.union(OpenTreeFlags::OPEN_TREE_CLOEXEC).union(OpenTreeFlags::AT_RECURSIVE);

fn bind(source: &CStr, target: &OwnedFd, writable: bool) -> Result<(), Errno> {
    let tree = rustix::mount::open_tree(CWD, source, CLONE)?;
    if !writable {
        read_only(tree.as_fd(), true)?;
    }
    attach(&tree, target)
}

fn attach(tree: &OwnedFd, target: &OwnedFd) -> Result<(), Errno> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    rustix::mount::move_mount(tree, c"", target, c"", flags)
}

/// `struct mount_attr` of `linux/mount.h`.
#[repr(C)]
struct MountAttributes {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace: u64,
}

fn read_only(tree: BorrowedFd<'_>, recursive: bool) -> Result<(), Errno> {
    let attributes = MountAttributes { set: libc::MOUNT_ATTR_RDONLY, clear: 0, propagation: 0, user_namespace: 0 };
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is an empty C string, and the attributes have the layout and the size that are passed.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attributes,
            size_of::<MountAttributes>(),
        )
    };
    if result == 0 { Ok(()) } else { Err(last_errno()) }
}

fn file_system(kind: FileSystem, options: &[(CString, CString)], target: &OwnedFd) -> Result<(), Errno> {
    match (kind, new_file_system(kind, options, target)) {
        // Inside a container that hides parts of its /proc, a fresh one would show them, so the kernel refuses.
        (FileSystem::Proc, Err(Errno::PERM)) => bind(c"/proc", target, true),
        (FileSystem::Sys, Err(Errno::PERM)) => bind(c"/sys", target, false),
        (_, result) => result,
    }
}

fn new_file_system(kind: FileSystem, options: &[(CString, CString)], target: &OwnedFd) -> Result<(), Errno> {
    let base = MountAttrFlags::MOUNT_ATTR_NOSUID;
    let (name, attributes) = match kind {
        FileSystem::Tmpfs => (c"tmpfs", base | MountAttrFlags::MOUNT_ATTR_NODEV),
        FileSystem::Terminals => (c"devpts", base | MountAttrFlags::MOUNT_ATTR_NOEXEC),
        FileSystem::Proc => (c"proc", base | MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_NOEXEC),
        FileSystem::Sys => (
            c"sysfs",
            base | MountAttrFlags::MOUNT_ATTR_NODEV
                | MountAttrFlags::MOUNT_ATTR_NOEXEC
                | MountAttrFlags::MOUNT_ATTR_RDONLY,
        ),
    };
    let context = rustix::mount::fsopen(name, FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (key, value) in options {
        rustix::mount::fsconfig_set_string(&context, key.as_c_str(), value.as_c_str())?;
    }
    rustix::mount::fsconfig_create(&context)?;
    let mounted = rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
    attach(&mounted, target)
}
