//! How to evaluate.

use std::path::PathBuf;

/// How to evaluate; what the command line and the configuration say, without the world itself, which is the host's.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Pure evaluation: no `currentSystem`, `currentTime`, environment or search path.
    pub pure: bool,
    /// `builtins.currentSystem`, as `x86_64-linux`.
    pub system: String,
    /// What `<name>` finds, in order.
    pub search_path: Vec<SearchPathEntry>,
    /// What relative paths in the search path are relative to.
    pub directory: PathBuf,
    /// What `~` stands for in paths.
    pub home: Option<PathBuf>,
    /// How deeply calls may nest.
    pub max_call_depth: u32,
    /// Whether `|>` and `<|` are operators.
    pub pipe_operators: bool,
    /// What to say of constructs that are better written otherwise.
    pub lints: syntax::Lints,
    /// Whether `builtins.traceVerbose` shows its message.
    pub trace_verbose: bool,
    /// Whether `builtins.fromTOML` reads dates and times.
    pub toml_timestamps: bool,
    /// Whether evaluation may build (import from derivation).
    pub import_from_derivation: bool,
}

/// One entry of `NIX_PATH` or `-I`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchPathEntry {
    /// The name before `=`; empty for an entry without one.
    pub prefix: String,
    /// A path as it was given, or a URL that is fetched when it is needed.
    pub path: String,
}

impl SearchPathEntry {
    /// Whether it is fetched, and no path of this machine.
    pub fn is_url(&self) -> bool {
        is_url(&self.path)
    }
}

/// Whether what an entry of the search path says is fetched, and no path of this machine.
pub(crate) fn is_url(path: &str) -> bool {
    path.contains("://") || path.starts_with("channel:") || path.starts_with("flake:")
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            pure: false,
            system: "x86_64-linux".to_owned(),
            search_path: Vec::new(),
            directory: PathBuf::from("/"),
            home: None,
            max_call_depth: 10_000,
            pipe_operators: false,
            lints: syntax::Lints::default(),
            trace_verbose: false,
            toml_timestamps: false,
            import_from_derivation: true,
        }
    }
}
