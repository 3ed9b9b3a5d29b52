//! The interpreter at its simplest: expressions to values.

use std::path::Path;

use eval::read_only::ReadOnlyHost;
use eval::{Evaluator, Origin, Settings};

fn eval(text: &str) -> String {
    let evaluator = Evaluator::new(Box::new(ReadOnlyHost { quiet: true }), Settings::default());
    evaluator.run(|interp| {
        let origin = Origin::Text("«test»".to_owned());
        match interp.eval_source(origin, text.as_bytes().to_vec(), Path::new("/"), &[]) {
            Ok(value) => format!("{value:?}"),
            Err(error) => error.to_string(),
        }
    })
}

#[test]
fn expressions() {
    for (text, expected) in [
        ("1 + 2 * 3", "7"),
        ("let f = a: b: a - b; in f 5 3", "2"),
        ("(a: b: a + b) \"x\" \"y\"", "\"xy\""),
        ("let g = { a, b ? a + 1, ... }@all: a + b + all.c; in g { a = 1; c = 10; }", "13"),
        ("(rec { a = b + 1; b = 2; }).a", "3"),
        ("with { x = 1; }; let y = 2; in x + y", "3"),
        ("({ a.b.c = 5; } // { d = 1; }).a.b.c or 9", "5"),
        ("{ a = 1; }.b or 9", "9"),
        ("{ a.b = 1; } ? a.c", "false"),
        ("[ 1 2 ] ++ [ 3 ] == [ 1 2 3 ]", "true"),
        ("let x = x; in x", "infinite recursion: this value is needed to compute itself, at «test»:1:9"),
        ("(builtins.tryEval (throw \"no\")).success", "false"),
        ("let inherit (rec { a = 4; c = a; }) c; in c", "4"),
        ("let f = { __functor = self: x: x + self.n; n = 3; }; in f 4", "7"),
        ("{ ${\"a\" + \"b\"} = 7; }.ab", "7"),
        ("let a = 1; in let b = a; a = 2; in b", "2"),
        ("((x: let y = x + 1; z = y; in { inherit x y z; }) 1).z or 9", "2"),
    ] {
        let found = eval(text);
        assert!(found.starts_with(expected), "{text}\n  gives {found}\n  not {expected}");
    }
}

#[test]
fn a_deep_recursion_is_an_error_and_deep_laziness_works() {
    assert!(eval("let f = x: f (x + 1); in f 0").contains("max-call-depth"));
    assert!(eval("let f = x: x x; in f f").contains("max-call-depth"));
}
