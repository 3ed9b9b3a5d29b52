//! Addresses of git repositories, in the forms that git takes, as URLs.

use super::url::encoded_path;

/// The transports that git itself speaks: before a colon they are no host.
const TRANSPORTS: [&str; 7] = ["ssh", "http", "https", "file", "ftp", "ftps", "git"];

/// The address of a git repository as a URL: `/path` becomes `file:///path`, `user@host:path` becomes
/// `ssh://user@host/path`, and a `git+` before the scheme goes.
///
/// # Errors
/// The text is none of these. The error is a sentence's end.
pub fn git_url(text: &str) -> Result<String, String> {
    if text.starts_with('/') {
        return Ok(format!("file://{}", encoded_path(text)));
    }
    let text = text.strip_prefix("git+").unwrap_or(text);
    let Some((before, path)) = split_host(text) else {
        return Err("expected a URL, an absolute path, or 'host:path' as ssh takes it".to_owned());
    };
    if text.contains("://") || TRANSPORTS.contains(&before) {
        return Ok(text.to_owned());
    }
    match path {
        "" => Err("it names no path behind the host".to_owned()),
        _ if path.starts_with('/') => Ok(format!("ssh://{before}{path}")),
        _ => Ok(format!("ssh://{before}/{path}")),
    }
}

/// Splits at the colon behind the host, which may be an IPv6 address in brackets. A slash before it makes a path.
fn split_host(text: &str) -> Option<(&str, &str)> {
    let bracket = text.find("@[").map(|at| at + 1).or_else(|| text.starts_with('[').then_some(0));
    let after_bracket = bracket.and_then(|start| Some(start + text[start..].find(']')? + 1));
    let from = after_bracket.unwrap_or(0);
    let colon = from + text[from..].find(':')?;
    let (host, path) = (&text[..colon], &text[colon + 1..]);
    (!host.contains('/') && !host.is_empty() && (from == 0 || from == colon)).then_some((host, path))
}

/// The address of a submodule, which may be relative to that of the repository it is in.
///
/// # Errors
/// It leads out of the host, or is no address.
pub fn submodule_url(repository: &str, url: &str) -> Result<String, String> {
    if !url.starts_with("./") && !url.starts_with("../") {
        return git_url(url);
    }
    let start = repository.find("://").map_or(0, |at| at + 3);
    let path_start = start + repository[start..].find('/').unwrap_or(repository.len() - start);
    let (host, mut path) = repository.split_at(path_start);
    path = path.trim_end_matches('/');
    let mut rest = url;
    loop {
        if let Some(below) = rest.strip_prefix("../") {
            path = path.rsplit_once('/').ok_or("it leads out of the host")?.0;
            rest = below;
        } else if let Some(below) = rest.strip_prefix("./") {
            rest = below;
        } else {
            return Ok(format!("{host}{path}/{}", rest.trim_end_matches('/')));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_becomes_a_url() {
        for (text, url) in [
            ("/a/b c", "file:///a/b%20c"),
            ("git@github.com:o/r.git", "ssh://git@github.com/o/r.git"),
            ("host:/abs/r", "ssh://host/abs/r"),
            ("user@[::1]:r", "ssh://user@[::1]/r"),
            ("[::1]:r", "ssh://[::1]/r"),
            ("git+https://e.org/r", "https://e.org/r"),
            ("ssh://git@e.org:22/r", "ssh://git@e.org:22/r"),
            ("file:/a", "file:/a"),
        ] {
            assert_eq!(git_url(text).as_deref(), Ok(url), "{text}");
        }
        for text in ["a/b", "a", "", "./a:b", "host:", "[::1]x:r"] {
            assert!(git_url(text).is_err(), "{text}");
        }
    }

    #[test]
    fn submodules_are_relative_to_their_repository() {
        let resolve = |base, url| submodule_url(base, url);
        assert_eq!(resolve("https://e.org/o/r.git", "../s.git").as_deref(), Ok("https://e.org/o/s.git"));
        assert_eq!(resolve("https://e.org/o/r/", "./s/").as_deref(), Ok("https://e.org/o/r/s"));
        assert_eq!(resolve("file:///a/r", "../../b/s").as_deref(), Ok("file:///b/s"));
        assert_eq!(resolve("https://e.org/r", "git@h:s").as_deref(), Ok("ssh://git@h/s"));
        assert!(resolve("https://e.org/r", "../../s").is_err());
        assert!(resolve("https://e.org", "../s").is_err());
    }
}
