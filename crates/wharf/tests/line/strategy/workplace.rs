//! A copy of the strategy's definitions with base images that a registry here has, and what they are built from.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use peers::{Access, Registry, push_base_image, succeed};
use tempfile::TempDir;

/// The base images as the definitions name them on docker.io: name in the file of digests, repository, tag.
const BASES: [(&str, &str, &str); 3] = [
    ("alpine", "library/alpine", "3.20"),
    ("gitea", "gitea/gitea", "1.25"),
    ("nextcloud", "library/nextcloud", "29-apache"),
];

/// Definitions, packages, a registry, and a Wharf with a home of its own.
pub struct Workplace {
    dir: TempDir,
    debs: PathBuf,
    _registry: Registry,
}

impl Workplace {
    /// Fetches the packages and pushes the base images; `None` where a peer is missing.
    pub fn set_up(packages: &[&str]) -> Option<Self> {
        // Kept between runs: the packages are many, and apt fetches only what is not there.
        let debs = Path::new(env!("CARGO_TARGET_TMPDIR")).join("debs");
        peers::debian::download(packages, &debs)?;
        let registry = Registry::start(Access::Open)?;
        let mut digests = String::from("{\n");
        for (name, repository, tag) in BASES {
            digests += &format!("  {name} = \"{}\";\n", push_base_image(&registry, repository, tag)?);
        }
        let dir = TempDir::new().expect("a temporary directory");
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/strategy");
        succeed(Command::new("cp").arg("-r").arg(examples).arg(dir.path().join("strategy")));
        fs::write(dir.path().join("strategy/packages/base-images.nix"), digests + "}\n").expect("the digests");
        write_mirror(dir.path(), &registry);
        Some(Self { dir, debs, _registry: registry })
    }

    /// A `wharf` command in the directory of the definitions.
    pub fn wharf(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wharf"));
        command.current_dir(self.dir.path().join("strategy")).env("HOME", self.dir.path()).env("WHARF_STORE", "own");
        for variable in ["WHARF_HOME", "WHARF_CACHE", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"] {
            command.env_remove(variable);
        }
        command
    }

    /// The arguments that name a definition and its packages.
    pub fn definition(&self, name: &str) -> Vec<String> {
        let debs = format!("{}", self.debs.display());
        [&format!("./packages/{name}-container.nix"), "--pkgs", "./debian", "--arg", "debs", &debs]
            .map(str::to_owned)
            .to_vec()
    }

    /// Builds an image and leaves its archive.
    pub fn build(&self, name: &str) {
        succeed(self.wharf().arg("build").args(self.definition(name)).arg("--out-link").arg(self.result(name)));
    }

    /// Builds the flake's whole set, whose images are those of the files.
    pub fn flake_builds_all_of_them(&self) {
        let flake = self.dir.path().join("strategy");
        succeed(Command::new("git").args(["init", "--quiet"]).current_dir(&flake));
        succeed(Command::new("git").args(["add", "."]).current_dir(&flake));
        let debs = self.debs.display().to_string();
        let arguments = ["build", ".#containers", "--no-link", "--json", "--pkgs", "./debian", "--arg", "debs", &debs];
        let printed = succeed(self.wharf().args(arguments));
        let printed: serde_json::Value = serde_json::from_str(&printed).expect("JSON");
        let names: Vec<_> =
            printed["results"].as_array().into_iter().flatten().map(|row| &row["image"]["name"]).collect();
        assert_eq!(names, ["forgejo", "nextcloud", "ollama"]);
    }

    /// The archive of a built image.
    pub fn result(&self, name: &str) -> PathBuf {
        self.dir.path().join(format!("result-{name}"))
    }
}

/// Lets the registry on loopback stand in for docker.io.
fn write_mirror(home: &Path, registry: &Registry) {
    let config = home.join(".config/wharf");
    fs::create_dir_all(&config).expect("the directory of the configuration");
    let text = format!("[mirrors]\n\"docker.io\" = [\"http://{}\"]\n", registry.host());
    fs::write(config.join("registries.toml"), text).expect("the configuration of mirrors");
}
