//! What Nix prints of an evaluation where `NIX_SHOW_STATS` is set, of what means something here: values take no room of
//! their own, and nothing is collected.

use std::path::Path;

use project::Project;
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

use crate::environment;
use crate::failure::Failure;

/// Variables, attributes, list elements and the headers before them are words.
const WORD: u64 = 8;

/// Prints the counters of the project's evaluation if they are asked for.
pub(super) fn show(project: &Project) -> Result<(), Failure> {
    let asked = environment::text("NIX_SHOW_STATS").is_some_and(|value| value != "0");
    let Some(statistics) = project.statistics().filter(|_| asked) else { return Ok(()) };
    let text = format!("{:#}\n", in_nix_terms(&statistics));
    match environment::text("NIX_SHOW_STATS_PATH").filter(|path| path != "-") {
        Some(path) => std::fs::write(&path, text).map_err(|error| Failure::io("write", Path::new(&path), error)),
        None => {
            eprint!("{text}");
            Ok(())
        }
    }
}

fn in_nix_terms(counted: &eval::Statistics) -> Value {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = time.tv_sec as f64 + time.tv_nsec as f64 / 1e9;
    let bytes = |number: u64, elements: u64| WORD * (number + elements);
    json!({
        "cpuTime": seconds,
        "envs": {
            "bytes": bytes(counted.scopes, counted.variables),
            "elements": counted.variables,
            "number": counted.scopes,
        },
        "gc": { "cycles": 0, "heapSize": counted.heap_bytes, "totalBytes": counted.allocated_bytes },
        "list": {
            "bytes": bytes(counted.lists, counted.list_elements),
            "concats": counted.concatenations,
            "elements": counted.list_elements,
        },
        "nrAvoided": counted.thunks_avoided,
        "nrFunctionCalls": counted.calls,
        "nrLookups": counted.lookups,
        "nrOpUpdateValuesCopied": counted.set_slots_copied,
        "nrOpUpdates": counted.updates,
        "nrPrimOpCalls": counted.builtin_calls,
        "nrThunks": counted.thunks,
        "sets": {
            "bytes": bytes(counted.sets, counted.set_slots),
            "elements": counted.set_slots,
            "number": counted.sets,
        },
        "sizes": { "Attr": WORD, "Bindings": WORD, "Env": WORD, "Value": WORD },
        "time": { "cpu": seconds, "gc": 0.0, "gcFraction": 0.0 },
    })
}
