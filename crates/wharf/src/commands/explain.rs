//! `wharf explain`.

use deploy::{OptionRow, Target};
use serde_json::json;

use crate::failure::Failure;
use crate::settings::Settings;

/// Show what each target makes of the options of `containers.<name>`
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  wharf explain              every option
  wharf explain health       one option, with what is done instead where a target lacks it")]
pub(crate) struct Arguments {
    /// An option of containers.<name>, such as volumes
    option: Option<String>,
}

pub(crate) fn run(arguments: &Arguments, settings: &Settings) -> Result<i32, Failure> {
    let rows: Vec<&OptionRow> = match arguments.option.as_deref() {
        None => deploy::options().iter().collect(),
        Some(name) => vec![find(name)?],
    };
    if settings.json {
        println!("{}", json!({ "schema": 1, "options": rows.iter().map(|row| as_json(row)).collect::<Vec<_>>() }));
    } else if arguments.option.is_some() {
        rows.iter().for_each(|row| print_one(row));
    } else {
        print_table(&rows);
    }
    Ok(0)
}

fn find(name: &str) -> Result<&'static OptionRow, Failure> {
    let name = name.trim_start_matches("containers.<name>.");
    if let Some(row) = deploy::options().iter().find(|row| row.name == name) {
        return Ok(row);
    }
    let near = deploy::options()
        .iter()
        .map(|row| (strsim::damerau_levenshtein(row.name, name), row.name))
        .filter(|(distance, _)| *distance <= 3)
        .min();
    let failure = Failure::usage(format!("containers.<name> has no option '{name}'"));
    Err(match near {
        Some((_, near)) => failure.help(format!("did you mean '{near}'?")),
        None => failure.help("`wharf explain` lists them all"),
    })
}

fn print_table(rows: &[&OptionRow]) {
    let width = rows.iter().map(|row| row.name.len()).max().unwrap_or(0);
    print!("{:<width$}", "");
    Target::ALL.iter().for_each(|target| print!("  {:<10}", target.as_str()));
    println!();
    for row in rows {
        print!("{:<width$}", row.name);
        Target::ALL.iter().for_each(|target| print!("  {:<10}", row.on(*target).kind()));
        println!();
    }
}

fn print_one(row: &OptionRow) {
    println!("containers.<name>.{}", row.name);
    for target in Target::ALL {
        let support = row.on(target);
        println!("  {:<10}  {:<9} {}", target.as_str(), support.kind(), support.note());
    }
}

fn as_json(row: &OptionRow) -> serde_json::Value {
    let targets: serde_json::Map<_, _> = Target::ALL
        .iter()
        .map(|target| {
            let support = row.on(*target);
            (target.as_str().to_owned(), json!({ "support": support.kind(), "note": support.note() }))
        })
        .collect();
    json!({ "name": row.name, "targets": targets })
}
