//! Several threads evaluate over one heap.

use std::path::Path;
use std::thread;

use eval::read_only::ReadOnlyHost;
use eval::{ErrorKind, Evaluator, Kind, Origin, Settings, Symbol, Value};

fn evaluate(evaluator: &Evaluator, text: &str) -> Value {
    let origin = Origin::Text("«test»".to_owned());
    evaluator.run(|interp| interp.eval_source(origin, text.as_bytes().to_vec(), Path::new("/"), &[])).expect(text)
}

fn attr(evaluator: &Evaluator, set: Value, name: &str) -> eval::Result<Value> {
    evaluator.run(|interp| {
        let attrs = interp.force_attrs(set)?;
        interp.force(interp.attr(attrs, Symbol::intern(name))?.value)
    })
}

fn new() -> Evaluator {
    Evaluator::new(Box::new(ReadOnlyHost { quiet: true }), Settings::default())
}

#[test]
fn threads_share_what_they_compute() {
    let evaluator = new();
    let text = "let fib = n: if n < 2 then n else fib (n - 1) + fib (n - 2); shared = fib 18;
        in builtins.listToAttrs (map (i: { name = \"a${toString i}\"; value = shared + i; }) (builtins.genList (i: i) 64))";
    let set = evaluate(&evaluator, text);
    thread::scope(|scope| {
        for start in 0..4 {
            let evaluator = &evaluator;
            scope.spawn(move || {
                for i in 0..64 {
                    let i = (i + start * 16) % 64;
                    let value = attr(evaluator, set, &format!("a{i}")).expect("no error");
                    assert!(matches!(value.kind(), Kind::Int(found) if found == 2584 + i));
                }
            });
        }
    });
}

#[test]
fn threads_that_wait_for_each_other_are_an_infinite_recursion() {
    for _ in 0..20 {
        let evaluator = new();
        let text = "let slow = builtins.foldl' (a: b: a + b) 0 (builtins.genList (i: i) 20000);
            a = builtins.seq (slow + 0) b; b = builtins.seq (slow + 1) a; in { inherit a b; }";
        let set = evaluate(&evaluator, text);
        thread::scope(|scope| {
            for name in ["a", "b"] {
                let evaluator = &evaluator;
                scope.spawn(move || {
                    let error = attr(evaluator, set, name).expect_err("a cycle");
                    assert!(matches!(error.kind, ErrorKind::InfiniteRecursion(_)), "{error}");
                });
            }
        });
    }
}
