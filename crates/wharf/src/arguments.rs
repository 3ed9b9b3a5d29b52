//! The command line: what is accepted, and which command runs.

use std::ffi::OsString;
use std::mem::ManuallyDrop;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::commands;
use crate::failure::{Failure, USAGE};
use crate::settings::{GlobalArguments, Settings};

/// From a Nix expression to a running container, without Nix, without Docker, without root.
///
/// A TARGET is what Nix users type: a file, a directory, or a flake reference such as `.#name`.
#[derive(Parser)]
#[command(name = "wharf", version, propagate_version = true, max_term_width = 100, after_help = EXAMPLES)]
struct CommandLine {
    #[command(flatten)]
    global: GlobalArguments,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  wharf build ./packages/ollama-container.nix    build an image; leaves the archive `result`
  wharf run ./examples/registry -p 5000:5000     build it and run it
  wharf push .#web registry.example.org/web:1.2  build it and send what the registry lacks
  wharf eval --raw ./web.nix -A tag              look at a value

Exit codes: 0 done, 1 what was asked failed, 2 the command line makes no sense;
`wharf run` gives the container's own.";

#[derive(Subcommand)]
enum Command {
    /// Build an image and run it
    Run(Box<commands::run::Arguments>),
    /// Show an image: its configuration, its layers and what is in them
    Inspect(commands::inspect::Arguments),
    /// Show what brings something into an image
    Why(commands::why::Arguments),
    /// Show what is different between two images, and what a push would send
    Diff(commands::diff::Arguments),
    /// Build images and hand them to docker or podman
    Load(commands::load::Arguments),
    /// Print what a builder wrote
    Log(commands::log::Arguments),
    /// Check that this machine can build and run containers
    Doctor(commands::doctor::Arguments),
    /// Look after the store: what is in it, is it whole, what may go
    Store(commands::store::Arguments),
    #[command(hide = true)]
    Layer(commands::layer::Arguments),
    /// Build images and other derivations
    Build(Box<commands::build::Arguments>),
    /// Print the value of an expression
    Eval(commands::eval::Arguments),
    /// Try expressions out: each line is evaluated and printed
    Repl(commands::repl::Arguments),
    /// List what a flake provides
    Show(commands::show::Arguments),
    /// Write the derivations of a target and print their paths
    Instantiate(commands::instantiate::Arguments),
    /// Write the manifests of `containers.<name>` for Kubernetes, NixOS, podman or Compose
    Render(commands::render::Arguments),
    /// Show what each target makes of the options of `containers.<name>`
    Explain(commands::explain::Arguments),
    /// Build images and send to a registry, or another place, what it lacks
    Push(commands::push::Arguments),
    /// Write down what the flake's inputs and the base images stand for now, where that is not written down yet
    Lock(commands::locks::Lock),
    /// Move what the flake's inputs and the base images stand for to what it is now
    Update(commands::locks::Update),
    /// Get an image from a registry, or another place, as an OCI layout
    Pull(commands::pull::Arguments),
    /// Copy an image from any place to any other
    Copy(commands::copy::Arguments),
    /// List the tags of a repository
    Tags(commands::tags::Arguments),
    /// Delete a tag or, by digest, an image from a registry
    Delete(commands::delete::Arguments),
    /// Remember who you are at a registry
    Login(commands::login::Login),
    /// Forget who you are at a registry
    Logout(commands::login::Logout),
    /// Write a forge's pipeline, and run its steps
    Ci(commands::ci::Arguments),
    /// Serve container images from a directory
    Registry(commands::registry::Arguments),
    /// Programs that the binary carries: a shell and core utilities
    Userland(commands::userland::Arguments),
    /// Print a script that completes wharf's arguments in a shell
    Completions(commands::completions::Arguments),
    /// Write the manual pages
    Man(commands::man::Arguments),
}

/// Parses the process's arguments and runs what they ask for; the exit code.
pub(crate) fn run() -> i32 {
    let command_line = match parse(with_volumes(std::env::args_os().collect())) {
        Ok(command_line) => command_line,
        Err(error) => {
            let code = if error.use_stderr() { USAGE } else { 0 };
            // If the message cannot be printed there is nobody to tell.
            let _ = error.print();
            return code;
        }
    };
    let settings = match Settings::resolve(&command_line.global) {
        Ok(settings) => settings,
        Err(failure) => {
            eprint!("{}", failure.render(false, false));
            return USAGE;
        }
    };
    dispatch(command_line.command, &settings).unwrap_or_else(|failure| failure.report(&settings))
}

/// As [`clap::Parser::try_parse_from`], but for taking the description of every command apart in the end: that is a fifth
/// of the instructions of a command that has little to do.
fn parse(argv: Vec<OsString>) -> Result<CommandLine, clap::Error> {
    let mut described = ManuallyDrop::new(CommandLine::command());
    let mut matches = described.try_get_matches_from_mut(argv)?;
    CommandLine::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut described))
}

/// `-v` is `--verbose` everywhere, and to everybody who runs containers it is a volume too. Before a value with a colon
/// it can only be the second.
fn with_volumes(mut argv: Vec<OsString>) -> Vec<OsString> {
    let runs =
        argv.iter().skip(1).find(|arg| !arg.as_encoded_bytes().starts_with(b"-")).is_some_and(|arg| arg == "run");
    let end = argv.iter().position(|arg| arg == "--").unwrap_or(argv.len());
    for index in 1..end.saturating_sub(1) {
        if runs && argv[index] == "-v" && argv[index + 1].as_encoded_bytes().contains(&b':') {
            argv[index] = "--volume".into();
        }
    }
    argv
}

fn dispatch(command: Command, settings: &Settings) -> Result<i32, Failure> {
    match command {
        Command::Run(arguments) => commands::run::run(&arguments, settings),
        Command::Inspect(arguments) => commands::inspect::run(&arguments, settings),
        Command::Why(arguments) => commands::why::run(&arguments, settings),
        Command::Diff(arguments) => commands::diff::run(&arguments, settings),
        Command::Doctor(arguments) => commands::doctor::run(&arguments, settings),
        Command::Load(arguments) => commands::load::run(&arguments, settings),
        Command::Log(arguments) => commands::log::run(&arguments, settings),
        Command::Store(arguments) => commands::store::run(&arguments, settings),
        Command::Layer(arguments) => commands::layer::run(&arguments),
        Command::Build(arguments) => commands::build::run(&arguments, settings),
        Command::Eval(arguments) => commands::eval::run(&arguments, settings),
        Command::Repl(arguments) => commands::repl::run(&arguments, settings),
        Command::Show(arguments) => commands::show::run(&arguments, settings),
        Command::Instantiate(arguments) => commands::instantiate::run(&arguments, settings),
        Command::Render(arguments) => commands::render::run(&arguments, settings),
        Command::Explain(arguments) => commands::explain::run(&arguments, settings),
        Command::Push(arguments) => commands::push::run(&arguments, settings),
        Command::Lock(arguments) => commands::locks::lock(&arguments, settings),
        Command::Update(arguments) => commands::locks::update(&arguments, settings),
        Command::Pull(arguments) => commands::pull::run(&arguments, settings),
        Command::Copy(arguments) => commands::copy::run(&arguments, settings),
        Command::Tags(arguments) => commands::tags::run(&arguments, settings),
        Command::Delete(arguments) => commands::delete::run(&arguments, settings),
        Command::Login(arguments) => commands::login::login(&arguments, settings),
        Command::Logout(arguments) => commands::login::logout(&arguments, settings),
        Command::Ci(arguments) => commands::ci::run(&arguments, settings),
        Command::Registry(arguments) => commands::registry::run(&arguments, settings),
        Command::Userland(arguments) => commands::userland::run(&arguments),
        Command::Completions(arguments) => commands::completions::run(&arguments, definition()),
        Command::Man(arguments) => commands::man::run(&arguments, definition()),
    }
}

/// The whole command line as data, for completions and manual pages.
pub(crate) fn definition() -> clap::Command {
    CommandLine::command()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_volume_may_be_given_as_docker_takes_it() {
        let rewritten = |line: &str| {
            let argv = super::with_volumes(line.split(' ').map(Into::into).collect());
            argv.iter().map(|arg| arg.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(rewritten("wharf run x -v a:/b -v"), "wharf run x --volume a:/b -v");
        assert_eq!(rewritten("wharf build -v a:/b"), "wharf build -v a:/b");
        assert_eq!(rewritten("wharf run x -- sh -v a:b"), "wharf run x -- sh -v a:b");
    }

    #[test]
    fn the_definition_is_consistent() {
        super::definition().debug_assert();
    }
}
