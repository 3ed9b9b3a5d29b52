//! `nix.conf`: settings by name, as Nix reads them from files and from `NIX_CONFIG`.
//!
//! A line is `name = value`, `include FILE` or `!include FILE`; `#` starts a comment wherever it stands. Words are
//! separated by white space. `extra-name` adds to the list `name` instead of replacing it. Of several sources the later
//! one wins.

use std::collections::BTreeMap;

use thiserror::Error;

/// How deep files may include others.
const DEEPEST: usize = 16;

/// Why a text is no `nix.conf`.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{file}, line {line}: {reason}")]
pub struct NixConfError {
    /// The file, or `NIX_CONFIG`.
    pub file: String,
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong. It never repeats a value: access tokens are among them.
    pub reason: String,
}

/// Reads a file that another includes, given as it stands there; the included file's name and its text, or `None` if
/// it cannot be read.
pub type Include<'a> = dyn FnMut(&str, &str) -> Option<(String, String)> + 'a;

/// Settings by name. Which names there are is not known here. It has no `Debug`: some values are secrets.
#[derive(Clone, Default)]
pub struct NixConf {
    settings: BTreeMap<String, Setting>,
}

#[derive(Clone, Default)]
struct Setting {
    replaced: Option<Vec<String>>,
    added: Vec<String>,
}

impl NixConf {
    /// Reads more settings. `file` names the text in errors and is given to `include`.
    pub fn read(&mut self, file: &str, text: &str, include: &mut Include<'_>) -> Result<(), NixConfError> {
        self.read_nested(file, text, include, 0)
    }

    fn read_nested(
        &mut self,
        file: &str,
        text: &str,
        include: &mut Include<'_>,
        depth: usize,
    ) -> Result<(), NixConfError> {
        for (index, line) in text.lines().enumerate() {
            let wrong = |reason: String| NixConfError { file: file.to_owned(), line: index + 1, reason };
            let line = line.split('#').next().unwrap_or_default();
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            match words[..] {
                [] => {}
                [how @ ("include" | "!include"), path] => match include(file, path) {
                    Some(_) if depth == DEEPEST => return Err(wrong("files include each other".to_owned())),
                    Some((name, text)) => self.read_nested(&name, &text, include, depth + 1)?,
                    None if how == "include" => return Err(wrong(format!("cannot read the included file '{path}'"))),
                    None => {}
                },
                [name, "=", ref values @ ..] => self.set(name, values),
                _ => return Err(wrong("expected 'name = value' or 'include FILE'".to_owned())),
            }
        }
        Ok(())
    }

    /// Sets, or with `extra-` before the name adds to, a setting.
    pub fn set(&mut self, name: &str, values: &[&str]) {
        let values = values.iter().map(|value| (*value).to_owned());
        match name.strip_prefix("extra-") {
            Some(name) => self.settings.entry(name.to_owned()).or_default().added.extend(values),
            None => {
                let setting = Setting { replaced: Some(values.collect()), added: Vec::new() };
                self.settings.insert(name.to_owned(), setting);
            }
        }
    }

    /// The words of a setting that replaces the default; `None` if only the default, and what is
    /// [added](NixConf::added), counts. What was added to it is part of it.
    pub fn list(&self, name: &str) -> Option<Vec<String>> {
        let setting = self.settings.get(name)?;
        let mut list = setting.replaced.clone()?;
        list.extend(setting.added.iter().cloned());
        Some(list)
    }

    /// What `extra-name` adds to the default.
    pub fn added(&self, name: &str) -> &[String] {
        self.settings.get(name).filter(|setting| setting.replaced.is_none()).map_or(&[], |setting| &setting.added)
    }

    /// The whole value of a setting as one text.
    pub fn text(&self, name: &str) -> Option<String> {
        Some(self.settings.get(name)?.replaced.as_ref()?.join(" "))
    }

    /// A yes or no; `None` if it is neither, or not set.
    pub fn flag(&self, name: &str) -> Option<bool> {
        match self.text(name)?.as_str() {
            "true" | "yes" | "1" => Some(true),
            "false" | "no" | "0" => Some(false),
            _ => None,
        }
    }

    /// A number; `None` if it is none, or not set.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.text(name)?.parse().ok()
    }

    /// A setting of pairs `key=value`, as `access-tokens`.
    pub fn pairs(&self, name: &str) -> BTreeMap<String, String> {
        let words = self.list(name).unwrap_or_else(|| self.added(name).to_vec());
        let pairs = words.iter().filter_map(|word| word.split_once('='));
        pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<NixConf, NixConfError> {
        let mut conf = NixConf::default();
        let mut include = |from: &str, path: &str| match path {
            "more" => Some(("more".to_owned(), "cores = 4 # of 8\nextra-substituters = c".to_owned())),
            "itself" => Some(("itself".to_owned(), "include itself".to_owned())),
            _ => {
                assert_eq!(from, "nix.conf");
                None
            }
        };
        conf.read("nix.conf", text, &mut include)?;
        Ok(conf)
    }

    #[test]
    fn later_lines_win_and_extra_adds() {
        let conf = read(
            "# a comment\nsubstituters = a\nextra-substituters =  b\ncores=9\n\
             cores = 1\n!include gone\ninclude more\nrequire-sigs = false\naccess-tokens = github.com=x y=PAT:z=",
        );
        assert!(conf.is_err(), "'cores=9' is one word, as in Nix");
        let conf = read(
            "substituters = a\nextra-substituters =  b\n!include gone\ninclude more\nrequire-sigs = false\n\
             access-tokens = github.com=x y=PAT:z=\nextra-trusted-public-keys = k\nempty =",
        );
        let conf = conf.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(conf.list("substituters").unwrap(), ["a", "b", "c"]);
        assert_eq!((conf.number("cores"), conf.flag("require-sigs")), (Some(4), Some(false)));
        assert_eq!(
            (conf.list("trusted-public-keys"), conf.added("trusted-public-keys")),
            (None, &["k".to_owned()][..])
        );
        assert_eq!(conf.pairs("access-tokens")["y"], "PAT:z=");
        assert_eq!(conf.list("empty"), Some(Vec::new()));
        assert!(
            read("extra-substituters = b\nsubstituters = a").is_ok_and(|c| c.list("substituters").unwrap() == ["a"])
        );
    }

    #[test]
    fn what_is_no_setting_is_named_without_its_value() {
        for (text, reason) in [
            ("\naccess-tokens github.com=secret", "nix.conf, line 2: expected"),
            ("include gone", "cannot read the included file 'gone'"),
            ("include itself", "include each other"),
        ] {
            let error = read(text).err().unwrap().to_string();
            assert!(error.contains(reason) && !error.contains("secret"), "{error}");
        }
    }
}
