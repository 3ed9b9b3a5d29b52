//! `sh` and `bash`: brush behind the command line that those two take.
//!
//! What is read from standard input is read whole before it runs, unless it is a terminal; `sh` and `bash` differ only
//! in the modes that brush knows.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::os::fd::AsFd;
use std::path::Path;

use brush_builtins::{BuiltinSet, ShellBuilderExt};
use brush_core::extensions::{ErrorFormatter, ShellExtensions, ShellExtensionsImpl};
use brush_core::openfiles::OpenFile;
use brush_core::parser::ParseError;
use brush_core::{ProfileLoadBehavior, RcLoadBehavior, ShellFd, SourceInfo};

use crate::kill::Kill;
use crate::shell_threads;

/// The shell with messages that begin as those of other shells do.
type Shell = brush_core::Shell<ShellExtensionsImpl<Named>>;

/// Puts the shell's name before its messages.
#[derive(Clone, Default)]
struct Named;

impl ErrorFormatter for Named {
    fn format_error(&self, error: &brush_core::Error, shell: &brush_core::Shell<impl ShellExtensions>) -> String {
        let name = shell.current_shell_name().unwrap_or("sh".into());
        format!("{name}: {error:#}\n")
    }
}

/// The exit code of a command line that makes no sense, as bash gives it.
const USAGE: i32 = 2;
/// Deeply nested code recurses deeply.
const STACK_BYTES: usize = 16 << 20;

/// Prints clap's message for a wrong command line, or the help that was asked for; the exit code to return.
pub(crate) fn usage(error: clap::Error) -> i32 {
    let code = if error.use_stderr() { USAGE } else { 0 };
    // A closed standard error leaves nobody to tell.
    let _ = error.print();
    code
}

/// What the command line asks for.
#[derive(Debug, Default, PartialEq)]
struct Invocation {
    name: String,
    options_on: Vec<String>,
    options_off: Vec<String>,
    shopt_on: Vec<String>,
    shopt_off: Vec<String>,
    login: bool,
    interactive: bool,
    from_stdin: bool,
    /// What an interactive shell reads first.
    start_file: Option<String>,
    command: Option<String>,
    /// The script and its arguments, or with `-c` and `-s` the positional parameters.
    operands: Vec<String>,
}

/// The entry point of `sh` and `bash`.
pub(crate) fn main(argv: Vec<OsString>) -> i32 {
    let called = argv.first().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let invocation = argv
        .into_iter()
        .map(OsString::into_string)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|bad| format!("the argument {bad:?} is not valid UTF-8, which this shell needs"))
        .and_then(|argv| parse(&argv));
    match invocation {
        Ok(invocation) => start(invocation),
        Err(message) => {
            eprintln!("{called}: {message}");
            USAGE
        }
    }
}

/// The one-letter options, each with its long name.
const LETTERS: &[(char, &str)] = &[
    ('a', "allexport"),
    ('b', "notify"),
    ('B', "braceexpand"),
    ('C', "noclobber"),
    ('e', "errexit"),
    ('E', "errtrace"),
    ('f', "noglob"),
    ('h', "hashall"),
    ('H', "histexpand"),
    ('k', "keyword"),
    ('m', "monitor"),
    ('n', "noexec"),
    ('p', "privileged"),
    ('P', "physical"),
    ('t', "onecmd"),
    ('T', "functrace"),
    ('u', "nounset"),
    ('v', "verbose"),
    ('x', "xtrace"),
];

fn parse(argv: &[String]) -> Result<Invocation, String> {
    let mut invocation = Invocation { name: argv.first().cloned().unwrap_or_default(), ..Invocation::default() };
    invocation.login = invocation.name.starts_with('-');
    let mut wants_command = false;
    let mut rest = argv.get(1..).unwrap_or_default().iter();
    while let Some(arg) = rest.as_slice().first() {
        match arg.as_str() {
            "--" | "-" => {
                rest.next();
                break;
            }
            "--login" => invocation.login = true,
            "--posix" => invocation.options_on.push("posix".to_owned()),
            // There are no start-up files but one that is named, so these ask for what is so anyway.
            "--norc" | "--noprofile" | "--noediting" => {}
            "--rcfile" | "--init-file" => {
                rest.next();
                let file = rest.as_slice().first().ok_or_else(|| format!("{arg}: it needs a file"))?;
                invocation.start_file = Some(file.clone());
            }
            long if long.starts_with("--") => {
                return Err(format!("{long}: there is no such option"));
            }
            cluster if cluster.len() > 1 && cluster.starts_with(['-', '+']) => {
                rest.next();
                wants_command |= letters(cluster, &mut rest, &mut invocation)?;
                continue;
            }
            _ => break,
        }
        rest.next();
    }
    invocation.operands = rest.cloned().collect();
    if wants_command {
        if invocation.operands.is_empty() {
            return Err("-c: it needs a command".to_owned());
        }
        invocation.command = Some(invocation.operands.remove(0));
        if !invocation.operands.is_empty() {
            invocation.name = invocation.operands.remove(0);
        }
    }
    Ok(invocation)
}

/// Takes one cluster such as `-euo` with the names that its `o`s and `O`s take; whether `c` was in it.
fn letters<'a>(
    cluster: &str,
    rest: &mut impl Iterator<Item = &'a String>,
    invocation: &mut Invocation,
) -> Result<bool, String> {
    let on = cluster.starts_with('-');
    let mut wants_command = false;
    for letter in cluster.chars().skip(1) {
        let mut named = || rest.next().cloned().ok_or_else(|| format!("-{letter}: it needs the name of an option"));
        match letter {
            'c' => wants_command = true,
            's' => invocation.from_stdin = true,
            'i' => invocation.interactive = true,
            'l' => invocation.login = true,
            'o' if on => invocation.options_on.push(named()?),
            'o' => invocation.options_off.push(named()?),
            'O' if on => invocation.shopt_on.push(named()?),
            'O' => invocation.shopt_off.push(named()?),
            _ => match LETTERS.iter().find(|(known, _)| *known == letter) {
                Some((_, name)) if on => invocation.options_on.push((*name).to_owned()),
                Some((_, name)) => invocation.options_off.push((*name).to_owned()),
                None => return Err(format!("-{letter}: there is no such option")),
            },
        }
    }
    Ok(wants_command)
}

fn start(invocation: Invocation) -> i32 {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(shell_threads::worker_threads(invocation.command.as_deref()))
        .thread_stack_size(STACK_BYTES)
        .enable_all()
        .build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(run(invocation)),
        Err(error) => {
            eprintln!("sh: the shell's threads cannot be started: {error}");
            return 1;
        }
    };
    // Anything but a flush at the end would change what scripts print.
    let _ = io::stdout().flush();
    match outcome {
        Ok(code) => i32::from(code),
        Err(error) => {
            eprintln!("sh: {error}");
            127
        }
    }
}

async fn run(invocation: Invocation) -> Result<u8, brush_core::Error> {
    let reads_stdin = invocation.command.is_none() && (invocation.from_stdin || invocation.operands.is_empty());
    let interactive = invocation.interactive || (reads_stdin && io::stdin().is_terminal());
    let parameters = match invocation.command.is_some() || reads_stdin {
        true => Some(invocation.operands.clone()),
        false => None,
    };
    // `sh` is bash under its other name, as on most systems: `[[`, arrays and `echo` are there.
    let mut shell = brush_core::Shell::builder_with_extensions::<ShellExtensionsImpl<Named>>()
        .enable_options(invocation.options_on)
        .disable_options(invocation.options_off)
        .enable_shopt_options(invocation.shopt_on)
        .disable_shopt_options(invocation.shopt_off)
        .default_builtins(BuiltinSet::BashMode)
        .builtin("kill", brush_core::builtins::simple_builtin::<Kill, _>())
        .login(invocation.login)
        .interactive(interactive)
        .command_string_mode(invocation.command.is_some())
        .read_commands_from_stdin(reads_stdin)
        .no_editing(true)
        .profile(ProfileLoadBehavior::Skip)
        .rc(RcLoadBehavior::Skip)
        .fds(standard_files())
        .shell_name(invocation.name.clone())
        .maybe_shell_args(parameters)
        .build()
        .await?;
    if let Some(command) = invocation.command {
        shell.run_dash_c_command(command).await?;
    } else if !reads_stdin {
        let (script, arguments) = (&invocation.operands[0], invocation.operands[1..].iter());
        shell.run_script(Path::new(script), arguments).await?;
    } else if interactive {
        converse(&mut shell, invocation.start_file.as_deref()).await?;
    } else {
        let mut script = String::new();
        io::stdin().lock().read_to_string(&mut script)?;
        let params = shell.default_exec_params();
        shell.run_string(script, &SourceInfo::from("stdin"), &params).await?;
        shell.on_exit().await?;
    }
    Ok(shell.last_exit_status())
}

/// Standard input, output and error as plain files.
///
/// brush's own notion of them lets a program started with `>&2` inherit this process's standard *output*, and reads
/// ahead on standard input what a later command should get.
fn standard_files() -> HashMap<ShellFd, OpenFile> {
    let (input, output, error) = (io::stdin(), io::stdout(), io::stderr());
    [(0, input.as_fd()), (1, output.as_fd()), (2, error.as_fd())]
        .into_iter()
        // A descriptor that is closed stays closed.
        .filter_map(|(number, fd)| Some((number, OpenFile::from(File::from(fd.try_clone_to_owned().ok()?)))))
        .collect()
}

/// A conversation on a terminal: a prompt, a command (over several lines where it takes them), its result.
async fn converse(shell: &mut Shell, start_file: Option<&str>) -> Result<(), brush_core::Error> {
    shell.start_interactive_session()?;
    if let Some(file) = start_file {
        let (text, params) = (std::fs::read_to_string(file)?, shell.default_exec_params());
        let result = shell.run_string(text, &SourceInfo::from(file), &params).await?;
        if matches!(result.next_control_flow, brush_core::ExecutionControlFlow::ExitShell) {
            shell.end_interactive_session()?;
            return shell.on_exit().await;
        }
    }
    let mut pending = String::new();
    loop {
        let prompt = match pending.is_empty() {
            true => shell.compose_prompt().await?,
            false => shell.compose_continuation_prompt().await?,
        };
        eprint!("{prompt}");
        if io::stdin().lock().read_line(&mut pending)? == 0 {
            eprintln!();
            break;
        }
        if is_unfinished(shell, &pending) {
            continue;
        }
        let params = shell.default_exec_params();
        let result = shell.run_string(std::mem::take(&mut pending), &SourceInfo::from("terminal"), &params).await?;
        if matches!(result.next_control_flow, brush_core::ExecutionControlFlow::ExitShell) {
            break;
        }
    }
    shell.end_interactive_session()?;
    shell.on_exit().await
}

/// Whether the text is the beginning of a command that goes on in the next line.
fn is_unfinished(shell: &Shell, text: &str) -> bool {
    match shell.parse_string(text) {
        Err(ParseError::ParsingAtEndOfInput) => true,
        Err(ParseError::Tokenizing { inner, .. }) => inner.is_incomplete(),
        _ => text.ends_with("\\\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Invocation, String> {
        parse(&line.split(' ').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn options_clusters_and_operands() {
        let got = parsed("sh -euo pipefail -c true name one").unwrap();
        assert_eq!(got.options_on, ["errexit", "nounset", "pipefail"]);
        assert_eq!((got.command.as_deref(), got.name.as_str()), (Some("true"), "name"));
        assert_eq!(got.operands, ["one"]);
        assert_eq!(parsed("sh -e script -x").unwrap().operands, ["script", "-x"]);
        assert_eq!(parsed("sh +e -- -x").unwrap().operands, ["-x"]);
        assert!(parsed("sh -s a b").unwrap().from_stdin);
        assert_eq!(parsed("bash --rcfile start -i").unwrap().start_file.as_deref(), Some("start"));
    }

    #[test]
    fn nonsense_is_refused() {
        for line in ["sh -Z", "sh -c", "sh -o", "sh --nonsense", "sh --rcfile"] {
            assert!(parsed(line).is_err(), "{line}");
        }
    }
}
