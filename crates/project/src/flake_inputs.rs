//! Reading what a `flake.nix` says of its inputs, without its outputs.

use std::path::Path;

use eval::read_only::ReadOnlyHost;
use eval::{Evaluator, Interp, Kind, Settings, StrBuilder, Symbol, json};
use fetch::lock::{Declared, Input};
use serde_json::Value;

/// What the flake in a directory (where it really is) says of its inputs. The error is a sentence.
pub(crate) fn read_inputs(directory: &Path) -> Result<Declared, String> {
    let file = directory.join("flake.nix");
    // A declaration is plain data: it has no need of a store or the network.
    let settings = Settings { pure: true, ..Settings::default() };
    let evaluator = Evaluator::new(Box::new(ReadOnlyHost { quiet: true }), settings);
    let (text, arguments) =
        evaluator.run(|interp| declaration(interp, &file)).map_err(|error| format!("{}: {error}", file.display()))?;
    let mut inputs: Value = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
    make_relative(&mut inputs, directory);
    Input::read_all(&inputs, &arguments)
}

/// The attribute `inputs` as JSON, and the names of the arguments of `outputs`.
fn declaration(interp: &Interp, file: &Path) -> eval::Result<(Vec<u8>, Vec<String>)> {
    let flake = interp.force_attrs(interp.eval_file(file)?)?;
    let mut text = StrBuilder::default();
    match flake.get(Symbol::intern("inputs")) {
        Some(inputs) => json::write(interp, inputs, json::Paths::Keep, &mut text)?,
        None => text.push(eval::Str::new(b"{}", None)),
    }
    let mut arguments = Vec::new();
    if let Some(outputs) = flake.get(Symbol::intern("outputs"))
        && let Kind::Lambda(closure) = interp.force(outputs)?.kind()
        && let Some(pattern) = &closure.lambda.pattern
    {
        arguments.extend(pattern.formals.iter().map(|formal| formal.name.text().into_owned()));
    }
    Ok((text.finish().bytes().to_vec(), arguments))
}

/// A path literal as `url` has become the absolute path by now; what is meant is the place within the tree.
fn make_relative(value: &mut Value, directory: &Path) {
    let Value::Object(object) = value else { return };
    for (name, value) in object {
        match value {
            Value::String(text) if name == "url" => {
                if let Some(relative) = relative(Path::new(text.as_str()), directory) {
                    *text = format!("path:{relative}");
                }
            }
            other => make_relative(other, directory),
        }
    }
}

/// The way from the flake's directory to a path in the same store object.
fn relative(path: &Path, directory: &Path) -> Option<String> {
    let is_object = |place: &&Path| place.parent().is_some_and(|parent| parent.ends_with("nix/store"));
    let tree = directory.ancestors().find(is_object).unwrap_or(directory);
    if !path.starts_with(tree) {
        return None;
    }
    let above = directory.ancestors().position(|place| path.starts_with(place))?;
    let common = directory.ancestors().nth(above)?;
    let below = path.strip_prefix(common).ok()?;
    let steps = std::iter::repeat_n("..", above).chain(below.iter().filter_map(|part| part.to_str()));
    let steps: Vec<&str> = steps.collect();
    Some(if steps.is_empty() { ".".to_owned() } else { steps.join("/") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_in_the_tree_are_relative_to_the_flake() {
        let flake = Path::new("/home/x/nix/store/abc-source/sub/");
        let relative = |path: &str| relative(Path::new(path), flake);
        assert_eq!(relative("/home/x/nix/store/abc-source/sub/a/b").as_deref(), Some("a/b"));
        assert_eq!(relative("/home/x/nix/store/abc-source/other").as_deref(), Some("../other"));
        assert_eq!(relative("/home/x/nix/store/abc-source/sub").as_deref(), Some("."));
        assert_eq!(relative("/home/x/nix/store/def-source"), None);
        assert_eq!(relative("/elsewhere"), None);
    }
}
