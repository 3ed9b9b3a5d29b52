//! `layeringPipeline`: a user's own way from the graph of references to layers, in nixpkgs' terms.
//!
//! A pipeline is a list of steps, each a name and its arguments, that turn the graph into lists and sets of graphs;
//! what is left in the end is one layer for each graph. The steps are those of nixpkgs' `flattenReferencesGraph`.

use std::collections::BTreeSet;

use nix_formats::store_path::StorePath;
use serde_json::Value;

use crate::error::ImageError;
use crate::plan::Object;
use crate::popularity;
use crate::reference_graph::{Graph, PathSet};

/// What a step takes and gives.
enum Shape {
    Graph(Graph),
    List(Vec<Shape>),
    /// The parts of a graph that was split: `main`, `common`, `rest`; parts without objects are left out.
    Parts(Vec<(&'static str, Shape)>),
}

/// Runs a pipeline over a closure.
///
/// # Errors
/// A step is not known, has the wrong arguments, or is given what it cannot take.
pub fn layers(closure: &[Object], pipeline: &Value) -> Result<Vec<Vec<StorePath>>, ImageError> {
    let shape = pipe(Shape::Graph(Graph::of(closure)), pipeline)?;
    let mut graphs = Vec::new();
    shape.flatten(&mut graphs);
    Ok(graphs.iter().map(Graph::paths).filter(|paths| !paths.is_empty()).collect())
}

impl Shape {
    fn flatten(self, into: &mut Vec<Graph>) {
        match self {
            Self::Graph(graph) => into.push(graph),
            Self::List(items) => items.into_iter().for_each(|item| item.flatten(into)),
            Self::Parts(parts) => parts.into_iter().for_each(|(_, part)| part.flatten(into)),
        }
    }

    fn graph(self, step: &str) -> Result<Graph, ImageError> {
        match self {
            Self::Graph(graph) => Ok(graph),
            Self::List(_) | Self::Parts(_) => {
                Err(mistake(&format!("`{step}` takes one graph; apply it by `map` or `over`")))
            }
        }
    }

    fn items(self, step: &str) -> Result<Vec<Shape>, ImageError> {
        match self {
            Self::List(items) => Ok(items),
            Self::Parts(parts) => Ok(parts.into_iter().map(|(_, part)| part).collect()),
            Self::Graph(_) => {
                Err(mistake(&format!("`{step}` takes a list of graphs, such as `popularity_contest` gives")))
            }
        }
    }
}

fn mistake(what: &str) -> ImageError {
    ImageError::Definition(format!("layeringPipeline: {what}"))
}

fn pipe(shape: Shape, steps: &Value) -> Result<Shape, ImageError> {
    let steps = steps.as_array().ok_or_else(|| mistake("a pipeline is a list of steps"))?;
    steps.iter().try_fold(shape, step)
}

fn step(shape: Shape, step: &Value) -> Result<Shape, ImageError> {
    let words = step.as_array().map(Vec::as_slice).unwrap_or_default();
    let Some((Value::String(name), arguments)) = words.split_first() else {
        return Err(mistake(&format!("a step is a list that begins with its name, not {step}")));
    };
    match (name.as_str(), arguments) {
        ("pipe", [steps]) => pipe(shape, steps),
        ("map", [inner]) => {
            let items = shape.items(name)?.into_iter().map(|item| self::step(item, inner));
            Ok(Shape::List(items.collect::<Result<_, _>>()?))
        }
        ("over", [Value::String(part), inner]) => over(shape, part, inner),
        ("flatten", []) => {
            let mut graphs = Vec::new();
            shape.flatten(&mut graphs);
            Ok(list(graphs))
        }
        ("reverse", []) => Ok(Shape::List(shape.items(name)?.into_iter().rev().collect())),
        ("limit_layers", [count]) => limit_layers(shape, number(name, count)?),
        ("split_every", [count]) => Ok(list(shape.graph(name)?.split_every(number(name, count)?))),
        ("remove_paths", [paths]) => Ok(Shape::Graph(shape.graph(name)?.without(&path_set(paths)?))),
        ("popularity_contest", []) => Ok(list(popularity::contest(&shape.graph(name)?))),
        ("subcomponent_in", [paths]) => Ok(parts(shape.graph(name)?.subcomponent_in(&path_set(paths)?))),
        ("subcomponent_out", [paths]) => Ok(parts(shape.graph(name)?.subcomponent_out(&path_set(paths)?))),
        ("split_paths", [paths]) => Ok(parts(shape.graph(name)?.split_paths(&path_set(paths)?))),
        _ => Err(mistake(&format!(
            "there is no step `{name}` with {} arguments; there are flatten, over, split_every, limit_layers, \
             remove_paths, reverse, subcomponent_in, subcomponent_out, split_paths, popularity_contest, map and pipe",
            arguments.len()
        ))),
    }
}

fn list(graphs: Vec<Graph>) -> Shape {
    Shape::List(graphs.into_iter().map(Shape::Graph).collect())
}

fn parts(parts: Vec<(&'static str, Graph)>) -> Shape {
    Shape::Parts(parts.into_iter().map(|(name, graph)| (name, Shape::Graph(graph))).collect())
}

/// Applies a step to one part; a part that has no objects is not there, and nothing is done.
fn over(shape: Shape, wanted: &str, inner: &Value) -> Result<Shape, ImageError> {
    let Shape::Parts(parts) = shape else {
        return Err(mistake("`over` takes what a splitting step gives"));
    };
    let parts =
        parts.into_iter().map(|(name, part)| Ok((name, if name == wanted { step(part, inner)? } else { part })));
    Ok(Shape::Parts(parts.collect::<Result<_, ImageError>>()?))
}

/// The first graphs as they are, the others as one.
fn limit_layers(shape: Shape, count: usize) -> Result<Shape, ImageError> {
    let mut items = shape.items("limit_layers")?;
    if items.len() > count {
        let mut rest = Vec::new();
        items.split_off(count - 1).into_iter().for_each(|item| item.flatten(&mut rest));
        items.push(Shape::Graph(Graph::merged(rest)));
    }
    Ok(Shape::List(items))
}

fn number(step: &str, value: &Value) -> Result<usize, ImageError> {
    let number = value.as_u64().and_then(|number| usize::try_from(number).ok()).filter(|number| *number > 0);
    number.ok_or_else(|| mistake(&format!("`{step}` takes a number greater than 0, not {value}")))
}

/// One path or a list of them, some perhaps as `{ children_of = PATH; }`.
fn path_set(value: &Value) -> Result<PathSet, ImageError> {
    let mut set = PathSet::default();
    let wrong = || mistake(&format!("expected store paths, found {value}"));
    for item in value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice) {
        match item {
            Value::String(path) => set.paths.extend(object(path)),
            Value::Object(members) if members.len() == 1 => {
                let children_of = members.get("children_of").ok_or_else(wrong)?;
                set.children_of.extend(path_set(children_of)?.paths);
            }
            _ => return Err(wrong()),
        }
    }
    Ok(set)
}

/// A path that is no store path is in no graph, which nixpkgs lets pass.
fn object(path: &str) -> BTreeSet<StorePath> {
    StorePath::split_absolute(path.as_bytes()).map(|(object, _)| object).into_iter().collect()
}
