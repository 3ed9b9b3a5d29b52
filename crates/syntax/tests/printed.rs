//! Expressions and the form `nix-instantiate --parse` gives them; where Nix is installed, it is asked too.

use std::process::Command;

use syntax::{Options, PrintPaths, parse, print};

/// Each expression beside its printed form. Paths are relative to `/base`, the home is `/home/me`.
const CASES: &[(&str, &str)] = &[
    // Precedence and grouping.
    ("1 + 2 * 3 - 4", "(__sub (1 + (__mul 2 3)) 4)"),
    ("1 - 2 - 3", "(__sub (__sub 1 2) 3)"),
    ("[1] ++ [2] ++ [3]", "([ (1) ] ++ ([ (2) ] ++ [ (3) ]))"),
    ("{} // {} // {}", "({ } // ({ } // { }))"),
    ("!true && false || true -> false -> true", "((((! true) && false) || true) -> (false -> true))"),
    ("! {} ? a", "(! (({ }) ? a))"),
    ("{} // {} ? a", "({ } // (({ }) ? a))"),
    ("(- 1 + 2)", "((__sub 0 1) + 2)"),
    ("(-{}.a or 3)", "(__sub 0 ({ }).a or (3))"),
    ("(- - 1)", "(__sub 0 (__sub 0 1))"),
    ("(-{} ? a)", "(((__sub 0 { })) ? a)"),
    ("1 + !true * 2 == 3", "((1 + (! (__mul true 2))) == 3)"),
    ("2 * !true + 1", "(__mul 2 (! (true + 1)))"),
    ("1 < 2 == true", "((__lessThan 1 2) == true)"),
    ("1 <= 2 != (3 >= 4)", "((! (__lessThan 2 1)) != (! (__lessThan 3 4)))"),
    ("1 > 2", "(__lessThan 2 1)"),
    ("(x: x) 1 2", "((x: x) 1 2)"),
    ("((x: x) 1) 2", "((x: x) 1 2)"),
    ("(1 - 2) 3", "(__sub 1 2 3)"),
    ("(1 <= 2) 3", "((! (__lessThan 2 1)) 3)"),
    // Functions.
    ("{ d, c ? 1, ... }@e: f@{ g }: {...}: {}: 1", "({ c ? 1, d, ... } @ e: ({ g } @ f: ({ ... }: ({  }: 1))))"),
    ("{ a, b, }: a", "({ a, b }: a)"),
    ("x: y: x", "(x: (y: x))"),
    // `or`.
    ("let or = 1; f = x: x; in f or", "(let f = (x: x); or = 1; in (f or))"),
    ("{ a = 1; }.a.b or 1 2", "(({ a = 1; }).a.b or (1) 2)"),
    ("{}.a or {}.b or 1", "({ }).a or (({ }).b or (1))"),
    ("{}.or or {}.or", "({ }).or or (({ }).or)"),
    // Bindings.
    ("{ a = { b = 1; }; a.c = 2; a = rec { d = 3; }; }", "{ a = { b = 1; c = 2; d = 3; }; }"),
    ("{ a = rec { b = 1; }; a.c = 2; }", "{ a = rec { b = 1; c = 2; }; }"),
    ("{ a.b.c = 1; a.b.d.e = 2; a.f = 3; }", "{ a = { b = { c = 1; d = { e = 2; }; }; f = 3; }; }"),
    ("{ \"a b\" = 1; \"c\" = 2; a.${\"q\"}.z = 1; }", "{ a = { q = { z = 1; }; }; \"a b\" = 1; c = 2; }"),
    ("{ ${toString 4} = 4; \"${\"x\"}\" = 2; }", "{ \"${(toString 4)}\" = 4; \"${(\"x\")}\" = 2; }"),
    ("{} ? a.b.\"c\".${\"d\" + \"e\"}", "(({ }) ? a.b.c.\"${(\"d\" + \"e\")}\")"),
    ("let { x = 1; body = x; }", "(rec { body = x; x = 1; }).body"),
    ("{ \"if\" = 1; \"or\" = 2; \"\" = 3; \"1a\" = 4; }", "{ \"\" = 3; \"1a\" = 4; \"if\" = 1; or = 2; }"),
    // Strings.
    ("''a''$b''\\n'''c''\\tx''", "(\"a\" + \"$\" + \"b\" + \"\\n\" + \"''\" + \"c\" + \"\\t\" + \"x\")"),
    ("\"a\\n\\t\\r\\\"\\\\\\${b}$${c} \\q $$${\"d\"}$\"", "(\"a\\n\\t\\r\\\"\\\\\\${b}$\\${c} q $$\" + \"d\" + \"$\")"),
    ("\"${\"x\"}\"", "(\"x\")"),
    ("\"a\r\nb\rc\"", "\"a\\nb\\nc\""),
    ("''\n    a\n      b\n\n   \n  ''", "\"a\\n  b\\n\\n\\n\""),
    ("''\n    ${\"a\"}\n      b\n  c''", "(\"  \" + \"a\" + \"\\n    b\\nc\")"),
    ("''  a''", "\"a\""),
    ("''   ''", "\"\""),
    ("''  \n  x\n  ''", "\"x\\n\""),
    ("'' 'a' ''", "\"'a' \""),
    ("''$''", "\"$\""),
    // Numbers.
    ("[ 1.5e3 .5 10. 0.1e-2 007 ]", "[ (1500) (0.5) (10) (0.001) (7) ]"),
    ("9223372036854775807", "9223372036854775807"),
    // Paths, URIs.
    (
        "[ /a/b/../c /a/${\"b\"}/c /${\"b\"} /a${\"b\"} ]",
        "[ (/a/c) ((/a/ + \"b\" + \"/c\")) ((/ + \"b\")) ((/a + \"b\")) ]",
    ),
    ("[ http://example.org/a?b=c x:x ]", "[ (\"http://example.org/a?b=c\") (\"x:x\") ]"),
    ("<nixpkgs/lib>", "(__findFile __nixPath \"nixpkgs/lib\")"),
    ("1/ 2", "(__div 1 2)"),
    // Keywords.
    ("if true then 1 else if false then 2 else 3", "(if true then 1 else (if false then 2 else 3))"),
    ("assert true; with {}; 1", "assert true; (with { }; 1)"),
    ("__curPos # comment\n /* ** */", "__curPos"),
];

#[test]
fn prints_as_nix_does() {
    for (source, expected) in CASES {
        assert_eq!(&printed(source), expected, "{source}");
    }
}

#[test]
fn nix_prints_the_same() {
    if !peer("nix-instantiate") {
        return;
    }
    for (source, expected) in CASES {
        let output =
            Command::new("nix-instantiate").args(["--parse", "-E", source]).output().expect("it was just found");
        let theirs = String::from_utf8_lossy(&output.stdout);
        // Releases before 2.20 escape every dollar sign and sort neither the bindings of `let` nor patterns.
        if !source.starts_with("let or") && !source.starts_with("{ d") {
            assert_eq!(theirs.trim_end().replace("\\$", "$"), expected.replace("\\$", "$"), "{source}");
        }
    }
}

/// Whether a program is installed. In the project's own checks it must be.
fn peer(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success());
    let required = std::env::var("WHARF_REQUIRE_PEERS").is_ok_and(|value| value == "1");
    assert!(found || !required, "this test needs {program}, and WHARF_REQUIRE_PEERS is set");
    if !found {
        eprintln!("skipped: needs {program}");
    }
    found
}

fn printed(source: &str) -> String {
    let parse = parse(source.as_bytes(), Options::default());
    assert_eq!(parse.errors, [], "{source}");
    let printed = print(&parse.ast, parse.root, PrintPaths { base: "/base", home: "/home/me" });
    String::from_utf8(printed).expect("the cases are UTF-8")
}
