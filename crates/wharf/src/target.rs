//! The arguments by which commands name what they work on, and the project they open for it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use eval::SearchPathEntry;
use fetch::Lifetime;
use fetch::lock::InputPath;
use nix_formats::flake_ref::FlakeRef;
use project::{Argument, LockSettings, Named, Options, Packages, Project, Target};
use store::progress::Progress;

use crate::failure::Failure;
use crate::nix_conf;
use crate::nix_options::NixOptions;
use crate::settings::Settings;

pub(crate) use crate::build_arguments::{BuildArguments, Sink};

/// What to evaluate.
#[derive(clap::Args, Clone, Debug, Default)]
#[command(next_help_heading = "What to evaluate")]
pub(crate) struct TargetArguments {
    /// Evaluate this file; TARGET is then an attribute path in it
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Evaluate this text; TARGET is then an attribute path in its value
    #[arg(short = 'E', long = "expr", value_name = "TEXT", conflicts_with = "file")]
    expression: Option<String>,
    /// Take this attribute of the value
    #[arg(short = 'A', long = "attr", value_name = "PATH")]
    attribute: Option<String>,
    /// Give functions this argument: a name and an expression
    #[arg(long = "arg", num_args = 2, value_names = ["NAME", "EXPR"], action = clap::ArgAction::Append)]
    arguments: Vec<String>,
    /// Give functions this argument: a name and a string
    #[arg(long = "argstr", num_args = 2, value_names = ["NAME", "STRING"], action = clap::ArgAction::Append)]
    string_arguments: Vec<String>,
    /// Where pkgs comes from: a file, a directory, <name> of the search path, or <wharf> for the set that Wharf carries
    /// [default: the nixpkgs that the project's flake.lock pins, that of the search path, the set that Wharf carries]
    #[arg(long, value_name = "PKGS")]
    pkgs: Option<String>,
    /// Add to what <name> finds, before NIX_PATH
    #[arg(short = 'I', long = "include", value_name = "NAME=PATH")]
    include: Vec<String>,
    /// The system to evaluate for
    #[arg(long, value_name = "SYSTEM")]
    system: Option<String>,
    /// Take dockerTools and ociTools from nixpkgs, with its scripts and virtual machines, instead of Wharf's own
    #[arg(long)]
    nixpkgs_docker_tools: bool,
    /// Let a flake read files and variables of this machine
    #[arg(long)]
    impure: bool,
    /// Let expressions read only what is below the search path
    #[arg(long)]
    restrict_eval: bool,
    /// Switch on features of the language, as pipe-operators
    #[arg(long = "extra-experimental-features", value_name = "FEATURES", alias = "experimental-features")]
    features: Vec<String>,
    /// Evaluate anew, whatever is known from before
    #[arg(long)]
    no_eval_cache: bool,
    #[command(flatten)]
    locks: LockArguments,
    /// Set one of Nix's settings: a name and a value
    #[arg(long = "option", num_args = 2, value_names = ["NAME", "VALUE"], action = clap::ArgAction::Append)]
    nix_options: Vec<String>,
}

/// What the inputs of a flake are taken to be.
#[derive(clap::Args, Clone, Debug, Default)]
#[command(next_help_heading = "Flakes")]
pub(crate) struct InputArguments {
    /// Take an input of the flake from elsewhere: NAME or NAME/NAME, and a reference
    #[arg(long, num_args = 2, value_names = ["INPUT", "FLAKE"], action = clap::ArgAction::Append)]
    override_input: Vec<String>,
    /// Ask again for branches and addresses, however lately they were asked for
    #[arg(long)]
    pub(crate) refresh: bool,
}

/// How flakes are locked.
#[derive(clap::Args, Clone, Debug, Default)]
#[command(next_help_heading = "Flakes")]
pub(crate) struct LockArguments {
    #[command(flatten)]
    inputs: InputArguments,
    /// Do not write a lock file that had to be completed; --override-input leaves it alone too
    #[arg(long)]
    no_write_lock_file: bool,
    /// Fail where a lock file would have to be completed
    #[arg(long)]
    no_update_lock_file: bool,
}

impl InputArguments {
    /// The inputs that are overridden.
    pub(crate) fn overrides(&self) -> Result<BTreeMap<InputPath, FlakeRef>, Failure> {
        let directory = current_directory()?;
        let pairs = self.override_input.chunks_exact(2).map(|pair| {
            let (reference, fragment) = fetch::locate(&directory, &pair[1])?;
            if !fragment.is_empty() {
                return Err(Failure::usage(format!("'{}' names an output, but an input is a flake", pair[1])));
            }
            Ok((input_path(&pair[0]), reference))
        });
        pairs.collect()
    }
}

impl LockArguments {
    fn apply(&self, options: &mut Options) -> Result<(), Failure> {
        options.locks = LockSettings {
            overrides: self.inputs.overrides()?,
            write: !self.no_write_lock_file,
            complete: !self.no_update_lock_file,
        };
        if self.inputs.refresh {
            options.fetching.lifetime = Lifetime(0);
        }
        Ok(())
    }
}

/// The inputs that `NAME/NAME` leads through.
pub(crate) fn input_path(text: &str) -> InputPath {
    text.split('/').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// Whether the evaluator's counters are printed.
#[derive(clap::Args, Clone, Copy, Debug, Default)]
pub(crate) struct StatisticsArgument {
    /// Print what the evaluator did, as JSON on standard error
    #[arg(long, help_heading = "What to evaluate")]
    stats: bool,
}

impl StatisticsArgument {
    /// Prints the counters of a project's last evaluation. Without one, the evaluation cache knew the result.
    pub(crate) fn print(self, project: &Project) {
        if !self.stats {
            return;
        }
        let mut counters = serde_json::Map::new();
        let statistics = project.statistics();
        counters.insert("evaluated".to_owned(), statistics.is_some().into());
        for (name, count) in statistics.iter().flat_map(eval::Statistics::fields) {
            counters.insert(name.to_owned(), count.into());
        }
        eprintln!("{}", serde_json::Value::Object(counters));
    }
}

impl TargetArguments {
    /// Finds the target that these arguments and the positional one mean.
    pub(crate) fn target(&self, positional: Option<&str>) -> Result<Target, Failure> {
        let named = Named {
            positional: positional.map(str::to_owned),
            file: self.file.clone(),
            expression: self.expression.clone(),
            attribute: self.attribute.clone(),
        };
        Ok(named.resolve(&current_directory()?)?)
    }

    /// Whether a file or an expression is named beside the positional argument.
    pub(crate) fn names_an_expression(&self) -> bool {
        self.file.is_some() || self.expression.is_some()
    }

    /// Makes the project. With `write`, sources that expressions name are copied into the store.
    pub(crate) fn open(
        &self,
        settings: &Settings,
        build: &BuildArguments,
        progress: Arc<dyn Progress>,
        write: bool,
    ) -> Result<Project, Failure> {
        let packages = match self.pkgs.as_deref() {
            None => None,
            Some(text) => Some(match text.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')) {
                Some("wharf") => Packages::BuiltIn,
                Some(name) => Packages::SearchPath(name.to_owned()),
                None => Packages::File(current_directory()?.join(text)),
            }),
        };
        let mut options = options(settings, &self.nix_options(), build, progress)?;
        self.locks.apply(&mut options)?;
        options.impure = self.impure;
        options.packages = packages;
        options.nixpkgs_docker_tools = self.nixpkgs_docker_tools;
        options.arguments = self.given();
        options.write = write;
        options.evaluation.search_path.splice(0..0, self.include.iter().map(|entry| search_path_entry(entry)));
        if let Some(system) = &self.system {
            options.evaluation.system.clone_from(system);
        }
        Ok(Project::new(options))
    }

    fn nix_options(&self) -> NixOptions {
        let mut nix = NixOptions::default();
        self.nix_options.chunks_exact(2).for_each(|pair| nix.set(&pair[0], &pair[1]));
        self.features.iter().for_each(|features| nix.set("extra-experimental-features", features));
        if self.restrict_eval {
            nix.set("restrict-eval", "true");
        }
        if self.no_eval_cache {
            nix.set("eval-cache", "false");
        }
        nix
    }

    fn given(&self) -> Vec<(String, Argument)> {
        let pairs = |flat: &[String], make: fn(String) -> Argument| -> Vec<(String, Argument)> {
            flat.chunks_exact(2).map(|pair| (pair[0].clone(), make(pair[1].clone()))).collect()
        };
        let mut given = pairs(&self.arguments, Argument::Expression);
        given.extend(pairs(&self.string_arguments, Argument::String));
        given
    }
}

/// How expressions are evaluated if nobody says otherwise.
pub(crate) fn language() -> eval::Settings {
    eval::Settings { system: format!("{}-linux", std::env::consts::ARCH), ..eval::Settings::default() }
}

/// What every project is told, before the command's own arguments.
pub(crate) fn options(
    settings: &Settings,
    nix: &NixOptions,
    build: &BuildArguments,
    progress: Arc<dyn Progress>,
) -> Result<Options, Failure> {
    let binary = std::env::current_exe()
        .map_err(|error| Failure::new("cannot find the running binary").because(error.to_string()))?;
    let given = nix.others();
    let caches = build.substituters.resolve(settings, &given)?;
    let conf = nix_conf::read(&settings.environment, &given)?;
    let nix = nix.resolve(&conf, language()).map_err(Failure::usage)?;
    nix.unknown.iter().for_each(|unknown| progress.warn(unknown));
    let (daemon, machines) = build.places(settings, &conf, &given)?;
    let mut evaluation = nix.evaluation;
    evaluation.home.clone_from(&settings.environment.home);
    evaluation.search_path = match (&settings.environment.nix_path, nix.search_path) {
        (Some(variable), None | Some((_, false))) => split_search_path(variable),
        (_, Some((entries, _))) => entries.iter().map(|entry| search_path_entry(entry)).collect(),
        (None, None) => Vec::new(),
    };
    Ok(Options {
        data: settings.data.clone(),
        daemon,
        machines,
        cache: settings.cache.clone(),
        registries: crate::registries::client_settings(&settings.environment)?,
        build: build.resolve(&binary, &conf),
        substituters: Arc::new(caches.substituters),
        fetching: caches.fetching,
        locks: LockSettings::default(),
        binary,
        directory: current_directory()?,
        evaluation,
        restricted: nix.restricted,
        allowed_uris: nix.allowed_uris,
        impure: false,
        packages: None,
        nixpkgs_docker_tools: false,
        arguments: Vec::new(),
        write: false,
        use_cache: nix.use_cache,
        variables: Arc::new(|name| std::env::var_os(name).map(std::os::unix::ffi::OsStringExt::into_vec)),
        sink: build.sink.clone().map(|Sink(sink)| sink),
        progress,
    })
}

pub(crate) fn current_directory() -> Result<PathBuf, Failure> {
    std::env::current_dir()
        .map_err(|error| Failure::new("the current directory is not there").because(error.to_string()))
}

/// `name=path`, or a path whose entries are names. A path that is relative is so to the current directory.
pub(crate) fn search_path_entry(text: &str) -> SearchPathEntry {
    let (prefix, path) = text.split_once('=').unwrap_or(("", text));
    SearchPathEntry { prefix: prefix.to_owned(), path: path.to_owned() }
}

/// Splits at colons, but for those of addresses such as `https://…` and of `flake:` and `channel:`.
fn split_search_path(text: &str) -> Vec<SearchPathEntry> {
    let mut entries: Vec<String> = Vec::new();
    for piece in text.split(':') {
        match entries.last_mut() {
            Some(last) if piece.starts_with("//") || last.ends_with("flake") || last.ends_with("channel") => {
                last.push(':');
                last.push_str(piece);
            }
            _ => entries.push(piece.to_owned()),
        }
    }
    entries.iter().filter(|entry| !entry.is_empty()).map(|entry| search_path_entry(entry)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_search_path_keeps_addresses_whole() {
        let entries = split_search_path("nixpkgs=/a:b:x=https://e.org/c.tar.gz:y=flake:nixpkgs");
        let shown: Vec<String> = entries.iter().map(|entry| format!("{}={}", entry.prefix, entry.path)).collect();
        assert_eq!(shown, ["nixpkgs=/a", "=b", "x=https://e.org/c.tar.gz", "y=flake:nixpkgs"]);
    }
}
