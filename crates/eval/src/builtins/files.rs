//! Files, directories, paths and sources.

use std::path::{Path, PathBuf};

use nix_formats::STORE_DIR;
use nix_formats::content_address::Method;
use nix_formats::hash::{Hash, HashAlgo};
use nix_formats::store_path::StorePath;

use super::Builtin;
use crate::Interp;
use crate::embedded;
use crate::error::{Error, ErrorKind, Result};
use crate::heap::{AttrsBuilder, Context, Kind, Str, Value};
use crate::host::{CopyPath, FetchRequest, FetchValue, Fetcher, FileType, HostError};
use crate::interp::{Coercion, ContextElement, parse_store_path, paths, store_path_string};
use crate::settings::is_url;
use crate::symbol::Symbol;

pub(super) const TABLE: &[Builtin] = &[
    Builtin::global("baseNameOf", 1, 0b1, base_name_of),
    Builtin::global("dirOf", 1, 0b1, dir_of),
    Builtin::new("filterSource", 2, 0b11, filter_source),
    Builtin::new("findFile", 2, 0b11, find_file),
    Builtin::new("getEnv", 1, 0b1, get_env),
    Builtin::new("path", 1, 0b1, path),
    Builtin::new("pathExists", 1, 0b1, path_exists),
    Builtin::new("readDir", 1, 0b1, read_dir),
    Builtin::new("readFile", 1, 0b1, read_file),
    Builtin::new("readFileType", 1, 0b1, read_file_type),
    Builtin::new("storePath", 1, 0b1, store_path),
    Builtin::new("toFile", 2, 0b11, to_file),
    Builtin::new("toPath", 1, 0b1, to_path),
];

fn base_name_of(interp: &Interp, args: &[Value]) -> Result<Value> {
    let path = interp.coerce_to_string(args[0], Coercion::PATH_PART)?;
    Ok(Str::new(paths::base_name(path.bytes()), path.context()).into())
}

fn dir_of(interp: &Interp, args: &[Value]) -> Result<Value> {
    if let Kind::Path(path) = args[0].kind() {
        if embedded::is_root(path.bytes()) {
            return Ok(args[0]);
        }
        return Ok(Value::path(paths::dir_name(path.bytes())));
    }
    let path = interp.coerce_to_string(args[0], Coercion::PATH_PART)?;
    Ok(Str::new(paths::dir_name(path.bytes()), path.context()).into())
}

fn to_path(interp: &Interp, args: &[Value]) -> Result<Value> {
    let path = embedded::plain_string(interp.coerce_to_path(args[0])?);
    Ok(Str::new(&paths::canonical(path.bytes()), path.context()).into())
}

fn get_env(interp: &Interp, args: &[Value]) -> Result<Value> {
    let name = interp.force_text(args[0])?;
    let value = if interp.settings().pure { None } else { interp.host().env_var(name) };
    Ok(Value::string(value.unwrap_or_default()))
}

fn path_exists(interp: &Interp, args: &[Value]) -> Result<Value> {
    let text = interp.coerce_to_path(args[0])?;
    // A trailing slash asks for a directory.
    let is_path = matches!(args[0].kind(), Kind::Path(_));
    let wants_directory = !is_path && (text.bytes().ends_with(b"/") || text.bytes().ends_with(b"/."));
    let path = interp.readable_path(args[0])?;
    // What may not be seen is not there.
    let found = match interp.host().visible_type(&path)? {
        Some(_) if wants_directory => {
            interp.host().visible_type(&follow_links(interp, path)?)? == Some(FileType::Directory)
        }
        found => found.is_some(),
    };
    Ok(Value::bool(found))
}

fn follow_links(interp: &Interp, path: PathBuf) -> Result<PathBuf> {
    let mut path = path;
    for _ in 0..64 {
        if interp.host().visible_type(&path)? != Some(FileType::Symlink) {
            break;
        }
        let target = path.parent().unwrap_or(Path::new("/")).join(interp.host().read_link(&path)?);
        path = paths::path(&paths::canonical(paths::bytes(&target))).to_owned();
    }
    Ok(path)
}

fn read_file(interp: &Interp, args: &[Value]) -> Result<Value> {
    let path = interp.readable_path(args[0])?;
    let bytes = interp.host().read_file(&path)?;
    if memchr::memchr(0, &bytes).is_some() {
        let shown = path.display();
        return Err(Error::other(format!("the contents of '{shown}' cannot be a string: there is a zero byte")));
    }
    Ok(Str::new(&bytes, file_context(interp, &path, &bytes)?).into())
}

/// A file of the store may contain store paths; the string then refers to those that it does contain.
fn file_context(interp: &Interp, path: &Path, bytes: &[u8]) -> Result<Option<&'static Context>> {
    if !path.starts_with(STORE_DIR) {
        return Ok(None);
    }
    let Ok((object, _)) = StorePath::split_absolute(paths::bytes(path)) else { return Ok(None) };
    let references = interp.host().references(&object)?;
    let found = references
        .iter()
        .filter(|reference| memchr::memmem::find(bytes, reference.hash_part().as_bytes()).is_some())
        .map(|reference| Symbol::intern(reference.to_absolute()));
    Ok(Context::from_elements(found.collect()))
}

fn read_dir(interp: &Interp, args: &[Value]) -> Result<Value> {
    let path = interp.readable_path(args[0])?;
    if let Some(listing) = interp.shared().directories.lock().get(&path) {
        return Ok((*listing).into());
    }
    let mut attrs = AttrsBuilder::default();
    for (name, kind) in interp.host().read_dir(&path)? {
        attrs.push(Symbol::intern(name), Symbol::intern(kind.name()).string().into());
    }
    let listing = attrs.finish();
    interp.shared().directories.lock().insert(path, listing);
    Ok(listing.into())
}

fn read_file_type(interp: &Interp, args: &[Value]) -> Result<Value> {
    let path = interp.readable_path(args[0])?;
    match interp.host().file_type(&path)? {
        Some(kind) => Ok(Value::string(kind.name())),
        None => Err(HostError::NotFound(path).into()),
    }
}

fn store_path(interp: &Interp, args: &[Value]) -> Result<Value> {
    if interp.settings().pure {
        return Err(Error::other("'builtins.storePath' is not allowed in pure evaluation mode"));
    }
    let text = interp.coerce_to_path(args[0])?;
    let canonical = paths::canonical(text.bytes());
    let (object, _) = StorePath::split_absolute(&canonical)
        .map_err(|_| Error::other(format!("path '{}' is not in the store", text.text())))?;
    interp.host().ensure_path(&object)?;
    let own = Context::single(object.to_absolute().as_bytes());
    Ok(Str::new(&canonical, Context::union(text.context(), Some(own))).into())
}

fn to_file(interp: &Interp, args: &[Value]) -> Result<Value> {
    let name = interp.force_text(args[0])?;
    let contents = interp.force_string(args[1])?;
    let mut references = Vec::new();
    for symbol in contents.context().map_or(&[] as &[Symbol], |context| context.elements()) {
        match ContextElement::parse(symbol.bytes()) {
            Some(ContextElement::Path(path)) => references.push(parse_store_path(&path)?),
            _ => {
                return Err(Error::other(format!(
                    "the file '{name}' created by 'builtins.toFile' may not refer to derivations, such as {}",
                    symbol.text()
                )));
            }
        }
    }
    let path = interp.host().add_text(name, contents.bytes(), &references)?;
    interp.remember_text(&path, references);
    Ok(store_path_string(&path).into())
}

fn filter_source(interp: &Interp, args: &[Value]) -> Result<Value> {
    let source = interp.coerce_to_path(args[1])?;
    let filter = interp.force_function(args[0])?;
    let name = paths::base_name(source.bytes());
    let name = std::str::from_utf8(name).map_err(|_| Error::other("the name of a source must be UTF-8"))?;
    add_path(interp, Addition { source: args[1], name, filter: Some(filter), method: Method::Nar, expected: None })
}

fn path(interp: &Interp, args: &[Value]) -> Result<Value> {
    let attrs = interp.force_attrs(args[0])?;
    let (mut source, mut name, mut filter) = (None, None, None);
    let (mut method, mut expected) = (Method::Nar, None);
    for attr in attrs.iter() {
        match attr.name.bytes() {
            b"path" => source = Some(attr.value),
            b"name" => name = Some(interp.force_text(attr.value)?),
            b"filter" => filter = Some(interp.force_function(attr.value)?),
            b"recursive" if !interp.force_bool(attr.value)? => method = Method::Flat,
            b"recursive" => {}
            b"sha256" => {
                let hash = Hash::parse(interp.force_text(attr.value)?, Some(HashAlgo::Sha256));
                expected = Some(hash.map_err(|error| Error::other(error.to_string()))?);
            }
            _ => {
                let other = attr.name;
                return Err(Error::other(format!("unsupported argument '{other}' to 'builtins.path'")));
            }
        }
    }
    let source = source
        .ok_or_else(|| Error::other("missing required 'path' attribute in the first argument to 'builtins.path'"))?;
    let name = match name {
        Some(name) => name,
        None => {
            let path = interp.coerce_to_path(source)?;
            std::str::from_utf8(paths::base_name(path.bytes()))
                .map_err(|_| Error::other("the name of a source must be UTF-8"))?
        }
    };
    add_path(interp, Addition { source, name, filter, method, expected })
}

/// A copy into the store with all that can be said about it.
struct Addition<'a> {
    source: Value,
    name: &'a str,
    filter: Option<Value>,
    method: Method,
    expected: Option<Hash>,
}

fn add_path(interp: &Interp, addition: Addition<'_>) -> Result<Value> {
    let shown = interp.coerce_to_path(addition.source)?;
    let shown = paths::path(&paths::canonical(shown.bytes())).to_owned();
    let source = interp.readable_path(addition.source)?;
    let mut accept = |path: &Path, kind: FileType| -> std::result::Result<bool, HostError> {
        // The program sees the path as it gave it, wherever the files really are.
        let path = path.strip_prefix(&source).map_or(path.to_owned(), |rest| shown.join(rest));
        let args = [Value::string(paths::bytes(&path)), Value::string(kind.name())];
        let keep = addition.filter.map_or(Ok(Value::TRUE), |filter| interp.call(filter, &args));
        keep.and_then(|keep| interp.force_bool(keep)).map_err(HostError::Callback)
    };
    let copy = CopyPath {
        source: &source,
        name: addition.name,
        method: addition.method,
        filter: addition.filter.is_some().then_some(&mut accept),
        expected: addition.expected.as_ref(),
    };
    let path = interp.host().copy_path(copy)?;
    interp.remember_source(&path, &source);
    Ok(store_path_string(&path).into())
}

fn find_file(interp: &Interp, args: &[Value]) -> Result<Value> {
    let entries = interp.force_list(args[0])?;
    let wanted = interp.force_text(args[1])?;
    for entry in entries.items() {
        let entry = interp.force_attrs(*entry)?;
        let prefix = match entry.get(Symbol::PREFIX) {
            Some(prefix) => interp.force_text(prefix)?,
            None => "",
        };
        let Some(rest) = below(wanted, prefix) else { continue };
        let location = interp.attr(entry, Symbol::PATH)?.value;
        let Some(base) = search_location(interp, location)? else { continue };
        // The rest is canonical by itself: it leads nowhere above the entry.
        let found = [paths::bytes(&base), &paths::canonical(rest.as_bytes())].concat();
        let found = paths::canonical(&found);
        if interp.host().file_type(&interp.real_source(paths::path(&found)))?.is_some() {
            return Ok(Value::path(found));
        }
    }
    if let Some(name) = wanted.strip_prefix("nix/") {
        return Ok(Value::path(embedded::named(name)));
    }
    let hint = if interp.settings().pure { "pure evaluation has no search path" } else { "add it with NIX_PATH or -I" };
    Err(Error::new(ErrorKind::Throw, format!("file '{wanted}' was not found in the Nix search path ({hint})")))
}

/// What of `name` is below `prefix`: all of it below the empty prefix, nothing (`""`) if they are the same.
fn below<'a>(name: &'a str, prefix: &str) -> Option<&'a str> {
    match name.strip_prefix(prefix)? {
        rest if prefix.is_empty() => Some(rest),
        "" => Some(""),
        rest => rest.strip_prefix('/'),
    }
}

/// Where an entry of the search path is: a directory, or a URL whose archive is fetched.
fn search_location(interp: &Interp, value: Value) -> Result<Option<PathBuf>> {
    let text = interp.coerce_to_string(value, Coercion::PATH_PART)?;
    interp.realise_context(text)?;
    let text = text.text();
    if !is_url(&text) {
        return Ok(Some(interp.settings().directory.join(&*text)));
    }
    let url = match text.strip_prefix("channel:") {
        Some(channel) => format!("https://nixos.org/channels/{channel}/nixexprs.tar.xz"),
        None => text.into_owned(),
    };
    let (fetcher, url) = match url.strip_prefix("flake:") {
        Some(reference) => (Fetcher::Tree, reference.to_owned()),
        None => (Fetcher::Tarball, url),
    };
    let attrs = std::iter::once(("url".to_owned(), FetchValue::String(url))).collect();
    let fetched = interp.host().fetch(&FetchRequest { fetcher, attrs })?;
    Ok(Some(PathBuf::from(fetched.path.to_absolute())))
}
