//! A `nix-instantiate` without a store, over the evaluator alone: what comparisons with Nix run as a process of its own,
//! so that no expression can bring the comparison down.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use eval::print::plain;
use eval::read_only::ReadOnlyHost;
use eval::report::{ReportOptions, report};
use eval::xml::XmlOptions;
use eval::{Attrs, AttrsBuilder, Evaluator, Interp, Origin, SearchPathEntry, Settings, StrBuilder, Symbol, Value};
use eval::{json, xml};

/// What is asked for.
#[derive(Default)]
struct Request {
    parse: bool,
    strict: bool,
    eval: bool,
    json: bool,
    xml: bool,
    location: bool,
    read_write: bool,
    expression: Option<String>,
    file: Option<String>,
    attr: String,
    /// Names with their values: expressions, or strings.
    args: Vec<(String, String, bool)>,
    show_trace: bool,
}

/// Runs with the arguments of `nix-instantiate`. The result is the exit code.
pub fn run(arguments: &[String]) -> Result<i32> {
    let mut settings = Settings {
        home: std::env::var_os("HOME").map(PathBuf::from),
        search_path: search_path(&std::env::var("NIX_PATH").unwrap_or_default()),
        current_time: 1,
        ..Settings::default()
    };
    let request = read_arguments(arguments, &mut settings)?;
    let (origin, text, base_dir) = source(&request)?;
    if request.parse {
        return Ok(parse(&origin, text, &base_dir, &settings));
    }
    let evaluator = Evaluator::new(Box::new(ReadOnlyHost { quiet: false }), settings);
    let options = ReportOptions { show_trace: request.show_trace, ..ReportOptions::default() };
    let outcome = evaluator
        .run(|interp| evaluate(interp, &request, origin, text, &base_dir).map_err(|error| report(&error, options)));
    if std::env::var_os("NIX_SHOW_STATS").is_some_and(|value| value == "1") {
        let counters = evaluator.statistics().entries();
        let members: Vec<String> = counters.iter().map(|(name, count)| format!("  \"{name}\": {count}")).collect();
        eprintln!("{{\n{}\n}}", members.join(",\n"));
    }
    match outcome {
        Ok(printed) => {
            std::io::stdout().write_all(&printed)?;
            Ok(0)
        }
        Err(report) => {
            eprintln!("{report}");
            Ok(1)
        }
    }
}

fn search_path(text: &str) -> Vec<SearchPathEntry> {
    text.split(':').filter(|entry| !entry.is_empty()).map(search_path_entry).collect()
}

fn search_path_entry(entry: &str) -> SearchPathEntry {
    let (prefix, path) = entry.split_once('=').unwrap_or(("", entry));
    // A URL stays what it is.
    let path =
        if path.contains("://") { path.into() } else { std::path::absolute(path).unwrap_or_else(|_| path.into()) };
    SearchPathEntry { prefix: prefix.to_owned(), path: path.display().to_string() }
}

fn read_arguments(arguments: &[String], settings: &mut Settings) -> Result<Request> {
    let mut request = Request { location: true, ..Request::default() };
    let mut includes = Vec::new();
    let mut rest = arguments.iter().cloned();
    while let Some(argument) = rest.next() {
        let mut value = || rest.next().with_context(|| format!("{argument} needs a value"));
        match argument.as_str() {
            "--parse" => request.parse = true,
            "--eval" => request.eval = true,
            "--strict" => request.strict = true,
            "--json" => request.json = true,
            "--xml" => request.xml = true,
            "--no-location" => request.location = false,
            "--read-write-mode" => request.read_write = true,
            "--show-trace" => request.show_trace = true,
            "--no-show-trace" => request.show_trace = false,
            "--impure" => settings.pure = false,
            "--trace-verbose" => settings.trace_verbose = true,
            "-E" | "--expr" => request.expression = Some(value()?),
            "-A" | "--attr" => request.attr = value()?,
            "-I" => includes.push(search_path_entry(&value()?)),
            "--arg" | "--argstr" => request.args.push((value()?, value()?, argument == "--argstr")),
            "--max-call-depth" => settings.max_call_depth = value()?.parse()?,
            "--extra-experimental-features" => match value()?.as_str() {
                "parse-toml-timestamps" => settings.toml_timestamps = true,
                "pipe-operators" => settings.pipe_operators = true,
                other => bail!("unknown experimental feature {other}"),
            },
            "--lint-url-literals" => settings.lints.url_literals = lint(&value()?)?,
            "--lint-short-path-literals" => settings.lints.short_path_literals = lint(&value()?)?,
            "--lint-absolute-path-literals" => settings.lints.absolute_path_literals = lint(&value()?)?,
            flag if flag.starts_with("--") => bail!("unknown flag {flag}"),
            _ => request.file = Some(argument),
        }
    }
    includes.append(&mut settings.search_path);
    settings.search_path = includes;
    Ok(request)
}

fn lint(word: &str) -> Result<syntax::Lint> {
    Ok(match word {
        "ignore" => syntax::Lint::Ignore,
        "warn" => syntax::Lint::Warn,
        "fatal" => syntax::Lint::Fatal,
        other => bail!("unknown severity {other}"),
    })
}

/// Where the expression comes from, its text, and the directory that its paths are relative to.
fn source(request: &Request) -> Result<(Origin, Vec<u8>, PathBuf)> {
    let here = std::env::current_dir()?;
    if let Some(expression) = &request.expression {
        return Ok((Origin::Text("«string»".to_owned()), expression.clone().into_bytes(), here));
    }
    match request.file.as_deref() {
        None | Some("-") => {
            let mut text = Vec::new();
            std::io::stdin().read_to_end(&mut text)?;
            Ok((Origin::Text("«stdin»".to_owned()), text, here))
        }
        Some(file) => {
            let mut path = std::fs::canonicalize(file).with_context(|| format!("cannot find {file}"))?;
            if path.is_dir() {
                path.push("default.nix");
            }
            let text = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            let base_dir = path.parent().unwrap_or(Path::new("/")).to_owned();
            Ok((Origin::File(path), text, base_dir))
        }
    }
}

/// Prints the tree, after a check that all variables are defined.
fn parse(origin: &Origin, text: Vec<u8>, base_dir: &Path, settings: &Settings) -> i32 {
    let options = syntax::Options { pipe_operators: settings.pipe_operators, lints: settings.lints };
    let evaluator = Evaluator::new(Box::new(ReadOnlyHost { quiet: false }), settings.clone());
    let checked = evaluator.run(|interp| {
        interp.check(origin.clone(), text.clone(), base_dir).map_err(|error| report(&error, ReportOptions::default()))
    });
    if let Err(report) = checked {
        eprintln!("{report}");
        return 1;
    }
    let parse = syntax::parse(&text, options);
    let base = base_dir.to_string_lossy();
    let home = settings.home.as_deref().unwrap_or(Path::new("/")).to_string_lossy();
    let printed = syntax::print(&parse.ast, parse.root, syntax::PrintPaths { base: &base, home: &home });
    println!("{}", String::from_utf8_lossy(&printed));
    0
}

fn evaluate(
    interp: &Interp,
    request: &Request,
    origin: Origin,
    text: Vec<u8>,
    base_dir: &Path,
) -> eval::Result<Vec<u8>> {
    let args = arguments(interp, request)?;
    let value = interp.eval_source(origin, text, base_dir, &[])?;
    let value = match request.eval && args.is_empty() {
        true => interp.find_along(value, &request.attr, args)?,
        false => interp.attr_path(value, &request.attr, args)?,
    };
    let mut out = StrBuilder::default();
    if !request.eval {
        derivations(interp, value, args, &mut out.bytes)?;
    } else if request.json {
        json::write(interp, value, json::Paths::CopyToStore, &mut out)?;
        out.bytes.push(b'\n');
    } else if request.xml {
        let options = XmlOptions { strict: request.strict, location: request.location };
        xml::write(interp, value, options, &mut out)?;
    } else {
        let value = if request.strict { interp.force_deep(value)? } else { value };
        plain(value, interp.settings().max_call_depth, &mut out.bytes)?;
        out.bytes.push(b'\n');
    }
    Ok(out.bytes)
}

fn arguments(interp: &Interp, request: &Request) -> eval::Result<&'static Attrs> {
    let here = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
    let mut args = AttrsBuilder::default();
    for (name, value, is_string) in &request.args {
        let value = match is_string {
            true => Value::string(value),
            false => {
                interp.eval_source(Origin::Text("«argument»".to_owned()), value.clone().into_bytes(), &here, &[])?
            }
        };
        args.push(Symbol::intern(name), value);
    }
    Ok(args.finish())
}

/// Prints the path of a derivation, or of those in a set or list.
fn derivations(interp: &Interp, value: Value, args: &'static Attrs, out: &mut Vec<u8>) -> eval::Result<()> {
    let value = interp.auto_call(value, args)?;
    let attrs = interp.force_attrs(value)?;
    if interp.is_derivation(attrs)? {
        let path = interp.force_string(interp.attr(attrs, Symbol::DRV_PATH)?.value)?;
        out.extend_from_slice(path.bytes());
        out.push(b'\n');
        return Ok(());
    }
    attrs.by_name().try_for_each(|attr| derivations(interp, attr.value, args, out))
}
