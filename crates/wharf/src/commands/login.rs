//! `wharf login` and `wharf logout`.

use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::path::PathBuf;

use distribution::{AuthFile, Client, Credential};

use crate::failure::Failure;
use crate::registries;
use crate::settings::{Settings, Verbosity};

/// Remember who you are at a registry
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  pass show registry | wharf login registry.example.org --username me --password-stdin
  wharf login quay.io/team                        an account for what is below quay.io/team only

The credentials are tried first, and kept where docker and podman look for them too: in --authfile, else
$REGISTRY_AUTH_FILE, else ~/.docker/config.json; or by the credential helper that this file names.
With the user `<token>` the password is an identity token.")]
pub(crate) struct Login {
    /// The registry's host, with its port if it has one; a path behind it limits the account to what is below
    host: String,
    /// The user [default: asked for]
    #[arg(short, long)]
    username: Option<String>,
    /// Read the password from standard input, to its end
    #[arg(long)]
    password_stdin: bool,
    /// The file of credentials
    #[arg(long, value_name = "FILE")]
    authfile: Option<PathBuf>,
}

/// Forget who you are at a registry
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  wharf logout registry.example.org
  wharf logout --all                              every registry of every file, and of their credential helpers")]
pub(crate) struct Logout {
    /// The registry's host, with its port if it has one
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    host: Option<String>,
    /// Forget all registries
    #[arg(long)]
    all: bool,
    /// The file of credentials [default: all that are read]
    #[arg(long, value_name = "FILE")]
    authfile: Option<PathBuf>,
}

pub(crate) fn login(arguments: &Login, settings: &Settings) -> Result<i32, Failure> {
    let place = name(&arguments.host)?;
    let mut file = AuthFile::read(&file(arguments.authfile.as_ref(), settings)?)?;
    let user = match &arguments.username {
        Some(user) => user.clone(),
        None => ask("User: ")?,
    };
    if user.contains(':') {
        return Err(Failure::usage("a user's name has no colon").help("what is behind the colon is the password"));
    }
    let password = password(arguments.password_stdin)?;
    let credential = match user.as_str() {
        "<token>" => Credential::RefreshToken(password),
        _ => Credential::Password { user, password },
    };
    let host = place.split('/').next().unwrap_or(&place).to_owned();
    let mut client_settings = registries::client_settings(&settings.environment)?;
    client_settings.credentials.insert(host.clone(), credential.clone());
    registries::wait(async { Ok(Client::new(client_settings).log_in(&host).await?) })?;
    let kept = file.log_in(&place, &credential)?;
    say(settings, &format!("logged in to {place}; kept in {kept}"));
    Ok(0)
}

pub(crate) fn logout(arguments: &Logout, settings: &Settings) -> Result<i32, Failure> {
    let files = match &arguments.authfile {
        Some(file) => vec![file.clone()],
        None => registries::auth_files(&settings.environment),
    };
    let mut forgotten = Vec::new();
    for path in files.into_iter().filter(|file| file.exists()) {
        let mut file = AuthFile::read(&path)?;
        match &arguments.host {
            Some(host) => {
                let place = name(host)?;
                if file.log_out(&place)? {
                    forgotten.push(place);
                }
            }
            None => forgotten.extend(file.log_out_everywhere()?),
        }
    }
    forgotten.sort();
    forgotten.dedup();
    match (&forgotten[..], &arguments.host) {
        ([], Some(host)) => say(settings, &format!("there were no credentials for {host}")),
        ([], None) => say(settings, "there were no credentials"),
        _ => forgotten.iter().for_each(|place| say(settings, &format!("forgot the credentials for {place}"))),
    }
    Ok(0)
}

fn say(settings: &Settings, message: &str) {
    if settings.verbosity >= Verbosity::Normal {
        eprintln!("{message}");
    }
}

/// A registry as people type it: `https://` before it or a slash behind it do not belong to it.
fn name(text: &str) -> Result<String, Failure> {
    let bare = text.trim_start_matches("https://").trim_start_matches("http://").trim_end_matches('/');
    let bare = match bare {
        "index.docker.io" | "registry-1.docker.io" | "index.docker.io/v1" => "docker.io",
        other => other,
    };
    // A host with something behind it is a reference.
    let probe = if bare.contains('/') { bare.to_owned() } else { format!("{bare}/x") };
    match probe.parse::<distribution::Reference>() {
        Ok(reference) if reference.tag().is_none() && probe.starts_with(reference.host()) => Ok(bare.to_owned()),
        _ => {
            Err(Failure::usage(format!("'{text}' is no registry")).help("write its host, as registry.example.org:5000"))
        }
    }
}

/// The file that is written: the one that the user names, else Docker's.
fn file(given: Option<&PathBuf>, settings: &Settings) -> Result<PathBuf, Failure> {
    let files = registries::auth_files(&settings.environment);
    let named = crate::environment::text("REGISTRY_AUTH_FILE").is_some();
    let default = if named { files.into_iter().next() } else { files.into_iter().next_back() };
    given.cloned().or(default).ok_or_else(|| {
        Failure::new("there is no place for credentials: HOME is not set").help("set REGISTRY_AUTH_FILE to a file")
    })
}

fn password(from_stdin: bool) -> Result<String, Failure> {
    if from_stdin {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text)?;
        return match text.trim_end_matches(['\r', '\n']) {
            "" => Err(Failure::usage("standard input has no password")),
            password => Ok(password.to_owned()),
        };
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

#[cfg(test)]
mod tests {
    use super::name;

    #[test]
    fn registries_as_people_type_them() {
        for (typed, meant) in [
            ("https://registry.example.org/", "registry.example.org"),
            ("localhost:5000", "localhost:5000"),
            ("quay.io/team", "quay.io/team"),
            ("https://index.docker.io/v1/", "docker.io"),
            ("docker.io", "docker.io"),
        ] {
            assert_eq!(name(typed).unwrap(), meant);
        }
        for wrong in ["", "a b", "quay.io/team:1", "team"] {
            assert!(name(wrong).is_err(), "{wrong}");
        }
    }
}
