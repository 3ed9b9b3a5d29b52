//! The applets that are whole programs of the uutils project: what each needs around its `uumain`.

use std::ffi::OsString;

/// A function for the applet table that runs a uutils program under its own messages.
macro_rules! uutils {
    ($name:literal, $krate:ident) => {
        |argv: Vec<std::ffi::OsString>| {
            $crate::coreutils::prepare($name);
            let code = $krate::uumain(argv.into_iter());
            $crate::coreutils::finish(code)
        }
    };
}
pub(crate) use uutils;

/// Loads the messages of the program and makes a closed pipe end it as it ends any other program.
pub(crate) fn prepare(name: &str) {
    uucore::panic::preserve_inherited_sigpipe();
    uucore::panic::mute_sigpipe_panic();
    if let Err(error) = uucore::locale::setup_localization(name) {
        eprintln!("{name}: the messages of this program cannot be loaded: {error}");
    }
}

/// Flushes what the program printed: Rust leaves the last bytes of standard output in its buffer at exit.
pub(crate) fn finish(code: i32) -> i32 {
    match std::io::Write::flush(&mut std::io::stdout()) {
        Ok(()) => code,
        Err(error) => {
            eprintln!("error writing standard output: {error}");
            code.max(1)
        }
    }
}

/// `grep`, and its old names `egrep` and `fgrep`.
pub(crate) fn grep(mut argv: Vec<OsString>) -> i32 {
    uucore::panic::mute_sigpipe_panic();
    let called = argv.first().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if called.ends_with("egrep") {
        argv.insert(1, "-E".into());
    } else if called.ends_with("fgrep") {
        argv.insert(1, "-F".into());
    }
    finish(uu_grep::uumain(argv.into_iter()))
}

/// `sed`.
pub(crate) fn sed(argv: Vec<OsString>) -> i32 {
    uucore::panic::mute_sigpipe_panic();
    finish(sed::sed::uumain(argv.into_iter()))
}

/// `find`.
pub(crate) fn find(argv: Vec<OsString>) -> i32 {
    uucore::panic::mute_sigpipe_panic();
    with_utf8("find", argv, |args| findutils::find::find_main(args, &findutils::find::StandardDependencies::new()))
}

/// `xargs`.
pub(crate) fn xargs(argv: Vec<OsString>) -> i32 {
    with_utf8("xargs", argv, findutils::xargs::xargs_main)
}

/// findutils takes its arguments as text.
fn with_utf8(name: &str, argv: Vec<OsString>, main: impl FnOnce(&[&str]) -> i32) -> i32 {
    match argv.into_iter().map(OsString::into_string).collect::<Result<Vec<_>, _>>() {
        Ok(args) => finish(main(&args.iter().map(String::as_str).collect::<Vec<_>>())),
        Err(bad) => {
            eprintln!("{name}: the argument {bad:?} is not valid UTF-8, which this {name} needs");
            1
        }
    }
}
