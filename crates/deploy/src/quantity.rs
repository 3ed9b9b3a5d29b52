//! Quantities as Kubernetes writes them (`500m`, `1.5`, `256Mi`, `1e3`), for targets that take plain numbers.

/// Suffixes and what they multiply by, as a fraction.
const SUFFIXES: &[(&str, u128, u128)] = &[
    ("Ki", 1 << 10, 1),
    ("Mi", 1 << 20, 1),
    ("Gi", 1 << 30, 1),
    ("Ti", 1 << 40, 1),
    ("Pi", 1 << 50, 1),
    ("Ei", 1 << 60, 1),
    ("n", 1, 1_000_000_000),
    ("u", 1, 1_000_000),
    ("m", 1, 1_000),
    ("k", 1_000, 1),
    ("M", 1_000_000, 1),
    ("G", 1_000_000_000, 1),
    ("T", 1_000_000_000_000, 1),
    ("P", 1_000_000_000_000_000, 1),
    ("E", 1_000_000_000_000_000_000, 1),
];

/// A quantity in billionths, exact; `None` if the text is none or is too large.
pub(crate) fn parse(text: &str) -> Option<u128> {
    let suffix = SUFFIXES.iter().find(|(suffix, ..)| text.ends_with(suffix));
    let (number, multiply, divide) = match suffix {
        Some((suffix, multiply, divide)) => (text.strip_suffix(suffix)?, *multiply, *divide),
        None => match text.split_once(['e', 'E']) {
            Some((number, exponent)) => (number, 10u128.checked_pow(exponent.parse().ok()?)?, 1),
            None => (text, 1, 1),
        },
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits_only = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() && fraction.is_empty() || !digits_only(whole) || !digits_only(fraction) || fraction.len() > 9 {
        return None;
    }
    let billionths: u128 = format!("{whole}{fraction:0<9}").parse().ok()?;
    Some(billionths.checked_mul(multiply)? / divide)
}

/// A quantity as a whole number, rounded up: bytes.
pub(crate) fn whole(text: &str) -> Option<u128> {
    parse(text).map(|billionths| billionths.div_ceil(1_000_000_000))
}

/// A quantity as a decimal number: processors.
pub(crate) fn decimal(text: &str) -> Option<String> {
    let billionths = parse(text)?;
    let (whole, fraction) = (billionths / 1_000_000_000, billionths % 1_000_000_000);
    let decimal = format!("{whole}.{fraction:09}");
    Some(decimal.trim_end_matches('0').trim_end_matches('.').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_exact() {
        assert_eq!(decimal("500m").as_deref(), Some("0.5"));
        assert_eq!(decimal("2").as_deref(), Some("2"));
        assert_eq!(decimal("1.25").as_deref(), Some("1.25"));
        assert_eq!(whole("256Mi"), Some(256 << 20));
        assert_eq!(whole("1.5Gi"), Some(3 << 29));
        assert_eq!(whole("1e3"), Some(1000));
        assert_eq!(whole("100k"), Some(100_000));
        assert!(parse("1Gi") > parse("1G"));
    }

    #[test]
    fn nonsense_is_none() {
        for text in
            ["", ".", "Mi", "1 Gi", "-1", "1Zi", "a", "1e99", "1.2.3", "99999999999999999999999999999999999999Ei"]
        {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
