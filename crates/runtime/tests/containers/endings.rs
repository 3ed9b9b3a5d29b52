//! However a container or its runtime ends, nothing is left.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::image_files::Place;

/// Starts a container, and waits until it says that it is ready. The word is unique to this container's processes.
fn start(place: &Place) -> Child {
    let mut process = place.process(&json!({})).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("ready")), "the container did not start");
    std::thread::spawn(move || lines.for_each(drop));
    process
}

/// Processes of the host whose command line has this word.
fn processes(word: &str) -> usize {
    let entries = std::fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path().join("cmdline"));
    entries.filter(|path| std::fs::read(path).is_ok_and(|text| String::from_utf8_lossy(&text).contains(word))).count()
}

fn eventually(what: impl Fn() -> bool) -> bool {
    let deadline = Instant::now() + Duration::from_secs(10);
    while Instant::now() < deadline {
        if what() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    false
}

fn signal(process: &Child, signal: Signal) {
    kill_process(Pid::from_child(process), signal).unwrap();
}

#[test]
fn a_signal_that_is_handled_is_passed_on() {
    let script = "trap 'echo bye; exit 42' TERM INT; echo ready; while :; do sleep 0.05; done";
    let Some(place) = Place::shell(script) else { return };
    for each in [Signal::TERM, Signal::INT] {
        let mut process = start(&place);
        signal(&process, each);
        assert_eq!(process.wait().unwrap().code(), Some(42));
        assert!(place.is_clean());
    }
}

#[test]
fn a_signal_that_is_not_handled_ends_it() {
    let Some(place) = Place::shell("echo ready; exec sleep 7771.1") else { return };
    let mut process = start(&place);
    // The shell handles signals until the other program is in its place.
    assert!(eventually(|| processes("sleep\x007771.1") > 0));
    signal(&process, Signal::INT);
    assert_eq!(process.wait().unwrap().code(), Some(130));
    assert!(place.is_clean());
    assert_eq!(processes("7771.1"), 0);
}

#[test]
fn the_second_signal_is_the_last() {
    let Some(place) = Place::shell("trap 'echo no' INT; echo ready; while :; do sleep 0.05; done") else { return };
    let mut process = start(&place);
    signal(&process, Signal::INT);
    std::thread::sleep(Duration::from_millis(200));
    signal(&process, Signal::INT);
    assert_eq!(process.wait().unwrap().code(), Some(137));
    assert!(place.is_clean());
}

#[test]
fn a_killed_runtime_leaves_no_process_and_the_next_run_cleans_up() {
    let Some(place) = Place::shell("sleep 7772.2 & echo ready; wait") else { return };
    let mut process = start(&place);
    assert!(processes("7772.2") > 0);
    signal(&process, Signal::KILL);
    process.wait().unwrap();
    assert!(eventually(|| processes("7772.2") == 0), "processes were left behind");
    assert!(!place.is_clean());
    assert_eq!(place.output(&json!({ "command": ["sh", "-c", "exit 3"] }), "").0, 3);
    assert!(place.is_clean());
}

#[test]
fn exit_codes_are_returned() {
    let Some(place) = Place::shell("exit 17") else { return };
    assert_eq!(place.output(&json!({}), "").0, 17);
    let killed = json!({ "command": ["sh", "-c", "sh -c 'kill -9 $$'; exit $?"] });
    assert_eq!(place.output(&killed, "").0, 137);
}

#[test]
fn a_name_is_used_once_at_a_time() {
    let Some(place) = Place::shell("echo ready; sleep 7773.3") else { return };
    let mut first = place.process(&json!({ "name": "only" })).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(first.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("ready")));
    let (code, _, err) = place.output(&json!({ "name": "only" }), "");
    assert!(code == 125 && err.contains("the name 'only' is in use"), "{err}");
    signal(&first, Signal::TERM);
    first.wait().unwrap();
}
