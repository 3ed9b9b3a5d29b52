//! The address of a cache: where it is, and parameters after a question mark that are for us and not for the server.

use std::path::PathBuf;
use std::str::FromStr;

use nix_formats::narinfo::Compression;
use percent_encoding::percent_decode_str;

use crate::FetchError;

/// The parameters that mean something here.
const KNOWN: [&str; 13] = [
    "compression",
    "compression-level",
    "endpoint",
    "multipart-chunk-size",
    "multipart-threshold",
    "priority",
    "profile",
    "region",
    "scheme",
    "secret-key",
    "secret-keys",
    "trusted",
    "addressing-style",
];

/// Parameters of Nix's that ask for what is done anyway, or that need nothing done here.
const NEEDLESS: [&str; 9] = [
    "parallel-compression",
    "want-mass-query",
    "path-info-cache-size",
    "local-nar-cache",
    "multipart-upload",
    "buffer-size",
    "ls-compression",
    "log-compression",
    "narinfo-compression",
];

/// An address, taken apart.
pub(super) struct Address {
    /// Without the parameters.
    pub base: String,
    parameters: Vec<(String, String)>,
}

impl Address {
    pub fn parse(text: &str) -> Result<Self, FetchError> {
        let (base, query) = text.split_once('?').unwrap_or((text, ""));
        let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        let parameters = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        let parameters = parameters.map(|(name, value)| (decode(name), decode(value))).collect();
        let address = Self { base: base.trim_end_matches('/').to_owned(), parameters };
        let unknown = address
            .parameters
            .iter()
            .find(|(name, _)| !KNOWN.contains(&name.as_str()) && !NEEDLESS.contains(&name.as_str()));
        match unknown {
            _ if address.base.is_empty() => Err(address.wrong("it is empty")),
            Some((name, _)) => {
                Err(address.wrong(&format!("it has no parameter '{name}'; there are {}", KNOWN.join(", "))))
            }
            None => Ok(address),
        }
    }

    /// What stands before `:`; nothing for a directory.
    pub fn scheme(&self) -> &str {
        match self.base.split_once(':') {
            Some((scheme, _)) if !scheme.contains('/') => scheme,
            _ => "",
        }
    }

    /// A parameter; of several with the same name the last.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.parameters.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn number<T: FromStr>(&self, name: &str) -> Result<Option<T>, FetchError> {
        let parse = |text: &str| text.parse().map_err(|_| self.wrong(&format!("'{name}' must be a number")));
        self.get(name).map(parse).transpose()
    }

    pub fn flag(&self, name: &str) -> Result<bool, FetchError> {
        match self.get(name) {
            None | Some("false" | "0") => Ok(false),
            Some("true" | "1") => Ok(true),
            Some(_) => Err(self.wrong(&format!("'{name}' must be 'true' or 'false'"))),
        }
    }

    pub fn compression(&self) -> Result<Option<Compression>, FetchError> {
        let Some(name) = self.get("compression") else { return Ok(None) };
        let found = Compression::ALL.into_iter().find(|known| known.name() == name);
        let names = Compression::ALL.map(Compression::name).join(", ");
        found.map(Some).ok_or_else(|| self.wrong(&format!("there is no compression '{name}', but {names}")))
    }

    pub fn secret_keys(&self) -> Vec<PathBuf> {
        let lists = ["secret-key", "secret-keys"].into_iter().filter_map(|name| self.get(name));
        lists.flat_map(|list| list.split(',')).filter(|file| !file.is_empty()).map(PathBuf::from).collect()
    }

    pub fn wrong(&self, problem: &str) -> FetchError {
        // A password may stand before the host.
        let shown = match (self.base.split_once("://"), self.base.rsplit_once('@')) {
            (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://{rest}"),
            _ => self.base.clone(),
        };
        FetchError::CacheAddress { address: shown, problem: problem.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_ours_and_the_rest_is_the_address() {
        let address =
            Address::parse("https://u:p@example.org/c/?priority=10&trusted=1&secret-key=/a%20b,/c&compression=br");
        let address = address.unwrap();
        assert_eq!((address.base.as_str(), address.scheme()), ("https://u:p@example.org/c", "https"));
        assert_eq!(address.number::<u32>("priority").unwrap(), Some(10));
        assert!(address.flag("trusted").unwrap());
        assert_eq!(address.compression().unwrap(), Some(Compression::Brotli));
        assert_eq!(address.secret_keys(), [PathBuf::from("/a b"), PathBuf::from("/c")]);
        assert_eq!(Address::parse("./a:b/c").unwrap().scheme(), "");
    }

    #[test]
    fn what_is_wrong_is_named_without_the_password() {
        for (text, problem) in [
            ("https://u:secret@example.org?compresion=xz", "no parameter 'compresion'"),
            ("?priority=1", "it is empty"),
        ] {
            let error = Address::parse(text).err().unwrap().to_string();
            assert!(error.contains(problem) && !error.contains("secret@"), "{error}");
        }
        let address = Address::parse("https://u:secret@example.org?compression=rar&priority=x").unwrap();
        let error = address.compression().unwrap_err().to_string();
        assert!(error.contains("'https://example.org'") && error.contains("'rar'"), "{error}");
        assert!(address.number::<u32>("priority").is_err());
    }
}
