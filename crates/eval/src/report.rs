//! Errors as people read them: what, where in the text, why, what to write instead, and how the evaluation got there.
//!
//! It knows no terminal: who calls says whether colours may be used and how wide a line is.

use std::borrow::Cow;
use std::ops::Range;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{Annotation, AnnotationKind, Element, Group, Level, Renderer, Snippet};
use syntax::{Span, SyntaxError};

use crate::error::{Cycle, Error, ErrorKind, Frame, SourceRef};
use crate::position::{Origin, Pos, Source};
use crate::symbol::Symbol;

/// How to show an error.
#[derive(Clone, Copy, Debug)]
pub struct ReportOptions {
    /// Whether to use ANSI escapes.
    pub color: bool,
    /// The number of columns of a line.
    pub width: usize,
    /// Whether to show every step of the evaluation, with its source.
    pub show_trace: bool,
}

impl Default for ReportOptions {
    fn default() -> ReportOptions {
        ReportOptions { color: false, width: 120, show_trace: false }
    }
}

/// Steps of the evaluation that are shown without `show_trace`: the innermost, and the outermost.
const INNER_STEPS: usize = 3;
const OUTER_STEPS: usize = 2;
/// A set with this few attributes is shown whole where one is missing.
const FEW_NAMES: usize = 6;
/// Cycles of more values are told by the trace.
const MAX_CYCLE: usize = 8;
/// Syntax errors that are shown of one text.
const MAX_SYNTAX_ERRORS: usize = 5;

/// The text of an error, of several lines, without a line end.
pub fn report(error: &Error, options: ReportOptions) -> String {
    let renderer = if options.color { Renderer::styled() } else { Renderer::plain() };
    let renderer = renderer.term_width(options.width).decor_style(DecorStyle::Ascii);
    let mut groups = match &error.kind {
        ErrorKind::Syntax { errors, source: Some(SourceRef(source)) } => syntax_groups(errors, source),
        _ => vec![main_group(error, options)],
    };
    if let ErrorKind::WrongArgument { definition, .. } = &error.kind
        && definition.is_some()
    {
        groups.push(place_group("the function is defined here", *definition));
    }
    if options.show_trace {
        groups.extend(error.trace.iter().map(|frame| place_group(&frame.message, frame.pos)));
    }
    renderer.render(&groups)
}

/// The text of a warning about a source, of several lines, without a line end.
pub fn report_warning(warning: &SyntaxError, source: &Source, options: ReportOptions) -> String {
    let renderer = if options.color { Renderer::styled() } else { Renderer::plain() };
    let renderer = renderer.term_width(options.width).decor_style(DecorStyle::Ascii);
    renderer.render(&[syntax_group(Level::WARNING, warning, source)])
}

/// The error itself: its message, its place, advice, and the way to it in short.
fn main_group(error: &Error, options: ReportOptions) -> Group<'static> {
    let mut elements: Vec<Element<'static>> = Vec::new();
    if let Some((source, span)) = place(error).resolve() {
        let labels = match &error.kind {
            ErrorKind::InfiniteRecursion(cycle) => cycle_labels(cycle, source),
            _ => Vec::new(),
        };
        elements.push(snippet(source, span, &labels).into());
    }
    if let Some(help) = advice(&error.kind) {
        elements.push(Level::HELP.message(help).into());
    }
    if !options.show_trace {
        elements.extend(short_trace(error).into_iter().map(|line| Element::from(Level::NOTE.message(line))));
    }
    Level::ERROR.primary_title(sentence(&error.message)).elements(elements)
}

/// The place to show: where it happened, or, if nobody knows that or it is in a text that no user wrote, the next place
/// on the way out.
fn place(error: &Error) -> Pos {
    let places =
        || [error.pos].into_iter().chain(error.trace.iter().map(|frame| frame.pos)).filter(|pos| pos.is_some());
    places().find(|pos| !is_internal(*pos)).or_else(|| places().next()).unwrap_or(Pos::NONE)
}

/// Whether a place is in a text that came with the evaluator, or that a command evaluates around the user's.
fn is_internal(pos: Pos) -> bool {
    pos.resolve().is_some_and(|(source, _)| match &source.origin {
        Origin::Text(name) => name == "«derivation»" || name.starts_with("«the "),
        Origin::File(_) => false,
    })
}

/// The values of a cycle, each with what it needs; those in other texts are left to the trace.
fn cycle_labels(cycle: &Cycle, source: &Source) -> Vec<(Span, String)> {
    let places: Vec<Span> = cycle
        .values
        .iter()
        .rev()
        .filter_map(|pos| pos.resolve())
        .filter(|(other, _)| std::ptr::eq(*other, source))
        .map(|(_, span)| span)
        .collect();
    let count = places.len();
    if count > MAX_CYCLE || count < cycle.values.len() {
        return Vec::new();
    }
    let words = |index: usize| match count {
        1 => "this needs itself".to_owned(),
        _ if index + 1 < count => format!("{}: this needs {}", index + 1, index + 2),
        _ => format!("{}: this needs 1", index + 1),
    };
    places.into_iter().enumerate().map(|(index, span)| (span, words(index))).collect()
}

/// A message as a title: one that is empty says so.
fn sentence(message: &str) -> String {
    if message.is_empty() { "(an empty message)".to_owned() } else { message.to_owned() }
}

fn place_group(message: &str, pos: Pos) -> Group<'static> {
    let title = Level::NOTE.secondary_title(message.to_owned());
    match pos.resolve() {
        Some((source, span)) => title.element(snippet(source, span, &[])),
        None => Group::with_title(title),
    }
}

fn syntax_groups(errors: &[SyntaxError], source: &Source) -> Vec<Group<'static>> {
    let mut groups: Vec<Group<'static>> =
        errors.iter().take(MAX_SYNTAX_ERRORS).map(|error| syntax_group(Level::ERROR, error, source)).collect();
    let hidden = errors.len().saturating_sub(MAX_SYNTAX_ERRORS);
    if hidden > 0 {
        groups.push(Group::with_title(Level::NOTE.secondary_title(format!("{hidden} more errors are not shown"))));
    }
    groups
}

fn syntax_group(level: Level<'static>, error: &SyntaxError, source: &Source) -> Group<'static> {
    let mut elements: Vec<Element<'static>> = vec![snippet(source, error.span, &error.labels).into()];
    if let Some(help) = &error.help {
        elements.push(Level::HELP.message(help.clone()).into());
    }
    level.primary_title(error.message.clone()).elements(elements)
}

/// The lines of a span with a caret under it, and other places with their words.
fn snippet(source: &Source, span: Span, labels: &[(Span, String)]) -> Snippet<'static, Annotation<'static>> {
    let text = printable(&source.text);
    let first = labels.iter().map(|(span, _)| span.start).chain([span.start]).min().unwrap_or(span.start);
    let last = labels.iter().map(|(span, _)| span.end).chain([span.end]).max().unwrap_or(span.end);
    // Only the lines that matter are given to the renderer, which would otherwise read the whole text.
    let window = line_start(&text, first as usize)..line_end(&text, last as usize);
    let within = |span: Span| {
        let start = floor_boundary(&text, (span.start as usize).min(text.len()));
        let end = floor_boundary(&text, (span.end as usize).clamp(start, text.len()));
        // Of a place that spans lines the first says enough.
        let end = end.min(line_end(&text, start)).max(start);
        start - window.start..end - window.start
    };
    let own_words = labels.iter().find(|(other, _)| *other == span).map(|(_, words)| words.clone());
    let mut snippet = Snippet::source(text[window.clone()].to_owned())
        .line_start(source.lines().position(window.start as u32).line as usize)
        .path(source.display_name())
        .annotation(AnnotationKind::Primary.span(visible(within(span), &text[window.clone()])).label(own_words));
    for (span, words) in labels.iter().filter(|(other, _)| *other != span) {
        let range = visible(within(*span), &text[window.clone()]);
        snippet = snippet.annotation(AnnotationKind::Context.span(range).label(words.clone()));
    }
    snippet
}

/// An empty range, as at the end of a text, shows as one column.
fn visible(range: Range<usize>, text: &str) -> Range<usize> {
    if range.is_empty() && text[range.start..].starts_with(|first| first != '\n') {
        let width = text[range.start..].chars().next().map_or(0, char::len_utf8);
        return range.start..range.start + width;
    }
    range
}

/// A text with each byte that is not UTF-8 replaced by `?`, so that offsets stay what they are.
fn printable(text: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(text) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for chunk in text.utf8_chunks() {
        out.push_str(chunk.valid());
        out.extend(std::iter::repeat_n('?', chunk.invalid().len()));
    }
    Cow::Owned(out)
}

fn floor_boundary(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

fn line_start(text: &str, at: usize) -> usize {
    let at = at.min(text.len());
    memchr::memrchr(b'\n', &text.as_bytes()[..at]).map_or(0, |feed| feed + 1)
}

fn line_end(text: &str, at: usize) -> usize {
    let at = at.min(text.len());
    memchr::memchr(b'\n', &text.as_bytes()[at..]).map_or(text.len(), |feed| at + feed)
}

/// What to write instead, or what there is to choose from.
fn advice(kind: &ErrorKind) -> Option<String> {
    let (name, candidates, what) = match kind {
        ErrorKind::MissingAttr { name, candidates } => (*name, candidates, "the set has"),
        ErrorKind::UndefinedVariable { name, candidates } => (*name, candidates, ""),
        ErrorKind::WrongArgument { name, candidates, .. } => (*name, candidates, "the function takes"),
        _ => return None,
    };
    // An argument that is missing is one of those that the function takes: others like it are no help.
    let is_missing = matches!(kind, ErrorKind::WrongArgument { .. }) && candidates.contains(&name);
    let near = if is_missing { Vec::new() } else { near_names(name, candidates) };
    if !near.is_empty() {
        return Some(format!("did you mean {}?", join(&near, "or")));
    }
    if what.is_empty() || candidates.len() > FEW_NAMES {
        return None;
    }
    if candidates.is_empty() {
        return Some(format!("{what} nothing"));
    }
    let mut names: Vec<String> = candidates.iter().map(|name| format!("'{name}'")).collect();
    names.sort_unstable();
    Some(format!("{what} {}", join(&names, "and")))
}

/// The candidates that are written almost like a name, the nearest first, at most three.
pub fn near_names(name: Symbol, candidates: &[Symbol]) -> Vec<String> {
    let name = name.text();
    let limit = match name.chars().count() {
        // Any other letter is one edit away.
        0..=1 => 0,
        2 => 1,
        3..=5 => 2,
        length => length / 3,
    };
    let mut near: Vec<(usize, String)> = candidates
        .iter()
        .map(|candidate| candidate.text())
        .filter(|candidate| candidate.len().abs_diff(name.len()) <= limit && **candidate != *name)
        .map(|candidate| (distance(&name, &candidate), candidate.into_owned()))
        .filter(|(distance, _)| *distance <= limit)
        .collect();
    near.sort_unstable();
    near.dedup();
    near.into_iter().take(3).map(|(_, candidate)| format!("'{candidate}'")).collect()
}

/// How many edits apart two names are; a difference in case alone counts as one.
fn distance(left: &str, right: &str) -> usize {
    if left.eq_ignore_ascii_case(right) { 1 } else { strsim::osa_distance(left, right) }
}

fn join(names: &[String], word: &str) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [rest @ .., last] => format!("{} {word} {last}", rest.join(", ")),
    }
}

/// The steps to the error in as few lines as tell the way: what the program itself asked to be said, and the innermost
/// and outermost places.
fn short_trace(error: &Error) -> Vec<String> {
    let mut steps: Vec<&Frame> = Vec::new();
    let shown = begin(place(error));
    for frame in &error.trace {
        let repeated = steps.last().is_some_and(|last| last.pos == frame.pos && !last.by_user);
        let says_nothing =
            !frame.by_user && (!frame.pos.is_some() || begin(frame.pos) == shown || is_internal(frame.pos));
        if !repeated && !says_nothing {
            steps.push(frame);
        }
    }
    let mut lines = Vec::new();
    let hidden = steps.len().saturating_sub(INNER_STEPS + OUTER_STEPS);
    for (index, frame) in steps.iter().enumerate() {
        let is_hidden = hidden > 1 && (INNER_STEPS..INNER_STEPS + hidden).contains(&index);
        if is_hidden && index == INNER_STEPS {
            lines.push(format!("… {hidden} more steps; --show-trace shows them"));
        }
        if !is_hidden || frame.by_user {
            lines.push(step_line(frame));
        }
    }
    lines
}

/// The text and the offset at which a place begins.
fn begin(pos: Pos) -> Option<(*const Source, u32)> {
    pos.resolve().map(|(source, span)| (std::ptr::from_ref(source), span.start))
}

fn step_line(frame: &Frame) -> String {
    match frame.pos.start() {
        Some((source, start)) => {
            format!("{}, at {}:{}:{}", frame.message, source.display_name(), start.line, start.column)
        }
        None => frame.message.clone(),
    }
}
