//! What is said about texts that are wrong, and that nothing can make the parser fail otherwise.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use syntax::{LineIndex, Lint, Lints, MAX_DEPTH, Node, Options, Parse, parse};

/// What takes longer is not linear; generous, since the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(30);

fn read(source: &[u8]) -> Parse {
    parse(source, Options::default())
}

/// The errors as `line:column: message`.
fn errors(source: &str) -> Vec<String> {
    let lines = LineIndex::new(source.as_bytes());
    let show = |error: &syntax::SyntaxError| {
        let at = lines.position(error.span.start);
        format!("{}:{}: {}", at.line, at.column, error.message)
    };
    read(source.as_bytes()).errors.iter().map(show).collect()
}

#[test]
fn says_what_was_expected_and_found() {
    let cases = [
        ("", "1:1: expected an expression, found the end of the text"),
        ("{ a = 1 }", "1:9: expected ';' after the value, found '}'"),
        ("{ a = 1;\n  b = f 2\n  c.d = 3; }", "2:10: expected ';' after the value, found another binding"),
        ("{ a }", "1:6: expected ':' or '@' after the pattern, found the end of the text"),
        ("[ 1 2", "1:6: expected a list element or ']', found the end of the text"),
        ("[ 1 -2 ]", "1:5: expected a list element or ']', found '-'"),
        ("(1", "1:3: expected an operator or ')', found the end of the text"),
        ("1 == 2 == 3", "1:8: comparisons cannot be chained"),
        ("{} ? a ? b", "1:8: '?' cannot be chained"),
        ("if 1 then 2", "1:12: expected an operator or 'else', found the end of the text"),
        ("let a = 1; a", "1:13: expected '=' or '.', found the end of the text"),
        ("1 + if true then 1 else 2", "1:5: expected an expression, found the keyword 'if'"),
        ("9223372036854775808", "1:1: the integer 9223372036854775808 does not fit in 64 bits"),
        ("1.0e400", "1:1: the number 1.0e400 is too large for a double"),
        ("1.0e-310", "1:1: the number 1.0e-310 is too small for a double"),
        ("\"abc", "1:1: the string that begins here is not closed"),
        ("''abc ${\"x\"} '", "1:1: the indented string that begins here is not closed"),
        ("/* abc", "1:1: the comment that begins here is not closed"),
        ("\"a\0b\"", "1:3: a string cannot hold a NUL byte"),
        ("1 \0", "1:3: a NUL byte cannot be part of an expression"),
        ("é", "1:1: the character 'é' begins nothing"),
        ("./a/", "1:4: a path cannot end in a slash"),
        ("./a//b", "1:4: a path cannot have two slashes in a row"),
        ("a: b: { a, a }: 1", "1:12: the argument 'a' is named twice"),
        ("a@{ a }: 1", "1:5: the argument 'a' is named twice"),
        ("{ a.b = 1;\n a.b.c = 2; }", "2:2: the attribute 'a.b' is defined twice"),
        ("{ inherit a; a = 1; }", "1:14: the attribute 'a' is defined twice"),
        ("let ${\"a\" + \"b\"} = 1; in 1", "1:5: the name of a variable in 'let' must be written out"),
        ("{ inherit ${a}; }", "1:11: the name after 'inherit' must be written out"),
        ("1 |> 2", "1:3: pipe operators are an experimental feature that is not enabled"),
        ("{ x = y: }", "1:10: expected an expression, found '}'"),
        ("f x: y", "1:4: expected an operator or the end of the text, found ':'"),
    ];
    for (source, expected) in cases {
        assert_eq!(errors(source).first().map(String::as_str), Some(expected), "{source}");
    }
}

#[test]
fn goes_on_after_a_binding_that_is_wrong() {
    let found = errors("{\n  a = 1 2 +;\n  b = { c = ; d = [ 1 , 2 ]; };\n  e = \"fine\";\n  f 1;\n}");
    assert_eq!(
        found,
        [
            "2:12: expected an expression, found ';'",
            "3:13: expected an expression, found ';'",
            "3:23: expected a list element or ']', found ','",
            "5:5: expected '=' or '.', found an integer",
        ]
    );
}

#[test]
fn names_both_places_of_a_duplicate() {
    let error = read(b"{ a = 1; b = 2; a = 3; }").errors.remove(0);
    assert_eq!((error.span.start, error.labels[0].0.start), (16, 2));
}

#[test]
fn pipes_need_their_flag() {
    let options = Options { pipe_operators: true, ..Options::default() };
    assert!(parse(b"1 |> (x: x) |> (y: y)", options).errors.is_empty());
    assert!(parse(b"(x: x) <| (y: y) <| 1", options).errors.is_empty());
    assert_eq!(parse(b"a <| b |> c", options).errors[0].message, "'<|' and '|>' cannot be mixed");
}

#[test]
fn lints_warn_or_fail_as_asked() {
    let source = b"[ http://a.org a/b ./a/b ../a /a ~/a ]";
    let lints = |lint| Lints { url_literals: lint, short_path_literals: lint, absolute_path_literals: lint };
    let run = |lint| {
        let parse = parse(source, Options { lints: lints(lint), ..Options::default() });
        (parse.errors.len(), parse.warnings.len())
    };
    assert_eq!([run(Lint::Ignore), run(Lint::Warn), run(Lint::Fatal)], [(0, 0), (0, 4), (4, 0)]);
}

#[test]
fn nesting_is_bounded_on_a_small_stack() {
    let deep = |open: &str, inner: &str, close: &str, count: usize| {
        let source = open.repeat(count) + inner + &close.repeat(count);
        let run = move || {
            let parse = read(source.as_bytes());
            parse.errors.first().map(|error| error.message.clone())
        };
        let thread = std::thread::Builder::new().stack_size(256 * 1024).spawn(run).expect("a thread can start");
        thread.join().expect("the parser does not overflow its stack")
    };
    let brackets = [
        ("(", "1", ")"),
        ("[", "", "]"),
        ("{ a = ", "1", "; }"),
        ("{ a ? ", "1", " }: 1"),
        ("x: ", "x", ""),
        ("\"${", "1", "}\""),
        ("''${", "1", "}''"),
        ("/a/${", "1", "}"),
        ("if 1 then 1 else ", "1", ""),
        ("with 1; ", "1", ""),
        ("let in ", "1", ""),
        ("a.b or ", "1", ""),
        ("a.${", "b", "}"),
        ("rec {", "", "}"),
    ];
    for (open, inner, close) in brackets {
        let fits = MAX_DEPTH as usize / 2 - 10;
        if open != "rec {" {
            assert_eq!(deep(open, inner, close, fits), None, "{open}");
        }
        let started = Instant::now();
        let message = deep(open, inner, close, 1_000_000 / open.len());
        assert!(message.is_some(), "{open}");
        assert!(started.elapsed() < PATIENCE, "{open} took {:?}", started.elapsed());
    }
}

#[test]
fn long_chains_are_no_nesting() {
    for link in ["1 + ", "[ ] ++ ", "! ", "f ", "a.b // ", "(x) ", "- ", "1 -> "] {
        let source = link.repeat(100_000) + "1";
        assert_eq!(read(source.as_bytes()).errors, [], "{link}");
    }
}

#[test]
fn time_is_linear() {
    let hostile = [
        "a.", "a+", "1.", "a-", "'", "$", "''", "<a", "~", "/", "${", "a:", "{a,", "/*", "\"$", "a. ", "\"${a", "x=",
        "{a.b.c=", "inherit ", "..", "[a-", "a_+",
    ];
    for piece in hostile {
        let source = piece.repeat(400_000 / piece.len());
        let started = Instant::now();
        read(source.as_bytes());
        assert!(started.elapsed() < PATIENCE, "{piece:?} took {:?}", started.elapsed());
    }
}

#[test]
fn merging_is_linear() {
    let mut source = String::from("{");
    for index in 0..30_000 {
        source.push_str(&format!("a.b{index}.c = 1; a.b{index}.d = 2; d = {{ x{index} = 1; }};"));
    }
    source.push('}');
    let started = Instant::now();
    assert_eq!(read(source.as_bytes()).errors, []);
    assert!(started.elapsed() < PATIENCE, "{:?}", started.elapsed());
}

proptest! {
    #[test]
    fn any_bytes_are_read(source in proptest::collection::vec(any::<u8>(), 0..200)) {
        check(&source);
    }

    #[test]
    fn any_tokens_are_read(pieces in proptest::collection::vec(piece(), 0..60)) {
        check(pieces.concat().as_bytes());
    }
}

fn piece() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(vec![
        "a", "b.c", " ", "{", "}", "[", "]", "(", ")", "\"", "''", "${", "$", "'", "=", ";", ":", ",", "...", "@", "?",
        "or ", "if ", "then ", "else ", "let ", "in ", "with ", "rec ", "inherit ", "assert ", "1", "1.5", "./a",
        "~/b", "/", "<n>", "+", "-", "!", "==", "//", "++", "->", "\\", "\n", "#", "/*", "*/", "http://x", "a = 1; ",
        "x: ", "{ a }: ",
    ])
}

fn check(source: &[u8]) {
    let parse = read(source);
    let whole = parse.errors.is_empty();
    let count = parse.ast.node_count() as u32;
    for id in (0..count).map(syntax::NodeId) {
        let span = parse.ast.span(id);
        assert!(span.start <= span.end && span.end as usize <= source.len());
        assert!(!(whole && parse.ast.node(id) == Node::Error));
    }
    for error in &parse.errors {
        assert!(error.span.start <= error.span.end && error.span.start as usize <= source.len());
    }
}
