//! A directory with a definition, and a Wharf that has its home there.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

/// A directory that is home, store and cache at once.
pub struct Place {
    dir: TempDir,
}

impl Place {
    /// One whose `image.nix` is `definition`.
    pub fn new(definition: &str) -> Self {
        let place = Self { dir: TempDir::new().expect("a temporary directory") };
        place.write("image.nix", definition);
        place
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Writes a file below it.
    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path().join(name), text).expect("a file in the place");
    }

    /// Puts Debian's static `busybox` below it; false, and that is said, where there is none.
    pub fn with_busybox(&self) -> bool {
        if !peers::available(&["busybox"]) {
            return false;
        }
        let busybox = peers::find("busybox").expect("busybox is available");
        fs::copy(busybox, self.path().join("busybox")).is_ok()
    }

    /// A `wharf` that knows nothing of the machine's user, with this place as its home and working directory.
    pub fn wharf<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wharf"));
        command.current_dir(self.path()).env("HOME", self.path()).env("WHARF_STORE", "own").args(arguments);
        for variable in ["WHARF_HOME", "WHARF_CACHE", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "NIX_PATH"]
        {
            command.env_remove(variable);
        }
        command
    }

    /// Runs `wharf` to its end.
    pub fn output<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Output {
        self.wharf(arguments).output().expect("wharf starts")
    }
}
