//! `wharf eval`.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use eval::print::{PrintOptions, print};
use eval::{Interp, Kind, StrBuilder, Symbol, Value, json};
use project::Error;

use crate::failure::Failure;
use crate::settings::Settings;
use crate::target::{BuildArguments, StatisticsArgument, TargetArguments};
use crate::{output, progress};

/// Print the value of an expression
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  wharf eval --raw ./packages/ollama-container.nix -A tag
  wharf eval --json .#web.imageName
  wharf eval -E '{ a = 1 + 1; }'
  wharf eval .#packages.x86_64-linux --apply builtins.attrNames")]
pub(crate) struct Arguments {
    /// A file, a directory, or a flake reference such as .#name
    target: Option<String>,
    /// Print a string as it is, without quotes and line break
    #[arg(long, conflicts_with_all = ["json", "write_to"])]
    raw: bool,
    /// Evaluate what is inside derivations too, and print them whole
    #[arg(long)]
    strict: bool,
    /// Print what this function gives for the value
    #[arg(long, value_name = "FUNCTION")]
    apply: Option<String>,
    /// Write a string to this file, or a set of strings to this directory
    #[arg(long, value_name = "PATH", conflicts_with = "json")]
    write_to: Option<PathBuf>,
    #[command(flatten)]
    statistics: StatisticsArgument,
    #[command(flatten)]
    what: TargetArguments,
}

pub(crate) fn run(arguments: &Arguments, settings: &Settings) -> Result<i32, Failure> {
    let target = arguments.what.target(arguments.target.as_deref())?;
    let progress = progress::observer(settings);
    let project = arguments.what.open(settings, &BuildArguments::default(), progress, false)?;
    let shown = project.evaluate(&target, |interp, value| {
        let value = applied(interp, value, arguments)?;
        match &arguments.write_to {
            // Nothing is written before all is known.
            Some(path) => write_to(interp, interp.force_deep(value)?, path).map(|()| Vec::new()),
            None => show(interp, value, arguments, settings),
        }
    });
    arguments.statistics.print(&project);
    let text = shown?;
    output::write_bytes(&text);
    Ok(0)
}

fn applied(interp: &Interp, value: Value, arguments: &Arguments) -> Result<Value, Error> {
    let Some(function) = &arguments.apply else { return Ok(value) };
    let here = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
    let origin = eval::Origin::Text("«--apply»".to_owned());
    let function = interp.eval_source(origin, function.clone().into_bytes(), &here, &[])?;
    Ok(interp.force(interp.call(function, &[value])?)?)
}

fn show(interp: &Interp, value: Value, arguments: &Arguments, settings: &Settings) -> Result<Vec<u8>, Error> {
    if arguments.raw {
        return Ok(interp.coerce_to_string(value, eval::Coercion::STRING)?.bytes().to_vec());
    }
    let mut text = if settings.json {
        let mut out = StrBuilder::default();
        json::write(interp, value, json::Paths::CopyToStore, &mut out)?;
        out.finish().bytes().to_vec()
    } else {
        let options = PrintOptions { indent: 0, color: settings.color_stdout, ..PrintOptions::RESULT };
        match arguments.strict {
            true => {
                let options = PrintOptions { derivation_paths: false, ..options };
                print(interp.force_deep(value)?, Some(interp), options)?
            }
            false => print(value, Some(interp), options)?,
        }
    };
    text.push(b'\n');
    Ok(text)
}

/// Writes a string to a new file, and a set to a new directory.
fn write_to(interp: &Interp, value: Value, path: &Path) -> Result<(), Error> {
    let failed = |action| move |source| Error::Io { action, path: path.to_owned(), source };
    let value = interp.force(value)?;
    match value.kind() {
        Kind::String(text) => {
            let mut file = fs::File::create_new(path).map_err(failed("create"))?;
            file.write_all(text.bytes()).map_err(failed("write"))
        }
        Kind::Attrs(attrs) => {
            fs::create_dir(path).map_err(failed("create"))?;
            attrs.by_name().try_for_each(|attr| write_to(interp, attr.value, &path.join(file_name(attr.name)?)))
        }
        _ => {
            let found = value.describe();
            let message =
                format!("cannot write {found} to '{}': it has to be a string or a set of them", path.display());
            Err(eval::Error::type_error(message).into())
        }
    }
}

/// An attribute's name as that of a file, which must not lead elsewhere.
fn file_name(name: Symbol) -> Result<String, Error> {
    let text = name.text().into_owned();
    match text.is_empty() || text == "." || text == ".." || text.contains('/') {
        true => Err(eval::Error::other(format!("the attribute '{text}' cannot be the name of a file")).into()),
        false => Ok(text),
    }
}
