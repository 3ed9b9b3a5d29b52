use std::time::{Duration, Instant};

use super::{Invalid, Regex};

fn groups(pattern: &str, text: &str) -> Option<Vec<Option<String>>> {
    let regex = Regex::new(pattern.as_bytes()).expect(pattern);
    let groups = regex.match_whole(text.as_bytes())?;
    Some(groups.into_iter().map(|group| group.map(|range| text[range].to_owned())).collect())
}

/// The pieces of a split as text, groups in brackets.
fn split(pattern: &str, text: &str) -> String {
    let regex = Regex::new(pattern.as_bytes()).expect(pattern);
    let mut out = String::new();
    let mut end = 0;
    for found in regex.find_all(text.as_bytes()) {
        out += &text[end..found.range.start];
        end = found.range.end;
        let groups: Vec<&str> =
            found.groups.iter().map(|group| group.clone().map_or("-", |range| &text[range])).collect();
        out += &format!("[{}]", groups.join(","));
    }
    out + &text[end..]
}

#[test]
fn groups_are_those_of_libstdcxx() {
    let cases: &[(&str, &str, &[Option<&str>])] = &[
        ("(a|b*)*", "ab", &[Some("")]),
        ("(a*)*", "aaa", &[Some("")]),
        ("(a*)+", "aaa", &[Some("")]),
        ("(a*)*", "", &[Some("")]),
        ("(|a)*", "aa", &[Some("")]),
        ("(a*){2}", "aaa", &[Some("")]),
        ("(a*){2,}", "aaa", &[Some("")]),
        ("(a*){1,3}", "aaa", &[Some("")]),
        ("((a)|b)*", "ab", &[Some("b"), Some("a")]),
        ("((a*)|b)*", "ab", &[Some(""), Some("")]),
        ("(a|ab)(c|bcd)(d*)", "abcd", &[Some("a"), Some("bcd"), Some("")]),
        ("(a)|b", "b", &[None]),
        ("()", "", &[Some("")]),
        ("(x*)(x+)", "xxx", &[Some("xx"), Some("x")]),
        ("(x?)+y", "xxy", &[Some("")]),
        ("((x)?y)*", "xyy", &[Some("y"), Some("x")]),
        ("(|b(b|a?.?c|c)*)+", "b", &[Some(""), None]),
        ("([^a]+|b*)(|b*b|.*a)*b", "abbb", &[Some(""), Some("")]),
        ("(^a)$", "a", &[Some("a")]),
    ];
    for (pattern, text, expected) in cases {
        let expected = expected.iter().map(|group| group.map(str::to_owned)).collect();
        assert_eq!(groups(pattern, text), Some(expected), "{pattern}");
    }
}

#[test]
fn searches_prefer_the_longer_alternative() {
    let cases = [
        ("a|ab", "xabx", "x[]x"),
        ("(a|ab)(c|bcd)*", "xabcdx", "x[a,bcd]x"),
        ("a*(ab)?", "xaabx", "[-]x[-][-]b[-]x[-]"),
        ("a*", "baac", "[]b[][]c[]"),
        ("", "abc", "[]a[]b[]c[]"),
        ("^a", "aab", "[]ab"),
        ("x*$", "axx", "a[][]"),
        ("(b)?", "abc", "[-]a[b][-]c[-]"),
        ("(a)|(b)", "xaybz", "x[a,-]y[-,b]z"),
    ];
    for (pattern, text, expected) in cases {
        assert_eq!(split(pattern, text), expected, "{pattern}");
    }
}

#[test]
fn brackets_are_those_of_posix() {
    let matching = [
        ("a]}", "a]}"),
        ("[]a]", "]"),
        ("[^]a]", "b"),
        ("[a\\]", "\\"),
        ("[a-z-]", "-"),
        ("[-a]", "-"),
        ("[--/]", "."),
        ("[[:w:]]", "_"),
        ("[[.a.]]", "a"),
        ("[[.space.]]", " "),
        ("[[.hyphen.]-z]", "-"),
        ("[[=a=]]", "A"),
        ("..", "é"),
        ("[^x][^x]", "é"),
        ("a.b", "a\nb"),
        ("[+--]", ","),
        ("[---]", "-"),
        ("[[:ALPHA:]]", "a"),
        ("[[:upper:][:digit:]_-]+", "A_1-"),
        ("\\.", "."),
        ("a**", "aa"),
        ("a*?", "aa"),
        ("a{1,2}{3}", "aaa"),
        ("a||b", ""),
    ];
    for (pattern, text) in matching {
        assert_eq!(groups(pattern, text), Some(vec![]), "{pattern}");
    }
    for (pattern, text) in [(".", "é"), ("[é]", "é"), ("a^b", "ab"), ("a{1000}", "a")] {
        assert_eq!(groups(pattern, text), None, "{pattern}");
    }
}

#[test]
fn what_is_invalid_is_refused() {
    let invalid = [
        "\\d",
        "\\",
        "a\\",
        "a{,3}",
        "a{2,1}",
        "{2}",
        "*a",
        "(a",
        "a)",
        "[a-z-9]",
        "[z-a]",
        "[[:foo:]]",
        "[a",
        "^*",
        "a|*",
        "[[:alpha:]-z]",
        "[a-[:alpha:]]",
        "a{1",
        "a{x}",
        "[a--]",
        "[[.hyphen-minus.]]",
        "[]",
        "[[:alpha",
        "(",
    ];
    for pattern in invalid {
        assert_eq!(Regex::new(pattern.as_bytes()).err(), Some(Invalid::Syntax), "{pattern}");
    }
    let large = ["a{100001}".to_owned(), "(a{1000}){1000}".to_owned(), "(".repeat(100_000)];
    for pattern in large {
        assert_eq!(Regex::new(pattern.as_bytes()).err(), Some(Invalid::TooLarge));
    }
}

#[test]
fn time_is_linear() {
    let text = "a".repeat(100_000);
    let started = Instant::now();
    assert_eq!(groups("(a*)*(a|b)*b", &text), None);
    assert_eq!(groups("(a?){50}a{50}b", &text), None);
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
}
