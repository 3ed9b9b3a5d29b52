//! Where `docker-daemon:` looks for Docker's daemon.

use std::fs;
use std::path::Path;

use crate::{text, wharf};

/// What is said of the daemon that does not answer.
fn looked_at(home: &Path, variables: &[(&str, &str)]) -> String {
    let mut command = wharf(home);
    command.current_dir(home).args(["copy", "docker-daemon:a:1", "oci:out"]).envs(variables.iter().copied());
    let output = command.output().expect("wharf starts");
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output).1;
    let (_, rest) = said.split_once("no daemon answers at ").unwrap_or_else(|| panic!("{said}"));
    rest.split(": ").next().unwrap_or_default().to_owned()
}

#[test]
fn the_variable_counts_more_than_the_context_and_that_more_than_the_socket() {
    let home = tempfile::tempdir().unwrap();
    // A context's directory is called by the SHA-256 of its name.
    let (name, hash) = ("mine", "3fd30542fe3f61b14bd4a4b2dc0b6fb30fa6f63ebce52dd1778aaa8c4dc02cff");
    let directory = home.path().join(".docker/contexts/meta").join(hash);
    fs::create_dir_all(&directory).unwrap();
    let meta = r#"{"Name":"x","Endpoints":{"docker":{"Host":"unix:///nowhere/context.sock","SkipTLSVerify":false}}}"#;
    fs::write(directory.join("meta.json"), meta).unwrap();
    let runtime = home.path().join("run");
    fs::create_dir(&runtime).unwrap();
    let (runtime, context) = (runtime.display().to_string(), ("DOCKER_CONTEXT", name));
    assert_eq!(looked_at(home.path(), &[context]), "unix:///nowhere/context.sock");
    assert_eq!(
        looked_at(home.path(), &[context, ("DOCKER_HOST", "unix:///nowhere/own.sock")]),
        "unix:///nowhere/own.sock"
    );
    fs::write(home.path().join(".docker/config.json"), format!(r#"{{"currentContext":"{name}"}}"#)).unwrap();
    assert_eq!(looked_at(home.path(), &[]), "unix:///nowhere/context.sock");
    let refused = ("DOCKER_HOST", "tcp://127.0.0.1:1");
    assert_eq!(looked_at(home.path(), &[refused, ("XDG_RUNTIME_DIR", &runtime)]), "tcp://127.0.0.1:1");
    let mut ssh = wharf(home.path());
    let output = ssh.args(["copy", "docker-daemon:a", "oci:out"]).env("DOCKER_HOST", "ssh://host").output().unwrap();
    assert!(text(&output).1.contains("forward its socket"), "{}", text(&output).1);
}
