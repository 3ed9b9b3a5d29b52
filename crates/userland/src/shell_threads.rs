//! How many threads a shell starts with.
//!
//! brush runs some of a shell's code as tasks: stages of a pipeline, substitutions, subshells, what runs in the background. Some
//! block on their pipe, and so each needs a thread. Starting that many threads takes three times as long as all else that
//! `sh -c 'mkdir -p "$out"'` does, and builds run thousands of such commands.

/// For code that may run tasks.
const MANY: usize = 16;
/// For code that runs none.
const FEW: usize = 2;

/// Words that run text which cannot be seen here, or whose effect is on words that come later.
const INDIRECT: [&str; 9] = ["eval", "source", ".", "trap", "alias", "coproc", "function", "builtin", "command"];
/// Words after which another command begins.
const BEFORE_COMMANDS: [&str; 11] = ["if", "then", "elif", "else", "while", "until", "do", "!", "{", "time", "exec"];

/// How many threads the shell needs for the code of `-c`, as far as its text tells: few only if nothing in it can make a task.
/// Other code is not known beforehand.
pub(crate) fn worker_threads(code: Option<&str>) -> usize {
    let Some(code) = code else { return MANY };
    let code = code.replace("&&", ";").replace("2>&1", "").replace(">&2", "");
    let plain = !code.contains(['|', '&', '`', '(', ')'])
        && !code.contains("@P}")
        && !inherits_functions()
        && code.split([';', '\n']).all(is_plain);
    if plain { FEW } else { MANY }
}

/// Whether a command, or a part of a compound one, is named by a word that is no expansion and runs no other text.
fn is_plain(command: &str) -> bool {
    let mut begins = true;
    for word in command.split_whitespace() {
        let hidden = begins && word.contains(['$', '"', '\'', '\\']) && !word.contains('=');
        if hidden || INDIRECT.contains(&word) {
            return false;
        }
        // Assignments before a command leave the place of its name open.
        begins = BEFORE_COMMANDS.contains(&word) || (begins && word.contains('='));
    }
    true
}

/// Functions may come in the environment, under the names of commands.
fn inherits_functions() -> bool {
    std::env::vars_os().any(|(name, _)| name.as_encoded_bytes().starts_with(b"BASH_FUNC_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_without_tasks_gets_few_threads() {
        let few = [
            "echo $name > $out",
            "mkdir -p \"$out\" && cp a b; exit 1",
            "set -e\nexport A=1\nif test -e \"$x\"; then rm $x; fi 2>&1",
            "for f in $files; do install \"$f\" $out; done",
            "A=1 B=$x make install",
            "exec ls $out",
        ];
        let many = [
            "ls | wc",
            "x=$(ls)",
            "x=`ls`",
            "sleep 1 & wait",
            "cat <(ls)",
            "(cd x; ls)",
            "eval \"$x\"",
            ". ./setup",
            "source $stdenv/setup",
            "f() { ls; }",
            "$run it",
            "\"$run\" it",
            "true; A=1 $run it",
            "if $check; then ls; fi",
            "for x in a b; do $x; done",
            "trap 'x' EXIT",
            "e'v'al x",
            "a || b",
            "case $x in a) $y;; esac",
            "echo ${x@P}",
        ];
        few.into_iter().for_each(|code| assert_eq!(worker_threads(Some(code)), FEW, "{code}"));
        many.into_iter().for_each(|code| assert_eq!(worker_threads(Some(code)), MANY, "{code}"));
    }
}
