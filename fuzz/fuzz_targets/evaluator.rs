//! Random programs that mostly make sense, from the first bytes as a seed: evaluation ends in a value or an error.
//!
//! What was evaluated stays in memory to the end of the process: run it with `-rss_limit_mb=0 -runs=200000`.
#![no_main]

#[allow(dead_code, reason = "the generator can also make programs smaller, which is not wanted here")]
#[path = "../../xtask/src/differential/generate.rs"]
mod generate;

use std::path::Path;

use eval::read_only::ReadOnlyHost;
use eval::{Evaluator, Origin, Settings};
use generate::Generator;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut seed = [0; 8];
    let length = bytes.len().min(8);
    seed[..length].copy_from_slice(&bytes[..length]);
    let text = Generator::new(u64::from_le_bytes(seed)).program().text();
    let settings = Settings { pure: true, max_call_depth: 1_000, ..Settings::default() };
    let evaluator = Evaluator::new(Box::new(ReadOnlyHost { quiet: true }), settings);
    evaluator.run(|interp| {
        let origin = Origin::Text("«a random program»".to_owned());
        let value = interp.eval_source(origin, text.into_bytes(), Path::new("/"), &[]);
        let _ = value.and_then(|value| interp.force_deep(value));
    });
});
