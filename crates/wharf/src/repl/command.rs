//! A line as a command.

/// What a line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Command<'a> {
    /// Nothing at all.
    Nothing,
    /// Print the value of an expression.
    Print(&'a str),
    /// Give a name a value.
    Bind(&'a str, &'a str),
    Help,
    Quit,
    Add(&'a str),
    Load(&'a str),
    LoadFlake(&'a str),
    LastLoaded,
    Reload,
    Type(&'a str),
    PrintAll(&'a str),
    Build(&'a str),
    /// Build, and leave links in the current directory.
    BuildAndLink(&'a str),
    Edit(&'a str),
    Document(&'a str),
    Log(&'a str),
    /// Show traces or do not; `None` changes it.
    Trace(Option<bool>),
    Unknown(&'a str),
}

pub(super) const HELP: &str = "  <expr>                      evaluate an expression and print its value
  <name> = <expr>             give a name a value
  :a, :add <expr>             add the attributes of a set to the names
  :b <expr>                   build a derivation
  :bl <expr>                  build a derivation, and leave links to its outputs here
  :doc <expr>                 what a function does
  :e, :edit <expr>            open the file of a package or a function in $EDITOR
  :l, :load <path>            load a file and add its attributes to the names
  :lf, :load-flake <ref>      load a flake and add its outputs to the names
  :ll, :last-loaded           the names that were added last
  :log <expr>                 what the builder of a derivation wrote
  :p, :print <expr>           print all of a value, and a string as it is
  :q, :quit                   leave
  :r, :reload                 read all files and flakes again
  :t, :type <expr>            say what a value is
  :te, :trace-enable [bool]   show every step of an error, or do not
  :?, :help                   this";

impl<'a> Command<'a> {
    pub(super) fn parse(line: &'a str) -> Self {
        let line = line.trim();
        let Some(rest) = line.strip_prefix(':') else {
            return match (line, binding(line)) {
                ("", _) => Self::Nothing,
                (_, Some((name, value))) => Self::Bind(name, value),
                _ => Self::Print(line),
            };
        };
        let (name, argument) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        let argument = argument.trim();
        match name {
            "?" | "help" => Self::Help,
            "q" | "quit" => Self::Quit,
            "a" | "add" => Self::Add(argument),
            "l" | "load" => Self::Load(argument),
            "lf" | "load-flake" => Self::LoadFlake(argument),
            "ll" | "last-loaded" => Self::LastLoaded,
            "r" | "reload" => Self::Reload,
            "t" | "type" => Self::Type(argument),
            "p" | "print" => Self::PrintAll(argument),
            "b" | "build" => Self::Build(argument),
            "bl" => Self::BuildAndLink(argument),
            "e" | "edit" => Self::Edit(argument),
            "doc" => Self::Document(argument),
            "log" => Self::Log(argument),
            "te" | "trace-enable" => Self::Trace(match argument {
                "true" => Some(true),
                "false" => Some(false),
                _ => None,
            }),
            _ => Self::Unknown(name),
        }
    }
}

/// `name = value`, with or without the semicolon that it would have in a set.
fn binding(line: &str) -> Option<(&str, &str)> {
    let end = line.find(|c: char| !(c.is_ascii_alphanumeric() || "_'-".contains(c)))?;
    let (name, rest) = line.split_at(end);
    let value = rest.trim_start().strip_prefix('=')?;
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    // `a == b` compares.
    (is_name && !value.starts_with('=')).then(|| (name, value.trim().trim_end_matches(';').trim_end()))
}

/// The expression of a line, whose end may still be missing.
pub(super) fn expression(line: &str) -> Option<&str> {
    match Command::parse(line) {
        Command::Print(text)
        | Command::Bind(_, text)
        | Command::Add(text)
        | Command::Type(text)
        | Command::PrintAll(text)
        | Command::Build(text)
        | Command::BuildAndLink(text)
        | Command::Edit(text)
        | Command::Document(text)
        | Command::Log(text) => Some(text),
        _ => None,
    }
}

/// Whether a line ends in the middle of an expression.
pub(super) fn is_incomplete(line: &str) -> bool {
    let Some(text) = expression(line).filter(|text| !text.is_empty()) else { return false };
    let parse = syntax::parse(text.as_bytes(), syntax::Options { pipe_operators: true, ..syntax::Options::default() });
    parse.errors.first().is_some_and(|error| {
        error.message.ends_with("found the end of the text")
            || error.message.ends_with("that begins here is not closed")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_told_apart() {
        for (line, command) in [
            ("", Command::Nothing),
            ("  1 + 1 ", Command::Print("1 + 1")),
            ("x = 5;", Command::Bind("x", "5")),
            ("a == b", Command::Print("a == b")),
            ("{ a = 1; }", Command::Print("{ a = 1; }")),
            ("a.b", Command::Print("a.b")),
            (":t 1", Command::Type("1")),
            (":l <nixpkgs>", Command::Load("<nixpkgs>")),
            (":te false", Command::Trace(Some(false))),
            (":quux 1", Command::Unknown("quux")),
        ] {
            assert_eq!(Command::parse(line), command, "{line}");
        }
    }

    #[test]
    fn what_is_not_finished_is_asked_on_for() {
        for line in ["{", "x = {", ":t (1", "let a = 1;", "''text", "\"text", "[ 1", "x:", "1 +", "if true then 1 else"]
        {
            assert!(is_incomplete(line), "{line}");
        }
        for line in ["1", "}", "{ }", ":l (", "x = 1", "a ) b"] {
            assert!(!is_incomplete(line), "{line}");
        }
    }
}
