//! The shell's `kill`, as bash has it: `kill [-s NAME | -n NUMBER | -NAME | -NUMBER] PROCESS…`, `kill -l [SIGNAL…]`.
//!
//! brush's own sends SIGKILL where no signal is named, takes one process only, and knows no numbers.

use std::io::Write;

use brush_core::builtins::{ContentOptions, ContentType, SimpleCommand};
use brush_core::traps::TrapSignal;
use brush_core::{ExecutionContext, ExecutionExitCode, ExecutionResult, ShellExtensions};
use rustix::process::{Pid, Signal};

/// The builtin.
pub(crate) struct Kill;

const USAGE: &str = "kill [-s NAME | -n NUMBER | -SIGNAL] PROCESS... or kill -l [SIGNAL]...";

/// What is asked for.
#[derive(Debug, PartialEq)]
enum Request {
    /// Send a signal (0 only asks whether the process is there) to processes and jobs.
    Send(i32, Vec<String>),
    /// Translate names to numbers and back; without any, list them all.
    List(Vec<String>),
}

impl SimpleCommand for Kill {
    fn get_content(
        _name: &str,
        content_type: ContentType,
        _options: &ContentOptions,
    ) -> Result<String, brush_core::Error> {
        Ok(match content_type {
            ContentType::ShortUsage => format!("kill: {USAGE}\n"),
            ContentType::ShortDescription => "kill - Send a signal to processes and jobs\n".to_owned(),
            ContentType::DetailedHelp | ContentType::ManPage => {
                format!("{USAGE}\nSends SIGTERM, or the signal named.\n")
            }
        })
    }

    fn execute<SE: ShellExtensions, I: Iterator<Item = S>, S: AsRef<str>>(
        mut context: ExecutionContext<'_, SE>,
        arguments: I,
    ) -> Result<ExecutionResult, brush_core::Error> {
        // The first is the command's own name.
        let arguments: Vec<String> = arguments.skip(1).map(|argument| argument.as_ref().to_owned()).collect();
        match parse(&arguments) {
            Ok(Request::Send(signal, targets)) => {
                let mut result = ExecutionResult::success();
                for target in targets {
                    if let Err(problem) = send(&mut context, signal, &target) {
                        writeln!(context.stderr(), "kill: ({target}) - {problem}")?;
                        result = ExecutionResult::general_error();
                    }
                }
                Ok(result)
            }
            Ok(Request::List(signals)) => {
                let lines: Vec<String> = list(&signals);
                writeln!(context.stdout(), "{}", lines.join("\n"))?;
                Ok(ExecutionResult::success())
            }
            Err(problem) => {
                writeln!(context.stderr(), "kill: {problem}\nkill: usage: {USAGE}")?;
                Ok(ExecutionExitCode::InvalidUsage.into())
            }
        }
    }
}

fn parse(arguments: &[String]) -> Result<Request, String> {
    let mut rest = arguments.iter();
    let mut signal = Signal::TERM.as_raw();
    let mut targets = Vec::new();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "-l" | "-L" => return Ok(Request::List(rest.cloned().collect())),
            "-s" | "-n" => {
                let named = rest.next().ok_or_else(|| format!("{argument}: option requires an argument"))?;
                signal = number(named)?;
            }
            "--" => break,
            option if option.starts_with('-') => signal = number(&option[1..])?,
            _ => {
                targets.push(argument.clone());
                break;
            }
        }
    }
    // Behind the first process, a number with a dash is a process group.
    targets.extend(rest.cloned());
    if targets.is_empty() { Err("no process is named".to_owned()) } else { Ok(Request::Send(signal, targets)) }
}

/// The number of a signal that is named as `9`, `KILL` or `SIGKILL`.
fn number(text: &str) -> Result<i32, String> {
    let unknown = || format!("{text}: invalid signal specification");
    if let Ok(number) = text.parse::<i32>() {
        return if (0..=64).contains(&number) { Ok(number) } else { Err(unknown()) };
    }
    match TrapSignal::try_from(text) {
        Ok(TrapSignal::Signal(signal)) => Ok(signal as i32),
        _ => Err(unknown()),
    }
}

fn list(signals: &[String]) -> Vec<String> {
    let name = |number: i32| TrapSignal::try_from(number).ok().map(|signal| signal.to_string().replacen("SIG", "", 1));
    if signals.is_empty() {
        return (1..=64).filter_map(|number| Some(format!("{number:>2}) SIG{}", name(number)?))).collect();
    }
    let one = |text: &String| match text.parse::<i32>() {
        // An exit status of a shell says which signal ended a process.
        Ok(number_) => name(number_ % 128),
        Err(_) => number(text).ok().map(|number| number.to_string()),
    };
    signals.iter().filter_map(one).collect()
}

fn send<SE: ShellExtensions>(context: &mut ExecutionContext<'_, SE>, signal: i32, target: &str) -> Result<(), String> {
    let target = match target.starts_with('%') {
        true => {
            let job = context.shell.jobs_mut().resolve_job_spec(target).ok_or("no such job")?;
            job.process_group_id().ok_or("no such job")?
        }
        false => target.parse::<i32>().map_err(|_| "arguments must be process or job IDs")?,
    };
    let process = |number: i32| Pid::from_raw(number).ok_or("no such process");
    let sent = match (Signal::from_named_raw(signal), target) {
        (None, 0) => rustix::process::test_kill_current_process_group(),
        (None, 1..) => rustix::process::test_kill_process(process(target)?),
        (None, _) => rustix::process::test_kill_process_group(process(-target)?),
        (Some(signal), 0) => rustix::process::kill_current_process_group(signal),
        (Some(signal), 1..) => rustix::process::kill_process(process(target)?, signal),
        (Some(signal), _) => rustix::process::kill_process_group(process(-target)?, signal),
    };
    sent.map_err(|errno| std::io::Error::from(errno).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Request, String> {
        parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn signals_are_named_in_every_way() {
        let term = |targets: &[&str]| Ok(Request::Send(15, targets.iter().map(|&target| target.to_owned()).collect()));
        assert_eq!(parsed("1 2 %1"), term(&["1", "2", "%1"]));
        assert_eq!(parsed("-- -7"), term(&["-7"]));
        for line in ["-9 4", "-KILL 4", "-SIGKILL 4", "-s kill 4", "-s 9 4", "-n 9 4"] {
            assert_eq!(parsed(line), Ok(Request::Send(9, vec!["4".to_owned()])), "{line}");
        }
        assert_eq!(parsed("-0 4"), Ok(Request::Send(0, vec!["4".to_owned()])));
        for wrong in ["", "-9", "-NOPE 4", "-s", "-99 4"] {
            assert!(parsed(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn names_and_numbers_translate() {
        assert_eq!(list(&["9".into(), "TERM".into(), "137".into()]), ["KILL", "15", "KILL"]);
        assert!(list(&[]).contains(&"15) SIGTERM".to_owned()));
    }
}
