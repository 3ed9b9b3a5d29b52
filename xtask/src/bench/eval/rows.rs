//! The rows of the table: what is evaluated, and which trees that needs.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::parity;

/// Trees of Nix code by the names that rows know them by.
pub type Trees = Vec<(String, PathBuf)>;

/// One row.
pub struct Row {
    /// What it is called.
    pub name: &'static str,
    /// Whether it is one of the small ones that the geometric mean is of.
    pub micro: bool,
    /// How often it is run at most.
    pub runs: usize,
    /// The trees that it needs.
    trees: &'static [&'static str],
    work: Work,
}

enum Work {
    /// One of our own programs. It is given each tree as the argument with the name beside it.
    Program(&'static str, &'static [&'static str]),
    /// The derivation path that such a program's derivation has.
    ProgramPath(&'static str, &'static [&'static str]),
    /// Text on the command line.
    Text(&'static str),
    /// An expression in which `tree` is the tree.
    OfTree(&'static str),
    /// The derivation paths of all attributes of a tree that evaluate, in one evaluation.
    AllPaths,
    /// Making that derivation again: it was evaluated before, and nothing has changed.
    ProgramAgain(&'static str, &'static [&'static str]),
    /// Making an attribute of the tree again.
    Again(&'static str),
}

macro_rules! program {
    ($file:literal) => {
        include_str!(concat!($file, ".nix"))
    };
}

const fn micro(name: &'static str, text: &'static str) -> Row {
    Row { name, micro: true, runs: 9, trees: &[], work: Work::Program(text, &[]) }
}

const fn large(name: &'static str, runs: usize, trees: &'static [&'static str], work: Work) -> Row {
    Row { name, micro: false, runs, trees, work }
}

/// All rows, the cheap ones first.
pub const ROWS: &[Row] = &[
    large("start-up, 1 + 1", 31, &[], Work::Text("1 + 1")),
    micro("fib 27", program!("fib")),
    micro("sort 200,000 integers twice", program!("sort")),
    micro("strings: foldl', replace, split", program!("strings")),
    micro("genericClosure of 150,000", program!("closure")),
    micro("200,000 attributes, 3,000 //", program!("attrs")),
    large("evalModules, 400 modules", 7, &["lib"], Work::Program(program!("modules"), &["lib"])),
    large("lib/tests/misc.nix", 7, &["lib"], Work::Program(program!("library-tests"), &["lib"])),
    large(
        "home-manager activation package",
        7,
        &["lib", "core", "home-manager", "nixpkgs"],
        Work::ProgramPath(program!("home-manager"), HOME_ARGUMENTS),
    ),
    large("core, all derivation paths", 7, &["core"], Work::AllPaths),
    large("nixpkgs 2016, hello", 9, &["nixpkgs"], Work::OfTree("(import tree { }).hello.drvPath")),
    large("nixpkgs 2016, all derivation paths", 3, &["nixpkgs"], Work::AllPaths),
    large("again: nixpkgs 2016, hello", 15, &["nixpkgs"], Work::Again("hello")),
    large("again: nixpkgs 2016, firefox", 15, &["nixpkgs"], Work::Again("firefox")),
    large(
        "again: home-manager activation",
        15,
        &["lib", "core", "home-manager", "nixpkgs"],
        Work::ProgramAgain(program!("home-manager"), HOME_ARGUMENTS),
    ),
];

/// What the program is called with that makes a home.
const HOME_ARGUMENTS: &[&str] = &["lib", "core", "homeManager", "nixpkgs"];

impl Row {
    /// The trees it needs and is not given.
    pub fn missing(&self, trees: &Trees) -> Vec<&'static str> {
        self.trees.iter().filter(|name| find(trees, name).is_none()).copied().collect()
    }

    /// Whether it imports files from copies of sources in the store.
    pub fn copies_sources(&self) -> bool {
        self.trees.contains(&"core")
    }

    /// Whether it is about what is done again, with an evaluation cache where there is one.
    pub fn is_again(&self) -> bool {
        matches!(self.work, Work::ProgramAgain(..) | Work::Again(_))
    }

    /// The tree whose paths it evaluates all, if it does.
    pub fn all_paths_of<'a>(&self, trees: &'a Trees) -> Option<&'a Path> {
        matches!(self.work, Work::AllPaths).then(|| find(trees, self.trees[0])).flatten()
    }

    /// The arguments for `nix-instantiate`; programs are written into `directory`.
    pub fn arguments(&self, trees: &Trees, directory: &Path) -> Result<Vec<String>> {
        let mut arguments: Vec<String> = match self.is_again() {
            true => Vec::new(),
            false => ["--eval", "--strict", "--json"].map(str::to_owned).into(),
        };
        let path_of = |name: &&str| find(trees, name).map(|path| path.display().to_string()).unwrap_or_default();
        match self.work {
            Work::Text(text) => arguments.extend(["--expr".to_owned(), text.to_owned()]),
            Work::OfTree(text) => {
                arguments.extend(["--expr".to_owned(), format!("let tree = {}; in {text}", path_of(&self.trees[0]))]);
            }
            Work::Program(text, names) | Work::ProgramPath(text, names) | Work::ProgramAgain(text, names) => {
                arguments.push(self.write(directory, text)?);
                for (name, tree) in names.iter().zip(self.trees) {
                    arguments.extend(["--arg".to_owned(), (*name).to_owned(), path_of(tree)]);
                }
                if matches!(self.work, Work::ProgramPath(..)) {
                    arguments.extend(["-A", "drvPath"].map(str::to_owned));
                }
            }
            Work::Again(attribute) => {
                let file = Path::new(&path_of(&self.trees[0])).join("default.nix");
                arguments.extend([file.display().to_string(), "-A".to_owned(), attribute.to_owned()]);
            }
            Work::AllPaths => {
                let expr = format!("import {} {{ }}", path_of(&self.trees[0]));
                let paths = parity::derivations(&expr)?;
                let lines: Vec<String> = paths.iter().map(|path| path.join("\t") + "\n").collect();
                std::fs::write(self.paths_file(directory), lines.concat())?;
                arguments.push(self.write(directory, &parity::paths_program(&expr, &paths))?);
            }
        }
        Ok(arguments)
    }

    /// Where the attributes are listed, once [`Row::arguments`] was asked for, for rows of all paths of a tree.
    pub fn paths_file(&self, directory: &Path) -> PathBuf {
        directory.join(self.name.replace(|character: char| !character.is_ascii_alphanumeric(), "-"))
    }

    fn write(&self, directory: &Path, text: &str) -> Result<String> {
        let stem: String = self.name.chars().filter(char::is_ascii_alphanumeric).collect();
        let file = directory.join(format!("{stem}.nix"));
        std::fs::write(&file, text)?;
        Ok(file.display().to_string())
    }
}

fn find<'a>(trees: &'a Trees, name: &str) -> Option<&'a Path> {
    trees.iter().find(|(known, _)| known == name).map(|(_, path)| path.as_path())
}
