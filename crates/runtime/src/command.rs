//! What is run, from the image's configuration and the options.

use std::path::{Path, PathBuf};

use image::ContainerConfig;

use crate::error::RuntimeError;
use crate::options::RunOptions;

/// Where programs are looked for when neither the image nor the options say so.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The arguments, `argv[0]` included: the entry point and what is passed to it.
pub(crate) fn arguments(config: &ContainerConfig, options: &RunOptions) -> Result<Vec<String>, RuntimeError> {
    let (entrypoint, default_command) = match &options.entrypoint {
        // An entry point of the user's own does not go with the image's arguments.
        Some(program) => (vec![program.clone()], Vec::new()),
        None => (config.entrypoint.clone().unwrap_or_default(), config.cmd.clone().unwrap_or_default()),
    };
    let command = if options.command.is_empty() { default_command } else { options.command.clone() };
    let arguments: Vec<String> = entrypoint.into_iter().chain(command).collect();
    match arguments.first() {
        Some(program) if !program.is_empty() => Ok(arguments),
        _ => Err(RuntimeError::NoCommand),
    }
}

/// The environment: what is always there, then the image's, then the user's; the last one wins.
pub(crate) fn environment(
    config: &ContainerConfig,
    options: &RunOptions,
    home: &str,
    host_name: &str,
) -> Vec<(String, String)> {
    let mut result: Vec<(String, String)> = Vec::new();
    let mut set = |name: &str, value: &str| match result.iter_mut().find(|(known, _)| known == name) {
        Some((_, known)) => *known = value.to_owned(),
        None => result.push((name.to_owned(), value.to_owned())),
    };
    set("PATH", DEFAULT_PATH);
    set("HOSTNAME", host_name);
    if options.terminal {
        set("TERM", "xterm");
    }
    set("HOME", home);
    for variable in &config.env {
        let (name, value) = variable.split_once('=').unwrap_or((variable, ""));
        set(name, value);
    }
    for (name, value) in &options.environment {
        set(name, value);
    }
    result
}

/// The places of the program, in the order in which to try them.
pub(crate) fn programs(program: &str, environment: &[(String, String)]) -> Vec<PathBuf> {
    if program.contains('/') {
        return vec![program.into()];
    }
    let path = environment.iter().find(|(name, _)| name == "PATH").map_or("", |(_, value)| value);
    let places = path.split(':').map(|place| Path::new(if place.is_empty() { "." } else { place }).join(program));
    places.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(entrypoint: &[&str], cmd: &[&str]) -> ContainerConfig {
        let list = |words: &[&str]| (!words.is_empty()).then(|| words.iter().map(|word| (*word).to_owned()).collect());
        ContainerConfig { entrypoint: list(entrypoint), cmd: list(cmd), ..ContainerConfig::default() }
    }

    fn run(entrypoint: &[&str], cmd: &[&str], own: Option<&str>, command: &[&str]) -> Option<String> {
        let mut options = RunOptions::new("".into(), "".into());
        options.entrypoint = own.map(str::to_owned);
        options.command = command.iter().map(|word| (*word).to_owned()).collect();
        Some(arguments(&config(entrypoint, cmd), &options).ok()?.join(" "))
    }

    #[test]
    fn entry_point_and_command() {
        assert_eq!(run(&[], &["a", "b"], None, &[]).as_deref(), Some("a b"));
        assert_eq!(run(&["e"], &["a", "b"], None, &[]).as_deref(), Some("e a b"));
        assert_eq!(run(&["e"], &["a", "b"], None, &["c"]).as_deref(), Some("e c"));
        assert_eq!(run(&["e"], &["a", "b"], Some("o"), &[]).as_deref(), Some("o"));
        assert_eq!(run(&["e"], &["a", "b"], Some("o"), &["c"]).as_deref(), Some("o c"));
        assert_eq!(run(&[], &[], None, &[]), None);
    }

    #[test]
    fn the_last_variable_wins() {
        let mut options = RunOptions::new("".into(), "".into());
        options.environment = vec![("B".into(), "user".into())];
        let config = ContainerConfig {
            env: vec!["PATH=/bin".into(), "A=x=y".into(), "B=image".into()],
            ..ContainerConfig::default()
        };
        let environment = environment(&config, &options, "/root", "host");
        let get = |name: &str| environment.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        assert_eq!((get("A"), get("B"), get("PATH")), (Some("x=y"), Some("user"), Some("/bin")));
        assert_eq!((get("HOME"), get("HOSTNAME"), get("TERM")), (Some("/root"), Some("host"), None));
        assert_eq!(programs("sh", &environment), [PathBuf::from("/bin/sh")]);
        assert_eq!(programs("./sh", &environment), [PathBuf::from("./sh")]);
    }
}
