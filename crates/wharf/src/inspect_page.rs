//! The page of `wharf inspect --html`: one file, without scripts, with a map in which areas are bytes.

use std::fmt::Write as _;

use image::inspect::Inspection;
use image::survey::Survey;
use indicatif::HumanBytes;

use crate::commands::inspect::wasted;
use crate::failure::Failure;
use crate::treemap::{Rectangle, squarify};

const WIDTH: f64 = 1200.0;
const HEIGHT: f64 = 640.0;
/// The room that a layer's heading takes.
const HEADING: f64 = 16.0;
/// About the width of a letter.
const LETTER: f64 = 6.2;
const LARGEST: usize = 30;

const STYLE: &str = "\
:root { color-scheme: light dark; --text: #1d2433; --back: #f7f8fa; --line: #d5d9e0; --dim: #667085; }
@media (prefers-color-scheme: dark) { :root { --text: #e4e7ec; --back: #14171f; --line: #313848; --dim: #98a2b3; } }
body { margin: 2rem auto; max-width: 1200px; padding: 0 1rem; font: 15px/1.5 system-ui, sans-serif; color: var(--text);
  background: var(--back); }
h1 { font-size: 1.4rem; margin: 0 0 .5rem; } h2 { font-size: 1.05rem; margin: 2rem 0 .5rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; margin: 0; } dt { color: var(--dim); }
dd { margin: 0; overflow-wrap: anywhere; } code { font: 13px ui-monospace, monospace; }
svg { width: 100%; height: auto; display: block; margin: 1.5rem 0; } svg text { font: 11px system-ui, sans-serif; fill: #10151f; }
svg rect { stroke: #fff; stroke-width: 1; } svg .part:hover rect { filter: brightness(1.15); }
table { border-collapse: collapse; width: 100%; } td, th { text-align: left; padding: .25rem .75rem .25rem 0;
  border-bottom: 1px solid var(--line); vertical-align: top; overflow-wrap: anywhere; }
td.number, th.number { width: 1%; text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }";

/// The page.
pub(crate) fn render(inspection: &Inspection, survey: &Survey) -> Result<String, Failure> {
    let weights = survey.weights();
    let name = escape(inspection.reference.as_deref().unwrap_or("(an image without a name)"));
    let bytes: u64 = weights.iter().map(|weight| weight.bytes).sum();
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{name}</title>\n\
         <meta name=\"viewport\" content=\"width=device-width\"><style>\n{STYLE}\n</style></head><body>\n<h1>{name}</h1>\n<dl>"
    );
    let config = &inspection.config;
    let platform = format!("{}/{}", config.os, config.architecture);
    let size = format!("{} in {} layers", HumanBytes(bytes), inspection.layers.len());
    let waste = format!("{}: hidden by higher layers, or in two of them", HumanBytes(wasted(&weights)));
    for (title, text) in [("ID", inspection.id.to_string()), ("Platform", platform), ("Size", size), ("Wasted", waste)]
    {
        write!(page, "<dt>{title}</dt><dd>{}</dd>", escape(&text))?;
    }
    page += "</dl>\n";
    map(&mut page, survey)?;
    layers(&mut page, inspection, survey)?;
    page += "<h2>Largest files</h2>\n<table><tr><th class=\"number\">Size</th><th>Path</th></tr>\n";
    for (path, size) in survey.largest(LARGEST) {
        writeln!(
            page,
            "<tr><td class=\"number\">{}</td><td><code>{}</code></td></tr>",
            HumanBytes(size),
            escape(&path)
        )?;
    }
    page += "</table>\n</body></html>\n";
    Ok(page)
}

/// The parts of a layer, the largest first.
fn parts(survey: &Survey, layer: usize) -> Vec<(String, u64)> {
    let mut parts: Vec<_> = survey.parts(layer).into_iter().map(|(path, size)| (path.to_owned(), size)).collect();
    parts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    parts
}

fn map(page: &mut String, survey: &Survey) -> Result<(), Failure> {
    let mut sizes: Vec<(usize, u64)> =
        survey.weights().iter().map(|weight| weight.bytes).enumerate().filter(|(_, bytes)| *bytes > 0).collect();
    sizes.sort_by_key(|(number, bytes)| (std::cmp::Reverse(*bytes), *number));
    let whole = Rectangle { x: 0.0, y: 0.0, width: WIDTH, height: HEIGHT };
    let places = squarify(&sizes.iter().map(|(_, bytes)| *bytes as f64).collect::<Vec<_>>(), whole);
    writeln!(page, "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"what takes how much room\">")?;
    for ((number, bytes), place) in sizes.iter().zip(places) {
        // Neighbouring layers get hues far apart.
        let hue = (number * 137) % 360;
        let title = format!("layer {}  {}", number + 1, HumanBytes(*bytes));
        cell(page, place, &format!("hsl({hue} 45% 60%)"), &title, &title, 11.0)?;
        let parts = parts(survey, *number);
        let inner = if place.height > 2.0 * HEADING { place.within(2.0, HEADING) } else { place.within(2.0, 2.0) };
        let areas: Vec<f64> = parts.iter().map(|(_, size)| *size as f64).collect();
        for ((path, size), place) in parts.iter().zip(squarify(&areas, inner)) {
            let title = format!("{path}  {}", HumanBytes(*size));
            cell(page, place, &format!("hsl({hue} 60% 78%)"), &title, short(path), place.height / 2.0 + 4.0)?;
        }
    }
    *page += "</svg>\n";
    Ok(())
}

/// A rectangle with its title, and a label where there is room.
fn cell(page: &mut String, place: Rectangle, fill: &str, title: &str, label: &str, down: f64) -> Result<(), Failure> {
    let Rectangle { x, y, width, height } = place;
    if width < 0.5 || height < 0.5 {
        return Ok(());
    }
    write!(
        page,
        "<g class=\"part\"><title>{}</title><rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" \
         fill=\"{fill}\"/>",
        escape(title)
    )?;
    let letters = (width / LETTER) as usize;
    if height >= 13.0 && letters >= 4 {
        let shown: String = match label.chars().count() > letters {
            true => label.chars().take(letters - 1).chain(['…']).collect(),
            false => label.to_owned(),
        };
        write!(page, "<text x=\"{:.1}\" y=\"{:.1}\">{}</text>", x + 4.0, y + down, escape(&shown))?;
    }
    *page += "</g>\n";
    Ok(())
}

fn layers(page: &mut String, inspection: &Inspection, survey: &Survey) -> Result<(), Failure> {
    *page += "<h2>Layers</h2>\n<table><tr><th class=\"number\">Layer</th><th class=\"number\">Size</th>\
              <th class=\"number\">Wasted</th><th>What it holds</th></tr>\n";
    for (number, (layer, weight)) in inspection.layers.iter().zip(survey.weights()).enumerate() {
        let parts = parts(survey, number);
        let names: Vec<_> = parts.iter().take(12).map(|(path, _)| escape(short(path))).collect();
        let more = parts.len().saturating_sub(names.len());
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        writeln!(
            page,
            "<tr title=\"{}\"><td class=\"number\">{}</td><td class=\"number\">{}</td><td class=\"number\">{}</td>\
             <td>{}{more}</td></tr>",
            layer.diff_id,
            number + 1,
            HumanBytes(weight.bytes),
            HumanBytes(weight.hidden + weight.repeated),
            names.join(", ")
        )?;
    }
    *page += "</table>\n";
    Ok(())
}

/// A store path without directory and hash; any other path as it is.
fn short(path: &str) -> &str {
    path.strip_prefix("/nix/store/").and_then(|base| base.get(33..)).unwrap_or(path)
}

/// Names come from images, which may come from anybody.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
