//! Versions of packages as Nix orders them, and names like `hello-2.12.1` taken apart.

use std::cmp::Ordering;

/// The components of a version: runs of digits, and runs of anything else that is neither a digit, a dot nor a dash.
pub fn components(version: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = version;
    std::iter::from_fn(move || {
        let start = rest.iter().position(|byte| !matches!(byte, b'.' | b'-'))?;
        rest = &rest[start..];
        let digits = rest[0].is_ascii_digit();
        let ends = |byte: &u8| matches!(byte, b'.' | b'-') || byte.is_ascii_digit() != digits;
        let end = rest.iter().position(ends).unwrap_or(rest.len());
        let (component, after) = rest.split_at(end);
        rest = after;
        Some(component)
    })
}

/// Compares two versions component by component. What ends first is older, but for `pre`, which is older than the end;
/// numbers are newer than words, so `2.3.1` is newer than `2.3a`.
pub fn compare(left: &[u8], right: &[u8]) -> Ordering {
    let (mut left, mut right) = (components(left), components(right));
    loop {
        let (l, r) = match (left.next(), right.next()) {
            (None, None) => return Ordering::Equal,
            (l, r) => (l.unwrap_or_default(), r.unwrap_or_default()),
        };
        let order = if older(l, r) {
            Ordering::Less
        } else if older(r, l) {
            Ordering::Greater
        } else {
            continue;
        };
        return order;
    }
}

fn older(left: &[u8], right: &[u8]) -> bool {
    match (number(left), number(right)) {
        (Some(left), Some(right)) => left < right,
        (_, Some(_)) if left.is_empty() => true,
        _ if left == b"pre" => right != b"pre",
        _ if right == b"pre" => false,
        (_, Some(_)) => true,
        (Some(_), _) => false,
        _ => left < right,
    }
}

/// A component as a number; one that does not fit in 32 bits counts as a word, as it does in Nix.
fn number(component: &[u8]) -> Option<i32> {
    std::str::from_utf8(component).ok()?.parse().ok().filter(|_| component[0].is_ascii_digit())
}

/// Splits a package's name from its version: at the first dash that is followed by something that is no letter.
pub fn split_name(full: &[u8]) -> (&[u8], &[u8]) {
    let dash = full.windows(2).position(|pair| pair[0] == b'-' && !pair[1].is_ascii_alphabetic());
    match dash {
        Some(dash) => (&full[..dash], &full[dash + 1..]),
        None => (full, b""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_as_nix_does() {
        let ascending = [
            ("1.0", "2.3"),
            ("2.1", "2.3"),
            ("2.3", "2.5"),
            ("2.3.1", "2.5"),
            ("2.3", "2.3.1"),
            ("2.3a", "2.3.1"),
            ("2.3pre1", "2.3"),
            ("2.3pre3", "2.3pre12"),
            ("2.3a", "2.3c"),
            ("2.3pre1", "2.3c"),
            ("2.3pre1", "2.3q"),
            ("", "1"),
            ("pre", ""),
            ("99999999999", "1"),
        ];
        for (older, newer) in ascending {
            assert_eq!(compare(older.as_bytes(), newer.as_bytes()), Ordering::Less, "{older} {newer}");
            assert_eq!(compare(newer.as_bytes(), older.as_bytes()), Ordering::Greater, "{older} {newer}");
        }
        for (left, right) in [("2.3.1", "2.3.1"), ("2.3", "2-3"), ("1.", "1"), ("01", "1"), ("", ".")] {
            assert_eq!(compare(left.as_bytes(), right.as_bytes()), Ordering::Equal, "{left} {right}");
        }
    }

    #[test]
    fn names_are_split_at_the_version() {
        let cases = [
            ("hello-2.12.1", ("hello", "2.12.1")),
            ("a-b-1-c", ("a-b", "1-c")),
            ("a-b", ("a-b", "")),
            ("a-", ("a-", "")),
            ("-1", ("", "1")),
            ("a--b", ("a", "-b")),
        ];
        for (full, (name, version)) in cases {
            assert_eq!(split_name(full.as_bytes()), (name.as_bytes(), version.as_bytes()), "{full}");
        }
    }
}
