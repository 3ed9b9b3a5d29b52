//! `wharf login` and `wharf logout`.

use std::fs;
use std::io::{self, BufRead, ErrorKind, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use distribution::{Client, Credential};
use serde_json::{Map, Value, json};

use crate::failure::Failure;
use crate::registries;
use crate::settings::{Settings, Verbosity};

/// Remember who you are at a registry
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  pass show registry | wharf login registry.example.org --username me --password-stdin

The credentials are tried first, and kept where docker and podman look for them too: $REGISTRY_AUTH_FILE, else
~/.docker/config.json.")]
pub(crate) struct Login {
    /// The registry's host, with its port if it has one
    host: String,
    /// The user [default: asked for]
    #[arg(short, long)]
    username: Option<String>,
    /// Read the password from standard input, to its end
    #[arg(long)]
    password_stdin: bool,
}

/// Forget who you are at a registry
#[derive(clap::Args)]
pub(crate) struct Logout {
    /// The registry's host, with its port if it has one
    host: String,
}

pub(crate) fn login(arguments: &Login, settings: &Settings) -> Result<i32, Failure> {
    let file = file(settings)?;
    let user = match &arguments.username {
        Some(user) => user.clone(),
        None => ask("User: ")?,
    };
    let password = password(arguments.password_stdin)?;
    let auth = BASE64_STANDARD.encode(format!("{user}:{password}"));
    let mut client_settings = registries::client_settings(&settings.environment)?;
    client_settings.credentials.insert(arguments.host.clone(), Credential::Password { user, password });
    registries::wait(async { Ok(Client::new(client_settings).log_in(&arguments.host).await?) })?;
    change(&file, |auths| {
        auths.insert(key(&arguments.host), json!({ "auth": auth }));
    })?;
    say(settings, &format!("logged in to {}; kept in {}", arguments.host, file.display()));
    Ok(0)
}

pub(crate) fn logout(arguments: &Logout, settings: &Settings) -> Result<i32, Failure> {
    let mut known = false;
    for file in registries::auth_files(&settings.environment).into_iter().filter(|file| file.exists()) {
        change(&file, |auths| known |= auths.remove(&key(&arguments.host)).is_some())?;
    }
    let outcome = if known { "forgot the credentials for" } else { "there were no credentials for" };
    say(settings, &format!("{outcome} {}", arguments.host));
    Ok(0)
}

fn say(settings: &Settings, message: &str) {
    if settings.verbosity >= Verbosity::Normal {
        eprintln!("{message}");
    }
}

/// The name under which Docker keeps a registry: its Hub has one of its own.
fn key(host: &str) -> String {
    match host {
        "docker.io" => "https://index.docker.io/v1/".to_owned(),
        other => other.to_owned(),
    }
}

/// The file that is written: the one that the user names, else Docker's.
fn file(settings: &Settings) -> Result<PathBuf, Failure> {
    let files = registries::auth_files(&settings.environment);
    let given = crate::environment::text("REGISTRY_AUTH_FILE").is_some();
    let chosen = if given { files.into_iter().next() } else { files.into_iter().next_back() };
    chosen.ok_or_else(|| {
        Failure::new("there is no place for credentials: HOME is not set").help("set REGISTRY_AUTH_FILE to a file")
    })
}

fn password(from_stdin: bool) -> Result<String, Failure> {
    if from_stdin {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text)?;
        return Ok(text.trim_end_matches(['\r', '\n']).to_owned());
    }
    if !io::stdin().is_terminal() {
        return Err(Failure::usage("there is no terminal to ask for the password on")
            .help("pass it with --password-stdin; as an argument it would show in the list of processes"));
    }
    without_echo(|| ask("Password: "))
}

fn ask(prompt: &str) -> Result<String, Failure> {
    eprint!("{prompt}");
    io::stderr().flush()?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    let answer = line.trim_end_matches(['\r', '\n']).to_owned();
    match answer.is_empty() {
        true => Err(Failure::usage("nothing was given")),
        false => Ok(answer),
    }
}

/// Lets the terminal not show what is typed meanwhile.
fn without_echo<T>(work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
    let terminal = io::stdin();
    let before = tcgetattr(&terminal).map_err(io::Error::from)?;
    let mut silent = before.clone();
    silent.local_modes.remove(LocalModes::ECHO);
    tcsetattr(&terminal, OptionalActions::Flush, &silent).map_err(io::Error::from)?;
    let outcome = work();
    tcsetattr(&terminal, OptionalActions::Flush, &before).map_err(io::Error::from)?;
    eprintln!();
    outcome
}

/// Changes the credentials in a file and leaves everything else in it as it was. Nobody but its owner may read it.
fn change(path: &Path, edit: impl FnOnce(&mut Map<String, Value>)) -> Result<(), Failure> {
    let mut content = match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map_err(|error| Failure::new(format!("{} is no JSON", path.display())).because(error.to_string()))?,
        Err(error) if error.kind() == ErrorKind::NotFound => json!({}),
        Err(error) => return Err(Failure::io("read", path, error)),
    };
    let auths =
        content.as_object_mut().and_then(|content| content.entry("auths").or_insert_with(|| json!({})).as_object_mut());
    let Some(auths) = auths else {
        return Err(Failure::new(format!("{} has not the form of a file of credentials", path.display())));
    };
    edit(auths);
    replace(path, &content).map_err(|error| Failure::io("write", path, error))
}

fn replace(path: &Path, content: &Value) -> io::Result<()> {
    let parent = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(parent)?;
    // A temporary file is readable by its owner only, and stays so.
    let mut file = tempfile::NamedTempFile::new_in(parent)?;
    serde_json::to_writer_pretty(&mut file, content)?;
    file.write_all(b"\n")?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}
