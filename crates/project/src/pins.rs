//! `wharf.lock`: which digests the base images of a project stand for now.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// The name of the file.
pub const FILE_NAME: &str = "wharf.lock";
/// The version that this reads and writes.
const VERSION: u32 = 1;

/// The digests of base images by `NAME:TAG`, as the definitions name them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pins {
    version: u32,
    /// The images.
    pub images: BTreeMap<String, Pin>,
}

/// What an image stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pin {
    /// The digest of what the tag names: an index of several platforms, or the one manifest. `pullImage` takes it.
    pub digest: String,
    /// The digests of the platforms' manifests, by `OS/ARCHITECTURE[/VARIANT]`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub platforms: BTreeMap<String, String>,
}

impl Pins {
    /// The file in a directory or in the nearest one above that has it.
    pub fn find(directory: &Path) -> Option<PathBuf> {
        directory.ancestors().map(|directory| directory.join(FILE_NAME)).find(|file| file.is_file())
    }

    /// Reads a file; one that is not there has no pins.
    ///
    /// # Errors
    /// It cannot be read, or is not what this version writes.
    pub fn read(file: &Path) -> Result<Self, Error> {
        let bytes = match fs::read(file) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Self { version: VERSION, ..Self::default() });
            }
            Err(error) => return Err(Error::io("read", file)(error)),
        };
        let wrong = |problem: String| {
            Error::target(
                format!("'{}' is no lock of images: {problem}", file.display()),
                "`wharf lock` writes it anew if it is removed",
            )
        };
        let pins: Self = serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))?;
        match pins.version {
            VERSION => Ok(pins),
            other => Err(wrong(format!("its version is {other}, and this Wharf knows version {VERSION}"))),
        }
    }

    /// Writes a file, which is whole at any time.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn write(&self, file: &Path) -> Result<(), Error> {
        let mut text = serde_json::to_vec_pretty(self).unwrap_or_default();
        text.push(b'\n');
        replace(file, &text)
    }

    /// The images as the expression that `nix/default.nix` takes.
    pub(crate) fn to_expression(&self) -> String {
        let mut text = b"builtins.fromJSON ".to_vec();
        syntax::print_string(&serde_json::to_vec(&self.images).unwrap_or_default(), &mut text);
        String::from_utf8_lossy(&text).into_owned()
    }

    /// The pins that hold for a directory, as an expression.
    pub(crate) fn expression_for(directory: &Path) -> Result<String, Error> {
        let pins = Self::find(directory).map(|file| Self::read(&file)).transpose()?;
        Ok(pins.unwrap_or_default().to_expression())
    }
}

/// Puts a text in the place of a file, keeping its mode.
///
/// # Errors
/// The file system refuses.
pub fn replace(file: &Path, text: &[u8]) -> Result<(), Error> {
    use std::os::unix::fs::PermissionsExt;
    let write = || -> io::Result<()> {
        let directory = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let permissions =
            fs::metadata(file).map_or_else(|_| fs::Permissions::from_mode(0o644), |found| found.permissions());
        let mut temporary = tempfile::NamedTempFile::new_in(directory)?;
        temporary.write_all(text)?;
        temporary.as_file().set_permissions(permissions)?;
        temporary.as_file().sync_all()?;
        temporary.persist(file)?;
        Ok(())
    };
    write().map_err(Error::io("write", file))
}
