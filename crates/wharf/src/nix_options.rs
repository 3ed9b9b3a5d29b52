//! Nix's settings by their names, as `--option NAME VALUE` and the flags of the same names give them.

use eval::Settings;

/// What settings of Nix say about an evaluation; `None` where nothing was said.
#[derive(Clone, Debug, Default)]
pub(crate) struct NixOptions {
    given: Vec<(String, String)>,
}

/// What the settings come to.
pub(crate) struct Resolved {
    pub(crate) evaluation: Settings,
    pub(crate) restricted: bool,
    pub(crate) allowed_uris: Vec<String>,
    pub(crate) use_cache: bool,
    /// Settings and features that nobody here knows, as sentences.
    pub(crate) unknown: Vec<String>,
}

/// How a setting is given as a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// `--name`, `--no-name`
    Switch,
    /// `--name VALUE`
    Value,
}

/// The settings that mean something here, and how they are given as flags.
const SETTINGS: &[(&str, Form)] = &[
    ("allow-import-from-derivation", Form::Switch),
    ("allowed-uris", Form::Value),
    ("eval-cache", Form::Switch),
    ("eval-system", Form::Value),
    ("experimental-features", Form::Value),
    ("extra-allowed-uris", Form::Value),
    ("extra-experimental-features", Form::Value),
    ("lint-absolute-path-literals", Form::Value),
    ("lint-short-path-literals", Form::Value),
    ("lint-url-literals", Form::Value),
    ("max-call-depth", Form::Value),
    ("pure-eval", Form::Switch),
    ("restrict-eval", Form::Switch),
    ("system", Form::Value),
    ("trace-verbose", Form::Switch),
];

/// Features that are always there, so that asking for them changes nothing.
const ALWAYS: &[&str] =
    &["flakes", "nix-command", "fetch-tree", "fetch-closure", "ca-derivations", "dynamic-derivations"];

/// How a setting is given as a flag; `None` for one that is not known.
pub(crate) fn form(name: &str) -> Option<Form> {
    SETTINGS.iter().find(|(known, _)| *known == name).map(|(_, form)| *form)
}

impl NixOptions {
    /// Takes note of a setting.
    pub(crate) fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.given.push((name.into(), value.into()));
    }

    /// Applies the settings in their order. The error is a sentence.
    pub(crate) fn resolve(&self, evaluation: Settings) -> Result<Resolved, String> {
        let mut resolved =
            Resolved { evaluation, restricted: false, allowed_uris: Vec::new(), use_cache: true, unknown: Vec::new() };
        self.given.iter().try_for_each(|(name, value)| resolved.apply(name, value))?;
        Ok(resolved)
    }
}

impl Resolved {
    fn apply(&mut self, name: &str, value: &str) -> Result<(), String> {
        let wrong = |wanted: &str| format!("the setting '{name}' cannot be '{value}': {wanted}");
        let flag = || match value {
            "true" | "yes" | "1" => Ok(true),
            "false" | "no" | "0" => Ok(false),
            _ => Err(wrong("it is true or false")),
        };
        let lint = || match value {
            "ignore" => Ok(syntax::Lint::Ignore),
            "warn" => Ok(syntax::Lint::Warn),
            "fatal" => Ok(syntax::Lint::Fatal),
            _ => Err(wrong("it is ignore, warn or fatal")),
        };
        let words = || value.split_whitespace().map(str::to_owned);
        let evaluation = &mut self.evaluation;
        match name {
            "pure-eval" => evaluation.pure = flag()?,
            "restrict-eval" => self.restricted = flag()?,
            "eval-cache" => self.use_cache = flag()?,
            "allowed-uris" => self.allowed_uris = words().collect(),
            "extra-allowed-uris" => self.allowed_uris.extend(words()),
            "max-call-depth" => evaluation.max_call_depth = value.parse().map_err(|_| wrong("it is a number"))?,
            "trace-verbose" => evaluation.trace_verbose = flag()?,
            "allow-import-from-derivation" => evaluation.import_from_derivation = flag()?,
            "system" | "eval-system" => evaluation.system = value.to_owned(),
            "lint-url-literals" => evaluation.lints.url_literals = lint()?,
            "lint-short-path-literals" => evaluation.lints.short_path_literals = lint()?,
            "lint-absolute-path-literals" => evaluation.lints.absolute_path_literals = lint()?,
            "experimental-features" | "extra-experimental-features" => {
                words().for_each(|feature| self.feature(&feature))
            }
            other => self.unknown.push(format!("unknown setting '{other}'")),
        }
        Ok(())
    }

    fn feature(&mut self, name: &str) {
        match name {
            "pipe-operators" | "pipe-operator" => self.evaluation.pipe_operators = true,
            "parse-toml-timestamps" => self.evaluation.toml_timestamps = true,
            other if ALWAYS.contains(&other) => {}
            other => self.unknown.push(format!("unknown experimental feature '{other}'")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_applied_in_their_order_and_wrong_ones_are_refused() {
        let mut options = NixOptions::default();
        for (name, value) in
            [("pure-eval", "true"), ("max-call-depth", "7"), ("allowed-uris", "a b"), ("pure-eval", "no")]
        {
            options.set(name, value);
        }
        options.set("no-such-setting", "1");
        options.set("extra-experimental-features", "flakes pipe-operators levitation");
        let resolved = options.resolve(Settings::default()).unwrap();
        assert_eq!((resolved.evaluation.pure, resolved.evaluation.max_call_depth), (false, 7));
        assert_eq!(resolved.allowed_uris, ["a", "b"]);
        assert!(resolved.evaluation.pipe_operators);
        assert_eq!(
            resolved.unknown,
            ["unknown setting 'no-such-setting'", "unknown experimental feature 'levitation'"]
        );
        options.set("max-call-depth", "deep");
        assert!(options.resolve(Settings::default()).is_err_and(|error| error.contains("a number")));
    }

    #[test]
    fn every_setting_that_has_a_flag_is_applied() {
        for (name, form) in SETTINGS {
            let value = match (form, *name) {
                (Form::Switch, _) => "true",
                (_, "max-call-depth") => "5",
                (_, name) if name.starts_with("lint") => "warn",
                _ => "x",
            };
            let mut options = NixOptions::default();
            options.set(*name, value);
            let resolved = options.resolve(Settings::default()).unwrap();
            assert!(!resolved.unknown.iter().any(|unknown| unknown.contains("setting")), "{name}");
        }
    }
}
