//! The arguments of `nix-instantiate`.

use std::path::PathBuf;

use clap::Parser;
use project::Argument;

use crate::failure::Failure;
use crate::nix_options::{self, Form, NixOptions};
use crate::target::BuildArguments;

/// What is asked for.
#[derive(Debug, Default)]
pub(super) struct Request {
    pub(super) mode: Mode,
    pub(super) output: Output,
    pub(super) strict: bool,
    pub(super) no_location: bool,
    /// Write into the store, `Some(false)`: compute paths only; by default that depends on the mode.
    pub(super) writes: Option<bool>,
    /// The operands are expressions, not files.
    pub(super) are_expressions: bool,
    /// Read an expression from standard input.
    pub(super) from_stdin: bool,
    pub(super) operands: Vec<String>,
    pub(super) attributes: Vec<String>,
    pub(super) arguments: Vec<(String, Argument)>,
    pub(super) includes: Vec<String>,
    /// The link that keeps the derivations from being collected.
    pub(super) root: Option<PathBuf>,
    pub(super) show_trace: bool,
    pub(super) quiet: bool,
    pub(super) offline: bool,
    pub(super) store: Option<PathBuf>,
    pub(super) nix: NixOptions,
    /// How to build what the evaluation wants to read.
    pub(super) build: BuildArguments,
}

/// Flags of Nix about builds that are flags of the commands that build, by the same or another name.
const BUILD_VALUES: &[(&str, &str)] = &[
    ("-j", "--jobs"),
    ("--max-jobs", "--jobs"),
    ("--cores", "--cores"),
    ("--timeout", "--timeout"),
    ("--max-silent-time", "--max-silent-time"),
    ("--builders", "--builders"),
];
const BUILD_SWITCHES: &[(&str, &str)] = &[
    ("-k", "--keep-going"),
    ("--keep-going", "--keep-going"),
    ("-K", "--keep-failed"),
    ("--keep-failed", "--keep-failed"),
];

/// Reads those flags as the commands that build do.
#[derive(Parser)]
#[command(no_binary_name = true)]
struct BuildFlags {
    #[command(flatten)]
    build: BuildArguments,
}

impl Request {
    /// Whether anything is to be written into the store.
    pub(super) fn writes(&self) -> bool {
        self.writes.unwrap_or(self.mode == Mode::Instantiate)
    }
}

/// What to do with the expressions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Mode {
    /// Write their derivations and print the paths.
    #[default]
    Instantiate,
    /// Print their values.
    Evaluate,
    /// Print their syntax trees.
    Parse,
    /// Print where the search path has the operands.
    FindFile,
}

/// How a value is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Output {
    #[default]
    Plain,
    Json,
    Xml,
    Raw,
}

/// What came of the arguments.
#[derive(Debug)]
pub(super) enum Parsed {
    Request(Box<Request>),
    /// `--help` and `--version`.
    Print(String),
}

const HELP: &str = "\
Usage: nix-instantiate [OPTIONS] [--expr] [FILES or EXPRESSIONS]

Writes the derivations of Nix expressions into Wharf's store and prints their paths.

  --eval                     print values instead [--strict] [--json | --xml [--no-location] | --raw]
  --parse                    print syntax trees instead
  --find-file                print where the search path has the operands
  -E, --expr                 the operands are expressions; - is one from standard input
  -A, --attr PATH            take this attribute
  --arg NAME EXPR            give functions this argument; --argstr NAME STRING, --arg-from-file NAME FILE,
                             --arg-from-stdin NAME
  -I [NAME=]PATH             add to the search path
  --add-root PATH            make a link to the derivation, which keeps it from being collected
  --read-write-mode          with --eval: write into the store; --dry-run: never write
  -j N, --cores N, -k, -K, --timeout S, --max-silent-time S, --builders MACHINES
                             how to build what the evaluation reads, as `wharf build` has it
  --option NAME VALUE        set one of Nix's settings; --pure-eval and so on mean the same
  --show-trace               show every step of a failed evaluation
  --store STORE              the store: own, daemon, unix://SOCKET, a directory; auto for what $WHARF_STORE says

Example:
  nix-instantiate --eval --strict -E '{ a = 1 + 1; }'
";

pub(super) fn parse(arguments: &[String]) -> Result<Parsed, Failure> {
    let mut request = Request::default();
    let mut build: Vec<String> = Vec::new();
    let mut rest = expand(arguments).into_iter();
    while let Some(argument) = rest.next() {
        let mut value = || rest.next().ok_or_else(|| Failure::usage(format!("the flag '{argument}' needs a value")));
        match argument.as_str() {
            "--help" => return Ok(Parsed::Print(HELP.to_owned())),
            "--version" => return Ok(Parsed::Print(version())),
            "-A" | "--attr" => request.attributes.push(value()?),
            "-I" | "--include" => request.includes.push(value()?),
            "--add-root" => request.root = Some(value()?.into()),
            "--store" => request.store = Some(value()?.into()),
            "--arg" => request.arguments.push((value()?, Argument::Expression(value()?))),
            "--argstr" => request.arguments.push((value()?, Argument::String(value()?))),
            "--arg-from-file" => request.arguments.push((value()?, Argument::String(read_text(&value()?)?))),
            "--option" => request.nix.set(value()?, value()?),
            "--arg-from-stdin" => request.arguments.push((value()?, Argument::String(read_stdin()?))),
            "--log-format" => drop(value()?),
            flag if is_in(BUILD_VALUES, flag) => match (flag, value()?) {
                // What Nix means by these words is what happens without the flag.
                ("-j" | "--max-jobs", auto) if auto == "auto" => {}
                ("--cores", all) if all == "0" => {}
                (flag, value) => build.push(format!("{}={value}", same_as(BUILD_VALUES, flag))),
            },
            flag if is_in(BUILD_SWITCHES, flag) => build.push(same_as(BUILD_SWITCHES, flag).to_owned()),
            _ if switch(&mut request, &argument) => {}
            flag if flag.starts_with('-') && flag != "-" => {
                let Some((name, form)) = setting(flag) else {
                    return Err(Failure::usage(format!("unrecognised flag '{flag}'"))
                        .help("`nix-instantiate --help` lists what there is"));
                };
                match form {
                    Form::Value => request.nix.set(name, value()?),
                    Form::Switch => request.nix.set(name, if flag.starts_with("--no-") { "false" } else { "true" }),
                }
            }
            _ => request.operands.push(argument),
        }
    }
    // Describing the flags costs more than most evaluations do.
    if !build.is_empty() {
        let flags = BuildFlags::try_parse_from(build);
        request.build = flags.map_err(|error| Failure::usage(error.to_string().trim_end().to_owned()))?.build;
    }
    Ok(Parsed::Request(Box::new(request)))
}

fn is_in(flags: &[(&str, &str)], flag: &str) -> bool {
    flags.iter().any(|(known, _)| *known == flag)
}

fn same_as<'a>(flags: &[(&str, &'a str)], flag: &str) -> &'a str {
    flags.iter().find(|(known, _)| *known == flag).map_or("", |(_, ours)| *ours)
}

/// Flags without a value; false for what is none.
fn switch(request: &mut Request, argument: &str) -> bool {
    match argument {
        "-" => request.from_stdin = true,
        "-E" | "--expr" => request.are_expressions = true,
        "--eval" | "--eval-only" => request.mode = Mode::Evaluate,
        "--parse" | "--parse-only" => request.mode = Mode::Parse,
        "--find-file" => request.mode = Mode::FindFile,
        "--strict" => request.strict = true,
        "--json" => request.output = Output::Json,
        "--xml" => request.output = Output::Xml,
        "--raw" => request.output = Output::Raw,
        "--no-location" => request.no_location = true,
        "--read-write-mode" => request.writes = Some(true),
        "--readonly-mode" | "--dry-run" => request.writes = Some(false),
        "--show-trace" => request.show_trace = true,
        "--no-show-trace" => request.show_trace = false,
        "--impure" => request.nix.set("pure-eval", "false"),
        "--offline" => request.offline = true,
        "-q" | "--quiet" => request.quiet = true,
        // Roots are always links from elsewhere, nothing is said but warnings, and what caches lack is built.
        "--indirect" | "-v" | "--verbose" | "-Q" | "--no-build-output" | "--fallback" => {}
        _ => return false,
    }
    true
}

/// A setting given as a flag: `--name` or `--no-name`.
fn setting(flag: &str) -> Option<(&str, Form)> {
    let name = flag.strip_prefix("--")?;
    match (nix_options::form(name), name.strip_prefix("no-")) {
        (Some(form), _) => Some((name, form)),
        (None, Some(name)) if nix_options::form(name) == Some(Form::Switch) => Some((name, Form::Switch)),
        _ => None,
    }
}

/// Takes `-vE` apart, as `-v -E`.
fn expand(arguments: &[String]) -> Vec<String> {
    let mut expanded = Vec::with_capacity(arguments.len());
    for argument in arguments {
        match argument.strip_prefix('-') {
            Some(letters) if letters.len() > 1 && letters.bytes().all(|letter| letter.is_ascii_alphabetic()) => {
                expanded.extend(letters.chars().map(|letter| format!("-{letter}")));
            }
            _ => expanded.push(argument.clone()),
        }
    }
    expanded
}

fn read_text(file: &str) -> Result<String, Failure> {
    std::fs::read_to_string(file).map_err(|error| Failure::io("read", file.as_ref(), error))
}

fn read_stdin() -> Result<String, Failure> {
    std::io::read_to_string(std::io::stdin()).map_err(|error| Failure::io("read", "standard input".as_ref(), error))
}

fn version() -> String {
    format!("nix-instantiate (Wharf {}) {}\n", env!("CARGO_PKG_VERSION"), eval::builtins::NIX_VERSION)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(line: &str) -> Request {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        match parse(&words) {
            Ok(Parsed::Request(request)) => *request,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn nix_s_own_forms_are_understood() {
        let asked = request("--eval -vE 1+1 -A a -A b --argstr x y --option restrict-eval true --no-pure-eval");
        assert_eq!((asked.mode, asked.are_expressions), (Mode::Evaluate, true));
        assert_eq!((asked.operands, asked.attributes), (vec!["1+1".to_owned()], vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(asked.arguments.len(), 1);
        let resolved =
            asked.nix.resolve(&nix_formats::nix_conf::NixConf::default(), eval::Settings::default()).unwrap();
        assert!(resolved.restricted && !resolved.evaluation.pure);
        assert!(request("--parse -").from_stdin);
        assert_eq!(request("-j auto --cores 0 -Q --log-format raw --eval").mode, Mode::Evaluate);
        assert!(format!("{:?}", request("-kj 3 -K --timeout 7").build).contains("jobs: Some(3)"));
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for line in ["--no-such-flag", "--no-max-call-depth", "-A", "--max-call-depth", "-j x", "--timeout"] {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            assert!(parse(&words).is_err(), "{line}");
        }
    }
}
