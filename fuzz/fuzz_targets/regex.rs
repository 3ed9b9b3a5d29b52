//! Any pattern on any text, the two divided by a NUL byte: what is found lies in the text and in order.
#![no_main]

use eval::regex::Regex;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let mut halves = input.splitn(2, |byte| *byte == 0);
    let (pattern, text) = (halves.next().unwrap_or_default(), halves.next().unwrap_or_default());
    let Ok(regex) = Regex::new(pattern) else { return };
    regex.match_whole(text);
    let mut end = 0;
    for found in regex.find_all(text) {
        assert!(end <= found.range.start && found.range.end <= text.len());
        end = found.range.end;
        for group in found.groups.into_iter().flatten() {
            assert!(found.range.start <= group.start && group.end <= found.range.end);
        }
    }
});
