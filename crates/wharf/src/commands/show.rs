//! `wharf show`.

use std::fmt::Write as _;

use project::{Item, Outline, OutlineOptions};
use serde_json::{Map, Value, json};

use crate::failure::Failure;
use crate::progress;
use crate::settings::Settings;
use crate::target::{BuildArguments, TargetArguments};

/// List what a flake provides
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  wharf show                   the flake here or in a directory above
  wharf show --json ./service  for programs, in the form of `nix flake show --json`")]
pub(crate) struct Arguments {
    /// A flake reference [default: .]
    flake: Option<String>,
    /// Show outputs for other systems too
    #[arg(long)]
    all_systems: bool,
    /// Show legacyPackages too, which may be many
    #[arg(long)]
    legacy: bool,
    #[command(flatten)]
    what: TargetArguments,
}

pub(crate) fn run(arguments: &Arguments, settings: &Settings) -> Result<i32, Failure> {
    let reference = arguments.flake.as_deref().unwrap_or(".");
    // With the mark it is a flake whatever else is in the directory, and may begin further up.
    let marked = if reference.contains('#') { reference.to_owned() } else { format!("{reference}#") };
    let target = arguments.what.target(Some(&marked))?;
    let project = arguments.what.open(settings, &BuildArguments::default(), progress::observer(settings), false)?;
    let options = OutlineOptions { all_systems: arguments.all_systems, legacy: arguments.legacy };
    let outline = project.outline(&target, options)?;
    match settings.json {
        true => println!("{}", as_json(&outline.item)),
        false => {
            let mut text = String::new();
            let mut tree = Tree { color: settings.color_stdout, text: &mut text };
            tree.draw(&outline, String::new(), "");
            print!("{text}");
        }
    }
    match outline.failures().first() {
        None => Ok(0),
        // The list is all that a program is to read.
        Some(_) if settings.json => Ok(1),
        Some(path) => Err(Failure::new(format!("the output '{path}' fails"))
            .help(format!("`wharf eval '{}#.{path}'` says why", reference.trim_end_matches('#')))),
    }
}

/// Draws the list as a tree.
struct Tree<'a> {
    color: bool,
    text: &'a mut String,
}

impl Tree<'_> {
    /// One name and all below it. `branch` is what stands before the name, `indent` what stands before those below.
    fn draw(&mut self, outline: &Outline, branch: String, indent: &str) {
        let head = format!("{}{}", self.paint("32", &branch), self.paint("1", &outline.name));
        let words = match &outline.item {
            Item::Set(_) => String::new(),
            Item::Derivation { what, name, description } if description.is_empty() => format!(": {what} '{name}'"),
            Item::Derivation { what, name, description } => format!(": {what} '{name}': {description}"),
            Item::App { description } => {
                format!(": app: {}", description.as_deref().unwrap_or("no description"))
            }
            Item::Template { description } => format!(": template: {description}"),
            Item::Other(_, words) => format!(": {words}"),
            Item::Failed(message) => {
                let first = message.lines().next().unwrap_or_default();
                format!(": {} {first}", self.paint("31", "fails:"))
            }
            Item::Omitted(option) => format!(" {} (use '{option}' to show)", self.paint("35", "omitted")),
        };
        let _ = writeln!(self.text, "{head}{words}");
        let Item::Set(entries) = &outline.item else { return };
        for (index, entry) in entries.iter().enumerate() {
            let (mark, below) =
                if index + 1 == entries.len() { ("└───", "    ") } else { ("├───", "│   ") };
            self.draw(entry, format!("{indent}{mark}"), &format!("{indent}{below}"));
        }
    }

    fn paint(&self, code: &str, text: &str) -> String {
        match self.color && !text.is_empty() {
            true => format!("\x1b[{code}m{text}\x1b[0m"),
            false => text.to_owned(),
        }
    }
}

fn as_json(item: &Item) -> Value {
    match item {
        Item::Set(entries) => {
            let map: Map<String, Value> =
                entries.iter().map(|entry| (entry.name.clone(), as_json(&entry.item))).collect();
            map.into()
        }
        Item::Derivation { name, description, .. } => {
            json!({ "type": "derivation", "name": name, "description": description })
        }
        Item::App { description: Some(description) } => json!({ "type": "app", "description": description }),
        Item::App { description: None } => json!({ "type": "app" }),
        Item::Template { description } => json!({ "type": "template", "description": description }),
        Item::Other(kind, _) => json!({ "type": kind }),
        Item::Omitted(_) => json!({}),
        Item::Failed(message) => json!({ "error": message }),
    }
}
