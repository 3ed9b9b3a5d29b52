//! Any text as nix.conf, including itself: it ends, and errors hold no value.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nix_formats::nix_conf::NixConf;

fuzz_target!(|text: &str| {
    // One level, as a file may include another once on each of its lines.
    let mut include = |from: &str, path: &str| (from == "a").then(|| (path.to_owned(), "cores = 1".to_owned()));
    let mut conf = NixConf::default();
    if conf.read("a", text, &mut include).is_ok() {
        let _ = (conf.list("substituters"), conf.added("substituters"), conf.pairs("access-tokens"));
    }
});
