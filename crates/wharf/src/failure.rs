//! What went wrong, as the user is told it: what, where, why, and what to type next.

use std::any::Any;
use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;

use anstyle::{AnsiColor, Style};
use eval::report::{ReportOptions, report};

use crate::settings::Settings;

/// The exit code when the thing asked for failed.
pub(crate) const FAILED: i32 = 1;
/// The exit code when the command line makes no sense.
pub(crate) const USAGE: i32 = 2;

/// A failure of a command.
#[derive(Debug)]
pub(crate) struct Failure {
    /// What failed, one sentence without a final stop.
    message: String,
    /// Why, outermost first.
    causes: Vec<String>,
    /// A failed evaluation: it is shown with its place in the text, by its own report.
    evaluation: Option<Box<eval::Error>>,
    /// What to do about it.
    help: Option<String>,
    code: i32,
}

impl Failure {
    /// A failure of the thing asked for.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), causes: Vec::new(), evaluation: None, help: None, code: FAILED }
    }

    /// The command line asks for something that makes no sense.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { code: USAGE, ..Self::new(message) }
    }

    /// A file could not be dealt with: "cannot ACTION PATH".
    pub(crate) fn io(action: &str, path: &Path, error: std::io::Error) -> Self {
        Self::new(format!("cannot {action} {}", path.display())).because(error.to_string())
    }

    /// The same with a reason.
    pub(crate) fn because(mut self, cause: impl Into<String>) -> Self {
        self.causes.push(cause.into());
        self
    }

    /// The same with advice.
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// What failed, in one sentence.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// Prints the failure on standard error and gives the exit code.
    pub(crate) fn report(&self, settings: &Settings) -> i32 {
        if settings.json {
            let error = serde_json::json!({
                "schema": 1,
                "error": { "message": self.message, "causes": self.causes, "help": self.help },
            });
            eprintln!("{error}");
        } else {
            eprint!("{}", self.render(settings.color_stderr, settings.show_trace));
        }
        self.code
    }

    /// The failure in lines; the last one ends in a line break.
    pub(crate) fn render(&self, color: bool, show_trace: bool) -> String {
        let paint = |style: Style, text: &str| match color {
            true => format!("{style}{text}{style:#}"),
            false => text.to_owned(),
        };
        let red = Style::new().bold().fg_color(Some(AnsiColor::Red.into()));
        let cyan = Style::new().bold().fg_color(Some(AnsiColor::Cyan.into()));
        let mut text = match &self.evaluation {
            Some(error) => report(error, ReportOptions { color, show_trace, ..ReportOptions::default() }) + "\n",
            None => format!("{} {}\n", paint(red, "error:"), self.message.trim_end()),
        };
        for cause in &self.causes {
            let _ = writeln!(text, "  {} {}", paint(cyan, "because"), cause.replace('\n', "\n          "));
        }
        if let Some(help) = &self.help {
            let _ = writeln!(text, "{} {}", paint(cyan, "help:"), help.replace('\n', "\n      "));
        }
        text
    }
}

/// Any library's error: its own sentence, and the sentences of what is behind it.
impl<E: Error + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        let mut failure = Self::new(error.to_string());
        let mut source = error.source();
        while let Some(cause) = source {
            let text = cause.to_string();
            // Many errors repeat their cause in their own sentence.
            if !failure.message.contains(&text) && !failure.causes.iter().any(|known| known.contains(&text)) {
                failure.causes.push(text);
            }
            source = cause.source();
        }
        if let Some(help) =
            (&error as &dyn Any).downcast_ref::<distribution::Error>().and_then(distribution::Error::help)
        {
            failure.help = Some(help.to_owned());
        }
        match (&error as &dyn Any).downcast_ref::<project::Error>() {
            Some(project::Error::Target { help, .. }) => failure.help(help),
            Some(project::Error::Eval { error, help }) => {
                failure.evaluation = Some(error.clone());
                failure.help.clone_from(help);
                failure
            }
            _ => failure,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_what_why_and_what_next() {
        let failure = Failure::new("cannot pull alpine").because("the digest differs").help("run `wharf lock`");
        assert_eq!(
            failure.render(false, false),
            "error: cannot pull alpine\n  because the digest differs\nhelp: run `wharf lock`\n"
        );
    }
}
