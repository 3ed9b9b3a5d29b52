//! The names of characters in the POSIX locale, for `[[.name.]]` (POSIX.1 base definitions, chapter 6).

/// The names of the bytes 0 to 127 that are not letters or digits, which name themselves.
const NAMES: &[(u8, &str)] = &[
    (
        0,
        "NUL SOH STX ETX EOT ENQ ACK alert backspace tab newline vertical-tab form-feed carriage-return SO SI DLE DC1 DC2 DC3 DC4 NAK SYN ETB CAN EM SUB ESC IS4 IS3 IS2 IS1",
    ),
    (
        b' ',
        "space exclamation-mark quotation-mark number-sign dollar-sign percent-sign ampersand apostrophe left-parenthesis right-parenthesis asterisk plus-sign comma hyphen period slash zero one two three four five six seven eight nine colon semicolon less-than-sign equals-sign greater-than-sign question-mark commercial-at",
    ),
    (b'[', "left-square-bracket backslash right-square-bracket circumflex underscore grave-accent"),
    (b'{', "left-curly-bracket vertical-line right-curly-bracket tilde DEL"),
];

/// The byte that a collating element names: a single byte names itself.
pub(super) fn byte(name: &[u8]) -> Option<u8> {
    if let [byte] = name {
        return Some(*byte);
    }
    NAMES.iter().find_map(|(first, names)| {
        let index = names.split(' ').position(|other| other.as_bytes() == name)?;
        Some(first + index as u8)
    })
}
