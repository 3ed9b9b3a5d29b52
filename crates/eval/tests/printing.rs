//! Values as `nix eval` and `nix repl` of Nix 2.34 print them.

use std::path::Path;

use eval::print::{PrintOptions, print};
use eval::read_only::ReadOnlyHost;
use eval::{Evaluator, Origin, Settings};

fn printed(text: &str, force: bool, options: PrintOptions) -> String {
    let evaluator = Evaluator::new(Box::new(ReadOnlyHost { quiet: true }), Settings::default());
    evaluator.run(|interp| {
        let origin = Origin::Text("«string»".to_owned());
        let value = interp.eval_source(origin, text.as_bytes().to_vec(), Path::new("/"), &[]).expect(text);
        let printed = print(value, force.then_some(interp), options).expect(text);
        String::from_utf8_lossy(&printed).into_owned()
    })
}

#[test]
fn on_one_line() {
    let one_line = PrintOptions { indent: 0, ..PrintOptions::RESULT };
    let cases = [
        (
            "{ a = 1; c.d.e = 1; f = x: x; g = builtins.add 1; h = builtins.add; s = \"x\\ny\"; \"a b\" = null; }",
            "{ a = 1; \"a b\" = null; c = { d = { e = 1; }; }; f = «lambda f @ «string»:1:25»; g = «partially applied primop add»; h = «primop add»; s = \"x\\ny\"; }",
        ),
        ("[ { } [ ] [ 1 ] ]", "[ { } [ ] [ 1 ] ]"),
        ("let x = { a = 1; }; in [ x x ]", "[ { a = 1; } «repeated» ]"),
        (
            "derivation { name = \"x\"; system = \"s\"; builder = \"b\"; }",
            "«derivation /nix/store/5wq5jx7219pmi3xklyhl77fjbqvy6qaj-x.drv»",
        ),
        ("(x: y: x) 1", "«lambda @ «string»:1:5»"),
    ];
    for (text, expected) in cases {
        assert_eq!(printed(text, true, one_line), expected, "{text}");
    }
}

#[test]
fn indented() {
    let text = "{ a = 1; b = [ 1 { } ]; c.d.e = [ ]; }";
    let expected = "{\n  a = 1;\n  b = [\n    1\n    { }\n  ];\n  c = {\n    d = { e = [ ]; };\n  };\n}";
    let expected = expected.replace("d = { e = [ ]; };", "d = {\n      e = [ ];\n    };");
    assert_eq!(printed(text, true, PrintOptions::RESULT), expected);
    assert_eq!(printed("{ a = 1; }", true, PrintOptions::RESULT), "{ a = 1; }");
}

#[test]
fn in_part() {
    assert_eq!(
        printed("{ a = 1 + 1; b = [ (1 + 1) 3 ]; }", false, PrintOptions::TRACE),
        "{ a = «thunk»; b = «thunk»; }"
    );
    assert_eq!(
        printed("{ a = builtins.map; f = x: x; l = map; n = -1; }", false, PrintOptions::TRACE),
        "{ a = «thunk»; f = «thunk»; l = «primop map»; n = «thunk»; }"
    );
    assert_eq!(printed("{ f = x: x; }", false, PrintOptions::MESSAGE), "{ f = «lambda f @ «string»:1:7»; }");
    let short = PrintOptions { max_attrs: 2, max_items: 1, max_depth: 1, max_string: 3, ..PrintOptions::TRACE };
    assert_eq!(
        printed("{ b = 1; c = 2; a = 3; type = 4; }", true, short),
        "{ type = 4; a = 3; «2 attributes elided» }"
    );
    assert_eq!(printed("[ \"abcde\" 2 ]", true, short), "[ \"abc\" «2 bytes elided» «1 item elided» ]");
    assert_eq!(printed("{ a = { b = 1; }; }", true, short), "{ a = { ... }; }");
}
