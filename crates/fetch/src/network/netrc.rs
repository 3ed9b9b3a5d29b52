//! `.netrc` files: user names and passwords by host, as curl and Nix read them.

use std::fmt;

/// User names and passwords by host.
#[derive(Clone, Default)]
pub struct Netrc {
    entries: Vec<Entry>,
}

#[derive(Clone, Default)]
struct Entry {
    /// `None` for `default`, which is for every host.
    machine: Option<String>,
    login: String,
    password: String,
}

impl Netrc {
    /// Parses a file. What is no netrc gives no entries, or fewer; curl does not complain either.
    pub fn parse(text: &str) -> Self {
        let mut entries: Vec<Entry> = Vec::new();
        let mut in_macro = false;
        for line in text.lines() {
            // A macro goes to the next empty line.
            in_macro = in_macro && !line.trim().is_empty();
            if in_macro {
                continue;
            }
            let mut words = words(line).into_iter();
            while let Some(word) = words.next() {
                match word.as_str() {
                    "machine" => entries.push(Entry { machine: words.next(), ..Entry::default() }),
                    "default" => entries.push(Entry::default()),
                    "macdef" => {
                        in_macro = true;
                        break;
                    }
                    field @ ("login" | "password" | "account") => {
                        let value = words.next().unwrap_or_default();
                        match (entries.last_mut(), field) {
                            (Some(entry), "login") => entry.login = value,
                            (Some(entry), "password") => entry.password = value,
                            _ => {}
                        }
                    }
                    _ => {}
                }
            }
        }
        Self { entries }
    }

    /// The user name and the password for a host.
    pub(super) fn find(&self, host: &str) -> Option<(&str, &str)> {
        let fits = |entry: &&Entry| entry.machine.as_deref().is_none_or(|machine| machine.eq_ignore_ascii_case(host));
        self.entries.iter().find(fits).map(|entry| (entry.login.as_str(), entry.password.as_str()))
    }
}

/// The words of a line; those in quotes may have white space in them, and `\` takes the next character as it is.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut characters = line.chars().peekable();
    loop {
        while characters.next_if(|c| c.is_whitespace()).is_some() {}
        let Some(first) = characters.peek().copied() else { return words };
        if first == '#' {
            return words;
        }
        let quoted = first == '"';
        if quoted {
            characters.next();
        }
        let mut word = String::new();
        while let Some(c) = characters.next() {
            match c {
                '\\' if quoted => word.extend(characters.next()),
                '"' if quoted => break,
                c if !quoted && c.is_whitespace() => break,
                c => word.push(c),
            }
        }
        words.push(word);
    }
}

/// Nothing of it is shown.
impl fmt::Debug for Netrc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Netrc({} entries)", self.entries.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_entry_that_fits_is_taken() {
        let netrc = Netrc::parse(
            "# mine\nmachine cache.example.org login me password secret\nmachine b\n  login \"a b\"\n  password \"q\\\"x\"\n\
             macdef init\n  machine c login no password no\n\nmachine c password only-a-token\ndefault login any password p",
        );
        assert_eq!(netrc.find("Cache.Example.org"), Some(("me", "secret")));
        assert_eq!(netrc.find("b"), Some(("a b", "q\"x")));
        assert_eq!(netrc.find("c"), Some(("", "only-a-token")));
        assert_eq!(netrc.find("d"), Some(("any", "p")));
        assert_eq!(format!("{netrc:?}"), "Netrc(4 entries)");
        assert!(
            Netrc::parse("machine").find("x").is_some_and(|found| found == ("", ""))
                || Netrc::default().find("x").is_none()
        );
    }
}
