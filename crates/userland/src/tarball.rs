//! `tar`: create, list and extract, over the `tar` crate; compressed archives are recognised by their first bytes.
//!
//! Extraction never leaves the directory: an entry whose path climbs out of it, or passes through a link that does,
//! is an error. What `--sort`, `--owner`, `--group` and `--mtime` ask for makes archives reproducible.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use clap::{ArgAction, ArgGroup, Parser};

use crate::compress::Format;

/// Create, list or extract a tar archive.
#[derive(Parser)]
#[command(name = "tar", disable_version_flag = true, disable_help_flag = true)]
#[command(group(ArgGroup::new("operation").required(true).args(["create", "extract", "list"])))]
struct Arguments {
    // `-h` means something else to tar.
    /// Print help
    #[arg(long, action = ArgAction::Help)]
    help: Option<bool>,
    #[arg(short = 'c', long)]
    create: bool,
    #[arg(short = 'x', long, visible_alias = "get")]
    extract: bool,
    #[arg(short = 't', long)]
    list: bool,
    /// The archive; `-` or nothing is standard input or output.
    #[arg(short = 'f', long, default_value = "-")]
    file: PathBuf,
    /// Change to this directory first.
    #[arg(short = 'C', long)]
    directory: Option<PathBuf>,
    #[arg(short = 'z', long, visible_alias = "gunzip")]
    gzip: bool,
    #[arg(short = 'j', long)]
    bzip2: bool,
    #[arg(short = 'J', long)]
    xz: bool,
    #[arg(long)]
    zstd: bool,
    /// Choose the compression by the archive's name.
    #[arg(short = 'a', long)]
    auto_compress: bool,
    #[arg(short = 'v', long)]
    verbose: bool,
    /// Follow symbolic links when creating.
    #[arg(short = 'h', long)]
    dereference: bool,
    /// Extract the modes as they are stored, whatever the umask.
    #[arg(short = 'p', long, visible_alias = "same-permissions")]
    preserve_permissions: bool,
    /// Accepted for scripts: files extracted always belong to the caller.
    #[arg(long)]
    no_same_owner: bool,
    /// Accepted for scripts: owners are always written as numbers.
    #[arg(long)]
    numeric_owner: bool,
    /// Leave out this many leading components of each name.
    #[arg(long, default_value_t = 0)]
    strip_components: usize,
    /// `name` sorts the entries of each directory.
    #[arg(long, value_parser = ["none", "name"], default_value = "none")]
    sort: String,
    #[arg(long)]
    owner: Option<u64>,
    #[arg(long)]
    group: Option<u64>,
    /// The time of every entry, as `@SECONDS`.
    #[arg(long, value_parser = parse_mtime)]
    mtime: Option<u64>,
    /// What to add, or the names to extract or list.
    names: Vec<PathBuf>,
}

fn parse_mtime(text: &str) -> Result<u64, String> {
    text.strip_prefix('@').and_then(|seconds| seconds.parse().ok()).ok_or_else(|| "it takes @SECONDS".to_owned())
}

/// The entry point of `tar`.
pub(crate) fn main(mut argv: Vec<OsString>) -> i32 {
    // The traditional form `tar xzf …` has no dash.
    if let Some(first) = argv.get_mut(1).filter(|first| !first.as_bytes().starts_with(b"-")) {
        let mut dashed = OsString::from("-");
        dashed.push(&first);
        *first = dashed;
    }
    let arguments = match Arguments::try_parse_from(argv) {
        Ok(arguments) => arguments,
        Err(error) => return crate::shell::usage(error),
    };
    let outcome = match () {
        () if arguments.create => create(&arguments),
        () if arguments.extract => extract(&arguments),
        () => open_archive(&arguments).and_then(|tar| list_chosen(tar, &arguments.names, &mut io::stdout())),
    };
    match outcome {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("tar: {}: {error}", arguments.file.display());
            2
        }
    }
}

fn open_archive(arguments: &Arguments) -> io::Result<Box<dyn Read>> {
    let raw: Box<dyn Read> = match arguments.file.as_os_str() == "-" {
        true => Box::new(io::stdin().lock()),
        false => Box::new(File::open(&arguments.file)?),
    };
    Ok(Box::new(expanded(raw)?))
}

/// The plain archive behind any of the compressions that are known.
pub(crate) fn expanded<'a>(mut raw: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let mut head = Vec::with_capacity(6);
    (&mut raw).take(6).read_to_end(&mut head)?;
    let format = Format::sniff(&head);
    let whole = BufReader::with_capacity(1 << 17, io::Cursor::new(head).chain(raw));
    match format {
        Some(format) => format.reader(whole),
        None => Ok(Box::new(whole)),
    }
}

fn extract(arguments: &Arguments) -> io::Result<()> {
    let into = arguments.directory.as_deref().unwrap_or(Path::new("."));
    let mut archive = tar::Archive::new(open_archive(arguments)?);
    archive.set_preserve_permissions(arguments.preserve_permissions);
    unpack_entries(&mut archive, into, arguments.strip_components, |path| {
        let chosen = is_chosen(path, &arguments.names);
        if chosen && arguments.verbose {
            println!("{}", path.display());
        }
        chosen
    })
}

/// Extracts a plain archive into a directory, leaving out the first `strip` components of each name.
pub(crate) fn unpack(tar: &mut dyn Read, into: &Path, strip: usize) -> io::Result<()> {
    let mut archive = tar::Archive::new(tar);
    archive.set_preserve_permissions(true);
    unpack_entries(&mut archive, into, strip, |_| true)
}

fn unpack_entries<R: Read>(
    archive: &mut tar::Archive<R>,
    into: &Path,
    strip: usize,
    mut wanted: impl FnMut(&Path) -> bool,
) -> io::Result<()> {
    archive.set_preserve_mtime(true);
    let into = into.canonicalize()?;
    // Directories come last, deepest first: one that is read-only must still take its content.
    let mut directories = Vec::new();
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        if !wanted(&path) {
            continue;
        }
        let Some(relative) = stripped(&path, strip)? else {
            continue;
        };
        if entry.header().entry_type().is_dir() {
            fs::create_dir_all(into.join(&relative))?;
            directories.push((relative, entry));
            continue;
        }
        unpack_one(&mut entry, &into, &relative, strip)?;
    }
    directories.sort_by(|a, b| b.0.cmp(&a.0));
    for (relative, mut entry) in directories {
        unpack_one(&mut entry, &into, &relative, strip)?;
    }
    Ok(())
}

fn unpack_one<R: Read>(entry: &mut tar::Entry<R>, into: &Path, relative: &Path, strip: usize) -> io::Result<()> {
    use tar::EntryType;
    let target = inside(into, relative)?;
    match entry.header().entry_type() {
        EntryType::Directory
        | EntryType::Regular
        | EntryType::Continuous
        | EntryType::GNUSparse
        | EntryType::Symlink => entry.unpack(&target).map(drop),
        EntryType::Link => {
            let link = entry.link_name()?.ok_or_else(|| refused(relative, "it is a hard link to nothing"))?;
            let source = stripped(&link, strip)?.ok_or_else(|| refused(relative, "it links to a name left out"))?;
            let source = inside(into, &source)?;
            if target.symlink_metadata().is_ok() {
                fs::remove_file(&target)?;
            }
            fs::hard_link(source, target)
        }
        EntryType::XGlobalHeader => Ok(()),
        other => Err(refused(relative, &format!("entries of type {other:?} are not extracted"))),
    }
}

/// Where `relative` lies inside `into`, its parent made and, links followed, proven to be inside too.
fn inside(into: &Path, relative: &Path) -> io::Result<PathBuf> {
    let target = into.join(relative);
    let parent = match target.parent() {
        Some(parent) if target != into => parent,
        _ => return Ok(target),
    };
    // The nearest ancestor that exists decides: nothing may be created through a link that leads outside.
    let existing = parent.ancestors().find(|dir| dir.symlink_metadata().is_ok()).unwrap_or(into);
    if !existing.canonicalize()?.starts_with(into) {
        return Err(refused(relative, "it would be written outside the directory, through a symbolic link"));
    }
    fs::create_dir_all(parent)?;
    Ok(target)
}

/// The name as a path below the target directory without its first `strip` components; `None` if nothing is left.
fn stripped(path: &Path, strip: usize) -> io::Result<Option<PathBuf>> {
    let mut parts = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(part) => parts.push(part),
            Component::ParentDir => {
                return Err(refused(path, "its name climbs out of the directory"));
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    let rest: PathBuf = parts.iter().skip(strip).collect();
    // `./` names the target directory itself, which is kept; a shorter name than what is left out is not.
    Ok((parts.len() > strip || (strip == 0 && parts.is_empty())).then_some(rest))
}

fn refused(path: &Path, why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{}: {why}", path.display()))
}

/// Without names everything is chosen; a name chooses itself and what is below it.
fn is_chosen(path: &Path, names: &[PathBuf]) -> bool {
    let plain = |path: &Path| path.components().filter(|part| *part != Component::CurDir).collect::<PathBuf>();
    names.is_empty() || names.iter().any(|name| plain(path).starts_with(plain(name)))
}

/// Prints the names in a plain archive.
pub(crate) fn list(tar: &mut dyn Read, out: &mut dyn Write) -> io::Result<()> {
    list_chosen(tar, &[], out)
}

fn list_chosen(tar: impl Read, names: &[PathBuf], out: &mut dyn Write) -> io::Result<()> {
    for entry in tar::Archive::new(tar).entries()? {
        let entry = entry?;
        if is_chosen(&entry.path()?, names) {
            out.write_all(&entry.path_bytes())?;
            out.write_all(b"\n")?;
        }
    }
    Ok(())
}

fn create(arguments: &Arguments) -> io::Result<()> {
    if arguments.names.is_empty() {
        return Err(io::Error::other("nothing to put into the archive was named"));
    }
    let output: Box<dyn Write> = match arguments.file.as_os_str() == "-" {
        true => Box::new(io::stdout().lock()),
        false => Box::new(File::create(&arguments.file)?),
    };
    let output = BufWriter::with_capacity(1 << 17, output);
    match chosen_format(arguments) {
        None => write_archive(arguments, output),
        Some(format) => {
            // The archive goes through a pipe to the compressor, so that neither is ever whole in memory.
            let (mut reader, writer) = io::pipe()?;
            std::thread::scope(|scope| {
                let packing = scope.spawn(|| write_archive(arguments, BufWriter::with_capacity(1 << 16, writer)));
                let mut output = output;
                let compressed = format.compress(None, &mut reader, &mut output).and_then(|()| output.flush());
                drop(reader);
                let packed = packing.join().unwrap_or_else(|_| Err(io::Error::other("packing stopped half-way")));
                compressed.and(packed)
            })
        }
    }
}

fn chosen_format(arguments: &Arguments) -> Option<Format> {
    let by_option = [
        (arguments.gzip, Format::Gzip),
        (arguments.bzip2, Format::Bzip2),
        (arguments.xz, Format::Xz),
        (arguments.zstd, Format::Zstd),
    ];
    let by_name = match arguments.file.extension().and_then(OsStr::to_str) {
        Some("gz" | "tgz") => Some(Format::Gzip),
        Some("bz2" | "tbz2") => Some(Format::Bzip2),
        Some("xz" | "txz") => Some(Format::Xz),
        Some("zst" | "tzst") => Some(Format::Zstd),
        _ => None,
    };
    let asked = by_option.into_iter().find(|(asked, _)| *asked).map(|(_, format)| format);
    asked.or(by_name.filter(|_| arguments.auto_compress))
}

fn write_archive(arguments: &Arguments, output: impl Write) -> io::Result<()> {
    let base = arguments.directory.as_deref().unwrap_or(Path::new("."));
    let mut builder = tar::Builder::new(output);
    for name in &arguments.names {
        append(&mut builder, arguments, base, name)?;
    }
    builder.into_inner()?.flush()
}

fn append(builder: &mut tar::Builder<impl Write>, arguments: &Arguments, base: &Path, name: &Path) -> io::Result<()> {
    let file = base.join(name);
    let explain = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", file.display()));
    let meta = match arguments.dereference {
        true => fs::metadata(&file),
        false => fs::symlink_metadata(&file),
    }
    .map_err(explain)?;
    if arguments.verbose {
        eprintln!("{}", name.display());
    }
    let mut header = tar::Header::new_gnu();
    header.set_metadata(&meta);
    header.set_uid(arguments.owner.unwrap_or(header.uid()?));
    header.set_gid(arguments.group.unwrap_or(header.gid()?));
    header.set_mtime(arguments.mtime.unwrap_or(header.mtime()?));
    if meta.is_symlink() {
        return builder.append_link(&mut header, name, fs::read_link(&file).map_err(explain)?);
    }
    if !meta.is_dir() {
        return builder.append_data(&mut header, name, File::open(&file).map_err(explain)?.take(meta.len()));
    }
    builder.append_data(&mut header, name, io::empty())?;
    let mut children: Vec<OsString> = fs::read_dir(&file)
        .map_err(explain)?
        .map(|entry| entry.map(|entry| entry.file_name()))
        .collect::<io::Result<_>>()?;
    if arguments.sort == "name" {
        children.sort();
    }
    children.iter().try_for_each(|child| append(builder, arguments, base, &name.join(child)))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }

    fn archive(entries: &[(&str, tar::EntryType, &str)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, kind, content) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(*kind);
            header.set_mode(0o644);
            // Names are set as bytes: the crate itself refuses to write some of these.
            header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
            let is_link = kind.is_symlink() || kind.is_hard_link();
            if is_link {
                header.as_gnu_mut().unwrap().linkname[..content.len()].copy_from_slice(content.as_bytes());
            }
            let data = if is_link { "" } else { content };
            header.set_size(data.len() as u64);
            header.set_cksum();
            builder.append(&header, data.as_bytes()).unwrap();
        }
        builder.into_inner().unwrap()
    }

    #[test]
    fn nothing_is_written_outside_the_directory() {
        use tar::EntryType::{Link, Regular, Symlink};
        let dir = tempfile::tempdir().unwrap();
        let outside = dir.path().join("outside");
        fs::create_dir(&outside).unwrap();
        let away = outside.to_str().unwrap();
        for bad in [
            archive(&[("../outside/x", Regular, "bad")]),
            archive(&[("link", Symlink, away), ("link/x", Regular, "bad")]),
            archive(&[("link", Symlink, "../outside"), ("link/deep/x", Regular, "bad")]),
            archive(&[("x", Link, "../outside/secret")]),
            archive(&[("x", tar::EntryType::Char, "")]),
        ] {
            let into = tempfile::tempdir_in(dir.path()).unwrap();
            assert!(unpack(&mut &bad[..], into.path(), 0).is_err());
        }
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    }

    #[test]
    fn components_are_stripped_from_names_and_hard_links() {
        use tar::EntryType::{Link, Regular};
        let into = tempfile::tempdir().unwrap();
        let tar = archive(&[("top", Regular, "gone"), ("top/a", Regular, "kept"), ("top/b", Link, "top/a")]);
        unpack(&mut &tar[..], into.path(), 1).unwrap();
        assert_eq!(fs::read_to_string(into.path().join("b")).unwrap(), "kept");
        assert_eq!(fs::read_dir(into.path()).unwrap().count(), 2);
    }
}
