//! Nix's settings by their names, as `nix.conf`, `--option NAME VALUE` and the flags of the same names give them.

use eval::Settings;
use nix_formats::nix_conf::NixConf;

use crate::nix_conf;

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
    /// The entries of the search path, and whether they count more than `NIX_PATH`.
    pub(crate) search_path: Option<(Vec<String>, bool)>,
    /// What counts more than `system`.
    eval_system: String,
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
    ("nix-path", Form::Value),
    ("pure-eval", Form::Switch),
    ("restrict-eval", Form::Switch),
    ("system", Form::Value),
    ("trace-verbose", Form::Switch),
];

/// Nix's other experimental features. What of them Wharf has is always there, so that asking for them changes nothing.
const FEATURES: &[&str] = &[
    "auto-allocate-uids",
    "blake3-hashes",
    "ca-derivations",
    "cgroups",
    "configurable-impure-env",
    "daemon-trust-override",
    "dynamic-derivations",
    "external-builders",
    "fetch-closure",
    "fetch-tree",
    "flakes",
    "git-hashing",
    "impure-derivations",
    "local-overlay-store",
    "mounted-ssh-store",
    "nix-command",
    "no-url-literals",
    "read-only-local-store",
    "recursive-nix",
    "verified-fetches",
];

/// How a setting is given as a flag; `None` for one that is not known.
pub(crate) fn form(name: &str) -> Option<Form> {
    SETTINGS.iter().find(|(known, _)| *known == name).map(|(_, form)| *form)
}

impl NixOptions {
    /// Takes note of a setting.
    pub(crate) fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.given.push((name.into(), value.into()));
    }

    /// The settings that are about something else than the evaluation, by name and value.
    pub(crate) fn others(&self) -> Vec<(String, String)> {
        self.given.iter().filter(|(name, _)| nix_conf::is_known(name)).cloned().collect()
    }

    /// Applies the machine's and the user's settings, then these in their order. The error is a sentence.
    pub(crate) fn resolve(&self, conf: &NixConf, evaluation: Settings) -> Result<Resolved, String> {
        let mut resolved = Resolved {
            evaluation,
            restricted: false,
            allowed_uris: Vec::new(),
            use_cache: true,
            search_path: None,
            eval_system: String::new(),
            unknown: Vec::new(),
        };
        resolved.apply_conf(conf)?;
        self.given.iter().try_for_each(|(name, value)| resolved.apply(name, value))?;
        if !resolved.eval_system.is_empty() {
            resolved.evaluation.system = std::mem::take(&mut resolved.eval_system);
        }
        Ok(resolved)
    }
}

impl Resolved {
    fn apply_conf(&mut self, conf: &NixConf) -> Result<(), String> {
        for (name, _) in SETTINGS {
            if let Some(value) = conf.list(name) {
                self.apply(name, &value.join(" "))?;
            } else if let added @ [_, ..] = conf.added(name) {
                self.apply(&format!("extra-{name}"), &added.join(" "))?;
            }
        }
        if let Some((_, before_nix_path)) = &mut self.search_path {
            *before_nix_path = false;
        }
        // Files are written for other versions of Nix too.
        self.unknown.clear();
        Ok(())
    }

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
            "system" => evaluation.system = value.to_owned(),
            "eval-system" => self.eval_system = value.to_owned(),
            "nix-path" => self.search_path = Some((words().collect(), true)),
            "lint-url-literals" => evaluation.lints.url_literals = lint()?,
            "lint-short-path-literals" => evaluation.lints.short_path_literals = lint()?,
            "lint-absolute-path-literals" => evaluation.lints.absolute_path_literals = lint()?,
            "experimental-features" => {
                (evaluation.pipe_operators, evaluation.toml_timestamps) = (false, false);
                words().for_each(|feature| self.feature(&feature));
            }
            "extra-experimental-features" => words().for_each(|feature| self.feature(&feature)),
            // What they say is for others, who read them as they do the files.
            other if nix_conf::is_known(other) => {}
            other => self.unknown.push(format!("unknown setting '{other}'")),
        }
        Ok(())
    }

    fn feature(&mut self, name: &str) {
        match name {
            "pipe-operators" | "pipe-operator" => self.evaluation.pipe_operators = true,
            "parse-toml-timestamps" => self.evaluation.toml_timestamps = true,
            other if FEATURES.contains(&other) => {}
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
        options.set("extra-substituters", "file:///a file:///b");
        options.set("extra-experimental-features", "flakes pipe-operators levitation");
        let resolved = options.resolve(&NixConf::default(), Settings::default()).unwrap();
        assert_eq!((resolved.evaluation.pure, resolved.evaluation.max_call_depth), (false, 7));
        assert_eq!(resolved.allowed_uris, ["a", "b"]);
        assert_eq!(options.others(), [("extra-substituters".to_owned(), "file:///a file:///b".to_owned())]);
        assert!(resolved.evaluation.pipe_operators);
        assert_eq!(
            resolved.unknown,
            ["unknown setting 'no-such-setting'", "unknown experimental feature 'levitation'"]
        );
        options.set("max-call-depth", "deep");
        assert!(
            options.resolve(&NixConf::default(), Settings::default()).is_err_and(|error| error.contains("a number"))
        );
    }

    #[test]
    fn files_come_before_what_is_given() {
        let text = "extra-experimental-features = pipe-operators levitation\nsystem = a\neval-system = b\n\
                    trace-verbose = true\nmax-call-depth = 7\nnix-path = x=/y z\ncores = 3";
        let mut conf = NixConf::default();
        conf.read("nix.conf", text, &mut |_, _| None).unwrap();
        let mut options = NixOptions::default();
        options.set("max-call-depth", "8");
        options.set("system", "c");
        let resolved = options.resolve(&conf, Settings::default()).unwrap();
        let Settings { pipe_operators, trace_verbose, max_call_depth, system, .. } = &resolved.evaluation;
        assert_eq!((*pipe_operators, *trace_verbose, *max_call_depth, system.as_str()), (true, true, 8, "b"));
        assert_eq!(resolved.search_path, Some((vec!["x=/y".to_owned(), "z".to_owned()], false)));
        assert!(resolved.unknown.is_empty());
        options.set("experimental-features", "flakes");
        assert!(!options.resolve(&conf, Settings::default()).unwrap().evaluation.pipe_operators);
        let mut wrong = NixConf::default();
        wrong.read("nix.conf", "pure-eval = perhaps", &mut |_, _| None).unwrap();
        assert!(options.resolve(&wrong, Settings::default()).is_err());
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
            let resolved = options.resolve(&NixConf::default(), Settings::default()).unwrap();
            assert!(!resolved.unknown.iter().any(|unknown| unknown.contains("setting")), "{name}");
        }
    }
}
