//! Derivation-path parity: does every package of a tree get the same derivation path from Wharf's evaluator and Nix's?
//!
//! Wharf evaluates every attribute on its own, so that one failure costs one attribute. Nix is then given the same
//! attributes in bundles; a bundle that fails as a whole (an error that `tryEval` does not catch) is halved.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Args;
use eval::read_only::ReadOnlyHost;
use eval::{Evaluator, Interp, Origin, Settings, Symbol, Value};

/// The command's arguments.
#[derive(Args)]
pub struct Parity {
    /// A tree of packages: a directory whose `default.nix` is called with `{ }`.
    tree: PathBuf,
    /// The expression to evaluate instead of `import TREE { }`; it may use the variable `tree`.
    #[arg(long)]
    expr: Option<String>,
    /// The `nix-instantiate` to compare with; without it, only Wharf evaluates.
    #[arg(long)]
    nix: Option<PathBuf>,
    /// How many threads evaluate.
    #[arg(long, default_value_t = 1)]
    jobs: usize,
    /// Also ask Nix for the attributes at which Wharf fails; this can take many runs of it.
    #[arg(long)]
    check_failures: bool,
    /// An argument for Nix, as `--nix-arg=--read-write-mode`; may be repeated.
    #[arg(long)]
    nix_arg: Vec<String>,
    /// Evaluate only the attributes in this file: one a line, the steps of its path separated by tabs.
    #[arg(long)]
    paths: Option<PathBuf>,
    /// Print why attributes fail.
    #[arg(long)]
    show_failures: bool,
}

/// The paths of all attributes below `expr` that are derivations and evaluate.
///
/// # Errors
/// When `expr` itself does not evaluate to a set.
pub fn derivations(expr: &str) -> Result<Vec<Vec<String>>> {
    let (entries, _) = evaluate(expr, 1)?;
    Ok(entries.into_iter().filter(|entry| entry.result.is_ok()).map(|entry| entry.path).collect())
}

/// One attribute and what Wharf says of it.
struct Entry {
    path: Vec<String>,
    result: std::result::Result<String, String>,
}

/// Runs the comparison. Differences are an error.
pub fn run(parity: &Parity) -> Result<()> {
    let tree = parity.tree.canonicalize().with_context(|| format!("cannot find {}", parity.tree.display()))?;
    let expr = match &parity.expr {
        Some(expr) => format!("let tree = {}; in {expr}", tree.display()),
        None => format!("import {} {{ }}", tree.display()),
    };
    let started = Instant::now();
    let (entries, statistics) = match &parity.paths {
        Some(file) => evaluate_paths(&expr, &read_paths(file)?, parity.jobs)?,
        None => evaluate(&expr, parity.jobs)?,
    };
    let evaluated = entries.iter().filter(|entry| entry.result.is_ok()).count();
    println!(
        "wharf: {evaluated} derivation paths, {} failures, {:.2} s",
        entries.len() - evaluated,
        started.elapsed().as_secs_f64()
    );
    println!("{statistics:#?}");
    if parity.show_failures {
        for entry in &entries {
            if let Err(error) = &entry.result {
                println!("  {}: {error}", entry.path.join("."));
            }
        }
    }
    match &parity.nix {
        Some(nix) => compare(parity, nix, &expr, &entries),
        None => Ok(()),
    }
}

fn evaluate(expr: &str, jobs: usize) -> Result<(Vec<Entry>, eval::Statistics)> {
    let (evaluator, root) = evaluator_of(expr)?;
    let names: Vec<Symbol> = evaluator
        .run(|interp| interp.force_attrs(root).map(|attrs| attrs.by_name().map(|attr| attr.name).collect()))
        .map_err(|error| anyhow::anyhow!("{error}"))?;
    let entries = in_threads(&evaluator, &names, jobs, |interp, name, entries| {
        let value = interp.force_attrs(root).ok().and_then(|attrs| attrs.get(*name));
        collect(interp, value.unwrap_or(Value::NULL), vec![name.text().into_owned()], entries);
    });
    Ok((entries, evaluator.statistics()))
}

fn evaluate_paths(expr: &str, paths: &[Vec<String>], jobs: usize) -> Result<(Vec<Entry>, eval::Statistics)> {
    let (evaluator, root) = evaluator_of(expr)?;
    let entries = in_threads(&evaluator, paths, jobs, |interp, path, entries| {
        let find = || {
            let steps = path.iter().map(Symbol::intern).chain([Symbol::DRV_PATH]);
            let found = steps.into_iter().try_fold(root, |set, name| {
                Ok::<_, Box<eval::Error>>(interp.attr(interp.force_attrs(set)?, name)?.value)
            })?;
            Ok(interp.force_string(found)?.text().into_owned())
        };
        let result = find().map_err(|error: Box<eval::Error>| error.to_string());
        entries.push(Entry { path: path.clone(), result });
    });
    Ok((entries, evaluator.statistics()))
}

fn evaluator_of(expr: &str) -> Result<(Evaluator, Value)> {
    let evaluator = Evaluator::new(Box::new(ReadOnlyHost { quiet: true }), Settings::default());
    let origin = Origin::Text("«parity»".to_owned());
    let root = evaluator
        .run(|interp| interp.eval_source(origin, expr.as_bytes().to_vec(), Path::new("/"), &[]))
        .map_err(|error| anyhow::anyhow!("{error}"))?;
    Ok((evaluator, root))
}

/// Works through `items` in several threads, each of which takes the next one when it is done with one.
fn in_threads<T: Sync>(
    evaluator: &Evaluator,
    items: &[T],
    jobs: usize,
    work: impl Fn(&Interp, &T, &mut Vec<Entry>) + Sync,
) -> Vec<Entry> {
    let next = AtomicUsize::new(0);
    let mut entries = std::thread::scope(|scope| {
        let all = || {
            evaluator.run(|interp| {
                let mut entries = Vec::new();
                while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
                    work(interp, item, &mut entries);
                }
                entries
            })
        };
        let threads: Vec<_> = (0..jobs.max(1)).map(|_| scope.spawn(all)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap_or_default()).collect::<Vec<_>>()
    });
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    entries
}

fn read_paths(file: &Path) -> Result<Vec<Vec<String>>> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(text.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect())
}

/// How deeply package sets may be nested in each other.
const MAX_DEPTH: usize = 4;

fn collect(interp: &Interp, value: Value, path: Vec<String>, entries: &mut Vec<Entry>) {
    let inspected = interp.force(value).and_then(|value| {
        let Some(attrs) = value.as_attrs() else { return Ok(None) };
        if interp.is_derivation(attrs)? {
            let drv_path = interp.attr(attrs, Symbol::DRV_PATH)?.value;
            return Ok(Some(Ok(interp.force_string(drv_path)?.text().into_owned())));
        }
        let descend = match attrs.get(Symbol::RECURSE_FOR_DERIVATIONS) {
            Some(flag) => interp.force_bool(flag)?,
            None => false,
        };
        Ok(descend.then_some(Err(attrs)))
    });
    match inspected {
        Ok(None) => {}
        Ok(Some(Ok(drv_path))) => entries.push(Entry { path, result: Ok(drv_path) }),
        Ok(Some(Err(attrs))) if path.len() < MAX_DEPTH => {
            for attr in attrs.by_name() {
                let mut path = path.clone();
                path.push(attr.name.text().into_owned());
                collect(interp, attr.value, path, entries);
            }
        }
        Ok(Some(Err(_))) => {}
        Err(error) => entries.push(Entry { path, result: Err(error.to_string()) }),
    }
}

/// How many attributes Nix is given at once.
const BUNDLE: usize = 4000;

fn compare(parity: &Parity, nix: &Path, expr: &str, entries: &[Entry]) -> Result<()> {
    let nix = &Peer { program: nix, args: &parity.nix_arg };
    let (mut same, mut different, mut only_wharf, mut only_nix, mut neither) = (0, 0, 0, 0, 0);
    let (good, mut failed): (Vec<&Entry>, Vec<&Entry>) = entries.iter().partition(|entry| entry.result.is_ok());
    if !parity.check_failures {
        failed.clear();
    }
    for bundle in good.chunks(BUNDLE).chain(failed.chunks(BUNDLE)) {
        for (entry, theirs) in bundle.iter().zip(ask(nix, expr, bundle)?) {
            let name = entry.path.join(".");
            match (&entry.result, theirs) {
                (Ok(ours), Some(theirs)) if *ours == theirs => same += 1,
                (Ok(ours), Some(theirs)) => {
                    different += 1;
                    println!("DIFFERENT {name}\n  wharf {ours}\n  nix   {theirs}");
                }
                (Ok(_), None) => {
                    only_wharf += 1;
                    println!("only wharf evaluates {name}");
                }
                (Err(error), Some(_)) => {
                    only_nix += 1;
                    println!("only nix evaluates {name}: {error}");
                }
                (Err(_), None) => neither += 1,
            }
        }
    }
    println!("{same} same, {different} different, {only_wharf} only wharf, {only_nix} only nix, {neither} neither");
    if different + only_wharf + only_nix > 0 {
        bail!("the evaluators do not agree");
    }
    Ok(())
}

/// The other evaluator.
struct Peer<'a> {
    program: &'a Path,
    args: &'a [String],
}

/// A program that gives the derivation paths of some attributes, one a line; an empty line where `tryEval` catches an
/// error.
pub fn paths_program(expr: &str, paths: &[Vec<String>]) -> String {
    let paths: Vec<String> = paths
        .iter()
        .map(|path| {
            let steps: Vec<String> = path.iter().map(|step| format!("{step:?}").replace("${", "\\${")).collect();
            format!("[ {} ]", steps.join(" "))
        })
        .collect();
    format!(
        "let root = {expr};\n  get = path: (builtins.foldl' (set: name: set.${{name}}) root path).drvPath;\n  \
         attempt = path: let result = builtins.tryEval (get path); in if result.success then result.value else \"\";\n\
         in builtins.concatStringsSep \"\\n\" (map (path: builtins.unsafeDiscardStringContext (attempt path)) [\n{}\n])",
        paths.join("\n")
    )
}

/// Nix's derivation paths of some attributes; `None` where it fails.
fn ask(nix: &Peer<'_>, expr: &str, entries: &[&Entry]) -> Result<Vec<Option<String>>> {
    let paths: Vec<Vec<String>> = entries.iter().map(|entry| entry.path.clone()).collect();
    let program = paths_program(expr, &paths);
    let mut file = tempfile::NamedTempFile::new()?;
    file.write_all(program.as_bytes())?;
    let output = Command::new(nix.program).args(["--eval", "--json"]).args(nix.args).arg(file.path()).output()?;
    if output.status.success() {
        let text = String::from_utf8(output.stdout)?;
        let text = text.trim().trim_matches('"');
        let lines: Vec<Option<String>> =
            text.split("\\n").map(|line| (!line.is_empty()).then(|| line.to_owned())).collect();
        if lines.len() != entries.len() {
            bail!("nix answers {} lines for {} attributes", lines.len(), entries.len());
        }
        return Ok(lines);
    }
    match entries {
        [] | [_] => Ok(vec![None; entries.len()]),
        _ => {
            let (left, right) = entries.split_at(entries.len() / 2);
            let mut answers = ask(nix, expr, left)?;
            answers.extend(ask(nix, expr, right)?);
            Ok(answers)
        }
    }
}
