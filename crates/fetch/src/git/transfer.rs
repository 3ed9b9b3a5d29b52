//! How much has come, as git says it while it fetches.

/// The bytes received so far, from a line such as `Receiving objects:  45% (9/20), 1.20 MiB | 3.00 MiB/s`.
pub(super) fn received(line: &str) -> Option<u64> {
    let (_, rest) = line.strip_prefix("Receiving objects:")?.split_once("), ")?;
    let mut words = rest.split(' ');
    let number: f64 = words.next()?.parse().ok()?;
    let unit = match words.next()?.trim_end_matches(',') {
        "bytes" => 1.0,
        "KiB" => 1024.0,
        "MiB" => 1024.0 * 1024.0,
        "GiB" => 1024.0 * 1024.0 * 1024.0,
        _ => return None,
    };
    Some((number * unit) as u64)
}

#[cfg(test)]
mod tests {
    use super::received;

    #[test]
    fn sizes_are_read() {
        assert_eq!(received("Receiving objects:  45% (9/20), 1.50 KiB | 3.00 MiB/s"), Some(1536));
        assert_eq!(received("Receiving objects: 100% (20/20), 12 bytes | 1 bytes/s, done."), Some(12));
        assert_eq!(received("Receiving objects:  45% (9/20)"), None);
        assert_eq!(received("Resolving deltas: 100% (1/1), 2.00 MiB"), None);
    }
}
