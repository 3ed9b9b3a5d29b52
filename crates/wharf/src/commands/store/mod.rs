//! `wharf store …`: looking after what was built, and giving it to others.

mod archive;
mod copy;
mod ends;
mod gc;
mod key;
mod opened;
mod path_info;
mod paths;
mod repair;
mod roots;
mod sign;
mod verify;
mod why_depends;

use crate::failure::Failure;
use crate::settings::Settings;
use opened::Opened;

/// Look after the store: what is in it, is it whole, what may go; and copy it to and from binary caches
#[derive(clap::Args)]
#[command(arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Subcommand,
}

#[derive(clap::Subcommand)]
enum Subcommand {
    /// Copy objects, with all that they refer to, into a binary cache
    Push(copy::Push),
    /// Copy objects, with all that they refer to, between stores and binary caches
    Copy(copy::Copy),
    /// Sign objects in the store or in a binary cache
    Sign(sign::Arguments),
    /// Make the keys that objects are signed with
    Key(key::Arguments),
    /// Print what is known of objects
    PathInfo(path_info::Arguments),
    /// Print the objects that these refer to, directly or not
    Closure(paths::Paths),
    /// Print why one object needs another
    WhyDepends(why_depends::Arguments),
    /// Print where an object really lies
    RealPath(paths::Paths),
    /// List the files of an object
    Ls(archive::Ls),
    /// Write a file of an object to standard output
    Cat(archive::Cat),
    /// Add a file or directory, and print its store path
    Add(archive::Add),
    /// Write an object as a Nix archive to standard output
    Dump(archive::Dump),
    /// Write any file or directory as a Nix archive to standard output
    DumpPath(archive::DumpPath),
    /// Print the hash of any file or directory, as `outputHash` and `narHash` have it
    Hash(archive::HashArguments),
    /// Check that the store is what its database says
    Verify(verify::Arguments),
    /// Put good copies from binary caches in the place of damaged objects
    Repair(repair::Arguments),
    /// Delete what no result link and no running command needs
    Gc(gc::Arguments),
    /// Print what keeps objects from being deleted
    Roots(roots::Arguments),
    /// Keep files that are the same only once
    Optimise,
}

pub(crate) fn run(arguments: &Arguments, settings: &Settings) -> Result<i32, Failure> {
    let store = || Opened::open(settings);
    match &arguments.command {
        Subcommand::Push(arguments) => copy::push(&store()?, arguments, settings),
        Subcommand::Copy(arguments) => copy::copy(arguments, settings),
        Subcommand::Sign(arguments) => sign::run(arguments, settings),
        Subcommand::Key(arguments) => key::run(arguments),
        Subcommand::PathInfo(arguments) => path_info::run(arguments, settings),
        Subcommand::Closure(arguments) => paths::closure(&*store()?, arguments),
        Subcommand::WhyDepends(arguments) => why_depends::run(&*store()?, arguments, settings),
        Subcommand::RealPath(arguments) => paths::real_path(store()?.with_files()?, arguments),
        Subcommand::Ls(arguments) => archive::ls(store()?.with_files()?, arguments, settings),
        Subcommand::Cat(arguments) => archive::cat(store()?.with_files()?, arguments),
        Subcommand::Add(arguments) => archive::add(&*store()?, arguments),
        Subcommand::Dump(arguments) => archive::dump(&*store()?, arguments),
        Subcommand::DumpPath(arguments) => archive::dump_path(arguments),
        Subcommand::Hash(arguments) => archive::hash(arguments, settings),
        Subcommand::Verify(arguments) => verify::run(&store()?, arguments, settings),
        Subcommand::Repair(arguments) => repair::run(&store()?, arguments, settings),
        Subcommand::Gc(arguments) => gc::run(&store()?, arguments, settings),
        Subcommand::Roots(arguments) => roots::run(&store()?, arguments, settings),
        Subcommand::Optimise => gc::optimise(&store()?, settings),
    }
}
