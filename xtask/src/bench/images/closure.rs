//! A closure of real files: Debian's installed packages as store objects, made by real Nix.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// The fewest objects, and the most: each shall have a layer of its own.
const FEWEST: usize = 60;
const MOST: usize = 95;

/// What both sides pack: a store that Nix has made and Wharf opens, and a closure in it.
pub struct Closure {
    /// The directory that has `nix/store`.
    pub home: PathBuf,
    /// The object that refers to all others.
    pub top: String,
    /// All of them, as `/nix/store/…`.
    pub paths: Vec<String>,
    /// The bytes of their files.
    pub bytes: u64,
}

/// Trees of files to be made objects of.
pub struct Packages {
    directory: PathBuf,
    names: Vec<String>,
}

impl Packages {
    /// Copies the files of as many installed packages as `bytes` takes, at least [`FEWEST`], into `directory`.
    pub fn installed(directory: &Path, bytes: u64) -> Result<Self> {
        let mut chosen = Vec::new();
        let (mut total, wanted) = (0, bytes / FEWEST as u64);
        let mut sizes = installed_sizes()?;
        // Those nearest to the mean first, so that there are as many as there should be.
        sizes.sort_by_key(|(_, size)| size.abs_diff(wanted));
        for (name, size) in sizes {
            if chosen.len() == MOST || (total >= bytes && chosen.len() >= FEWEST) {
                break;
            }
            if copy_files(&name, &directory.join(plain(&name)))? {
                total += size;
                chosen.push(plain(&name));
            }
        }
        ensure!(chosen.len() >= FEWEST, "only {} packages are installed, and {FEWEST} are needed", chosen.len());
        chosen.sort();
        Ok(Self { directory: directory.to_owned(), names: chosen })
    }

    /// One tree with one file of this many bytes.
    pub fn one_file(directory: &Path, bytes: u64) -> Result<Self> {
        let tree = directory.join("large");
        fs::create_dir_all(&tree)?;
        let out = fs::File::create(tree.join("file"))?;
        super::limits::write_sample(out, bytes)?;
        Ok(Self { directory: directory.to_owned(), names: vec!["large".to_owned()] })
    }

    /// Changes the smallest tree; the number of bytes that it has.
    pub fn change_smallest(&self) -> Result<u64> {
        let sizes = self.names.iter().map(|name| Ok((tree_size(&self.directory.join(name))?, name)));
        let (size, name) = sizes.collect::<Result<Vec<_>>>()?.into_iter().min().context("there are packages")?;
        let text = b"changed\n";
        fs::write(self.directory.join(name).join("changed"), text)?;
        Ok(size + text.len() as u64)
    }

    /// Makes objects of the trees by `nix-build`, in the store below `home`.
    pub fn realise(&self, home: &Path) -> Result<Closure> {
        let file = self.directory.with_extension("nix");
        let mut text = String::from("derivation {\n  name = \"top\";\n  system = builtins.currentSystem;\n");
        text += "  builder = \"/bin/sh\";\n  args = [ \"-c\" \"echo $packages > $out\" ];\n  packages = [\n";
        for name in &self.names {
            let path = self.directory.join(name);
            writeln!(text, "    (builtins.path {{ name = \"{name}\"; path = {}; }})", path.display())?;
        }
        text += "  ];\n}\n";
        fs::write(&file, text)?;
        let top = nix("nix-build", home, &["--no-out-link"], &file.display().to_string())?;
        let top = top.trim().rsplit('/').next().map(|name| format!("/nix/store/{name}")).unwrap_or_default();
        let paths = nix("nix-store", home, &["--query", "--requisites"], &top)?;
        let paths: Vec<String> = paths.lines().map(str::to_owned).collect();
        let bytes = paths.iter().map(|path| tree_size(&real(home, path))).sum::<Result<u64>>()?;
        Ok(Closure { home: home.to_owned(), top, paths, bytes })
    }
}

/// Where an object is on this machine.
fn real(home: &Path, path: &str) -> PathBuf {
    home.join(path.trim_start_matches('/'))
}

/// Runs a program of Nix on the store below `home`.
fn nix(program: &str, home: &Path, arguments: &[&str], what: &str) -> Result<String> {
    let mut command = Command::new(program);
    command.args(arguments).arg(what).arg("--store").arg(home);
    // The builder is a shell, which a sandbox does not have.
    command.args(["--option", "sandbox-paths", "/bin/sh=/bin/busybox", "--option", "build-users-group", ""]);
    command.args(["--option", "substituters", ""]).env_remove("NIX_REMOTE");
    let out = command.output().with_context(|| format!("cannot start {program}"))?;
    ensure!(out.status.success(), "{program} {what}:\n{}", String::from_utf8_lossy(&out.stderr));
    Ok(String::from_utf8(out.stdout)?)
}

/// Packages with the bytes that they take.
fn installed_sizes() -> Result<Vec<(String, u64)>> {
    let out = Command::new("dpkg-query").args(["-W", "-f", "${binary:Package} ${Installed-Size}\n"]).output()?;
    ensure!(out.status.success(), "dpkg-query fails: it is Debian's packages that are packed");
    let text = String::from_utf8(out.stdout)?;
    let row =
        |line: &str| Some((line.split(' ').next()?.to_owned(), line.split(' ').nth(1)?.parse::<u64>().ok()? << 10));
    Ok(text.lines().filter_map(row).collect())
}

/// A name that a store object may have.
fn plain(name: &str) -> String {
    name.replace(':', "-")
}

/// Copies a package's files; false if it has none that can be read.
fn copy_files(package: &str, into: &Path) -> Result<bool> {
    let out = Command::new("dpkg-query").args(["-L", package]).output()?;
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let mut copied = false;
    for file in text.lines().filter(|line| line.starts_with('/')) {
        let Ok(metadata) = fs::symlink_metadata(file) else { continue };
        let target = into.join(file.trim_start_matches('/'));
        // What is diverted is listed twice.
        if metadata.is_dir() || target.symlink_metadata().is_ok() {
            continue;
        }
        // A link of the package may be where a directory would have to be.
        if target.parent().is_none_or(|parent| fs::create_dir_all(parent).is_err()) {
            continue;
        }
        match metadata.is_symlink() {
            true => std::os::unix::fs::symlink(fs::read_link(file)?, &target)?,
            false => drop(fs::copy(file, &target)?),
        }
        copied = true;
    }
    Ok(copied)
}

/// The bytes of the files in a tree.
fn tree_size(path: &Path) -> Result<u64> {
    let metadata = fs::symlink_metadata(path)?;
    if !metadata.is_dir() {
        return Ok(metadata.len());
    }
    fs::read_dir(path)?.map(|entry| tree_size(&entry?.path())).sum()
}
