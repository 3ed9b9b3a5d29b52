//! Hashes as Nix writes them: `algo:base16`, `algo:nix32`, `algo:base64` and SRI (`algo-base64`).

use std::fmt;
use std::io::{self, Read, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha2::Digest as _;
use thiserror::Error;

use crate::nix32;

/// A hash algorithm that Nix accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HashAlgo {
    /// MD5: only for the oldest fixed outputs.
    Md5,
    /// SHA-1: git objects and old fixed outputs.
    Sha1,
    /// SHA-256: what everything of today is.
    Sha256,
    /// SHA-512.
    Sha512,
    /// BLAKE3, with 32 bytes of output.
    Blake3,
}

impl HashAlgo {
    /// Every algorithm.
    pub const ALL: [Self; 5] = [Self::Md5, Self::Sha1, Self::Sha256, Self::Sha512, Self::Blake3];

    /// The name in Nix's syntax: `md5`, `sha1`, `sha256`, `sha512`, `blake3`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
            Self::Blake3 => "blake3",
        }
    }

    /// Length of the hash in bytes.
    pub const fn size(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::Sha256 | Self::Blake3 => 32,
            Self::Sha512 => 64,
        }
    }

    /// The algorithm of that name.
    pub fn parse(name: &str) -> Result<Self, HashError> {
        Self::ALL
            .into_iter()
            .find(|algo| algo.name() == name)
            .ok_or_else(|| HashError::UnknownAlgorithm { name: name.to_owned() })
    }
}

impl fmt::Display for HashAlgo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How to spell a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashFormat {
    /// Lower-case hexadecimal.
    Base16,
    /// Nix's base-32.
    Nix32,
    /// Padded base-64.
    Base64,
    /// `algo-base64`, as in W3C Subresource Integrity.
    Sri,
}

/// Why a text is no hash.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum HashError {
    /// The algorithm's name is none of Nix's.
    #[error("unknown hash algorithm '{name}': expected md5, sha1, sha256, sha512 or blake3")]
    UnknownAlgorithm {
        /// The name as given.
        name: String,
    },
    /// No algorithm in the text, and none given beside it.
    #[error("hash '{text}' does not name its algorithm, and none is given beside it")]
    MissingAlgorithm {
        /// The text as given.
        text: String,
    },
    /// The algorithm in the text is another than the one that was asked for.
    #[error("hash '{text}' should have the algorithm '{expected}'")]
    OtherAlgorithm {
        /// The text as given.
        text: String,
        /// The algorithm asked for.
        expected: HashAlgo,
    },
    /// The length fits no encoding of this algorithm.
    #[error("hash '{text}' has the wrong length for {algo}")]
    WrongLength {
        /// The text as given.
        text: String,
        /// The algorithm it should be of.
        algo: HashAlgo,
    },
    /// A character does not belong to the encoding that the length implies.
    #[error("hash '{text}' is not valid {encoding}")]
    BadCharacter {
        /// The text as given.
        text: String,
        /// The encoding's name.
        encoding: &'static str,
    },
}

/// A hash: an algorithm and its bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash {
    algo: HashAlgo,
    /// Only the first `algo.size()` bytes count; the others are zero.
    bytes: [u8; 64],
}

impl Hash {
    /// A hash from its bytes, which must be `algo.size()` many.
    pub fn from_bytes(algo: HashAlgo, bytes: &[u8]) -> Option<Self> {
        if bytes.len() != algo.size() {
            return None;
        }
        let mut all = [0; 64];
        all[..bytes.len()].copy_from_slice(bytes);
        Some(Self { algo, bytes: all })
    }

    /// A SHA-256 hash from its bytes.
    pub fn sha256(bytes: [u8; 32]) -> Self {
        let mut all = [0; 64];
        all[..32].copy_from_slice(&bytes);
        Self { algo: HashAlgo::Sha256, bytes: all }
    }

    /// The hash of `data`.
    pub fn of(algo: HashAlgo, data: &[u8]) -> Self {
        let mut hasher = Hasher::new(algo);
        hasher.update(data);
        hasher.finish()
    }

    /// The hash of all zero bytes, Nix's stand-in for a hash that is not known yet (`lib.fakeHash`).
    pub fn zero(algo: HashAlgo) -> Self {
        Self { algo, bytes: [0; 64] }
    }

    /// The algorithm.
    pub const fn algo(&self) -> HashAlgo {
        self.algo
    }

    /// The bytes, as many as the algorithm has.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.algo.size()]
    }

    /// Parses `algo:…`, SRI, or, when `algo` is given, the bare encoding; the encoding is told by its length.
    pub fn parse(text: &str, algo: Option<HashAlgo>) -> Result<Self, HashError> {
        let (named, rest, sri) = if let Some((name, rest)) = text.split_once(':') {
            (Some(HashAlgo::parse(name)?), rest, false)
        } else if let Some((name, rest)) = text.split_once('-') {
            (Some(HashAlgo::parse(name)?), rest, true)
        } else {
            (None, text, false)
        };
        let algo = match (named, algo) {
            (Some(named), Some(wanted)) if named != wanted => {
                return Err(HashError::OtherAlgorithm { text: text.to_owned(), expected: wanted });
            }
            (Some(algo), _) | (None, Some(algo)) => algo,
            (None, None) => return Err(HashError::MissingAlgorithm { text: text.to_owned() }),
        };
        if sri { Self::parse_base64(rest, algo, text) } else { Self::parse_bare(rest, algo, text) }
    }

    /// Parses SRI (`sha256-…=`) and nothing else.
    pub fn parse_sri(text: &str) -> Result<Self, HashError> {
        let (name, rest) =
            text.split_once('-').ok_or_else(|| HashError::BadCharacter { text: text.to_owned(), encoding: "SRI" })?;
        Self::parse_base64(rest, HashAlgo::parse(name)?, text)
    }

    fn parse_bare(rest: &str, algo: HashAlgo, text: &str) -> Result<Self, HashError> {
        let size = algo.size();
        let mut bytes = [0; 64];
        if rest.len() == size * 2 {
            hex::decode_to_slice(rest, &mut bytes[..size])
                .map_err(|_| HashError::BadCharacter { text: text.to_owned(), encoding: "base 16" })?;
        } else if rest.len() == nix32::encoded_len(size) {
            if !nix32::decode_into(rest.as_bytes(), &mut bytes[..size]) {
                return Err(HashError::BadCharacter { text: text.to_owned(), encoding: "Nix base 32" });
            }
        } else {
            return Self::parse_base64(rest, algo, text);
        }
        Ok(Self { algo, bytes })
    }

    fn parse_base64(rest: &str, algo: HashAlgo, text: &str) -> Result<Self, HashError> {
        if rest.len() != algo.size().div_ceil(3) * 4 {
            return Err(HashError::WrongLength { text: text.to_owned(), algo });
        }
        let bytes =
            BASE64.decode(rest).map_err(|_| HashError::BadCharacter { text: text.to_owned(), encoding: "base 64" })?;
        Self::from_bytes(algo, &bytes).ok_or_else(|| HashError::WrongLength { text: text.to_owned(), algo })
    }

    /// The hash in a format; `Base16`, `Nix32` and `Base64` without the algorithm's name.
    pub fn print(&self, format: HashFormat) -> String {
        match format {
            HashFormat::Base16 => self.to_hex(),
            HashFormat::Nix32 => self.to_nix32(),
            HashFormat::Base64 => BASE64.encode(self.bytes()),
            HashFormat::Sri => self.to_sri(),
        }
    }

    /// Bare lower-case hexadecimal.
    pub fn to_hex(&self) -> String {
        self.hex(&mut [0; 128]).to_owned()
    }

    /// As [`Hash::to_hex`], in a buffer.
    pub(crate) fn hex<'a>(&self, buffer: &'a mut [u8; 128]) -> &'a str {
        let digits = &mut buffer[..self.bytes().len() * 2];
        hex::encode_to_slice(self.bytes(), digits).expect("the buffer has room for the longest hash");
        std::str::from_utf8(digits).expect("hexadecimal digits are ASCII")
    }

    /// Bare Nix base-32.
    pub fn to_nix32(&self) -> String {
        nix32::encode(self.bytes())
    }

    /// `algo-base64`.
    pub fn to_sri(&self) -> String {
        format!("{}-{}", self.algo, BASE64.encode(self.bytes()))
    }

    /// `algo:base16`, as derivations' hashes, the store database and OCI digests have it.
    pub fn to_prefixed_hex(&self) -> String {
        format!("{}:{}", self.algo, self.to_hex())
    }

    /// `algo:nix32`, as narinfo files and content addresses have it.
    pub fn to_prefixed_nix32(&self) -> String {
        format!("{}:{}", self.algo, self.to_nix32())
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({self})")
    }
}

/// Prints as SRI, the form that Nix shows to users.
impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_sri())
    }
}

/// A hash being computed; bytes come by [`Hasher::update`] or by [`Write`].
#[derive(Clone)]
pub struct Hasher(State);

#[derive(Clone)]
enum State {
    Md5(md5::Md5),
    Sha1(sha1::Sha1),
    Sha256(sha2::Sha256),
    Sha512(sha2::Sha512),
    Blake3(Box<blake3::Hasher>),
}

impl Hasher {
    /// An empty computation.
    pub fn new(algo: HashAlgo) -> Self {
        Self(match algo {
            HashAlgo::Md5 => State::Md5(md5::Md5::new()),
            HashAlgo::Sha1 => State::Sha1(sha1::Sha1::new()),
            HashAlgo::Sha256 => State::Sha256(sha2::Sha256::new()),
            HashAlgo::Sha512 => State::Sha512(sha2::Sha512::new()),
            HashAlgo::Blake3 => State::Blake3(Box::default()),
        })
    }

    /// Takes in more bytes.
    pub fn update(&mut self, data: &[u8]) {
        match &mut self.0 {
            State::Md5(state) => state.update(data),
            State::Sha1(state) => state.update(data),
            State::Sha256(state) => state.update(data),
            State::Sha512(state) => state.update(data),
            State::Blake3(state) => {
                state.update(data);
            }
        }
    }

    /// The hash of all that was taken in.
    pub fn finish(self) -> Hash {
        let mut bytes = [0; 64];
        let algo = match self.0 {
            State::Md5(state) => fill(&mut bytes, &state.finalize(), HashAlgo::Md5),
            State::Sha1(state) => fill(&mut bytes, &state.finalize(), HashAlgo::Sha1),
            State::Sha256(state) => fill(&mut bytes, &state.finalize(), HashAlgo::Sha256),
            State::Sha512(state) => fill(&mut bytes, &state.finalize(), HashAlgo::Sha512),
            State::Blake3(state) => fill(&mut bytes, state.finalize().as_bytes(), HashAlgo::Blake3),
        };
        Hash { algo, bytes }
    }
}

fn fill(all: &mut [u8; 64], bytes: &[u8], algo: HashAlgo) -> HashAlgo {
    all[..bytes.len()].copy_from_slice(bytes);
    algo
}

impl Write for Hasher {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.update(data);
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Passes bytes on to `inner` and hashes and counts them on the way.
pub struct HashWriter<W> {
    inner: W,
    hasher: Hasher,
    size: u64,
}

impl<W: Write> HashWriter<W> {
    /// Hashes what goes through to `inner`.
    pub fn new(algo: HashAlgo, inner: W) -> Self {
        Self { inner, hasher: Hasher::new(algo), size: 0 }
    }

    /// The hash, the number of bytes and the inner writer.
    pub fn finish(self) -> (Hash, u64, W) {
        (self.hasher.finish(), self.size, self.inner)
    }
}

impl<W: Write> Write for HashWriter<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(data)?;
        self.hasher.update(&data[..written]);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Reads from `inner` and hashes and counts the bytes on the way.
pub struct HashReader<R> {
    inner: R,
    hasher: Hasher,
    size: u64,
}

impl<R: Read> HashReader<R> {
    /// Hashes what is read from `inner`.
    pub fn new(algo: HashAlgo, inner: R) -> Self {
        Self { inner, hasher: Hasher::new(algo), size: 0 }
    }

    /// The hash, the number of bytes and the inner reader.
    pub fn finish(self) -> (Hash, u64, R) {
        (self.hasher.finish(), self.size, self.inner)
    }

    /// How many bytes were read so far.
    pub fn size(&self) -> u64 {
        self.size
    }
}

impl<R: Read> Read for HashReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        self.size += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY_HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn every_spelling_is_read() {
        let hash = Hash::of(HashAlgo::Sha256, b"");
        assert_eq!(hash.to_hex(), EMPTY_HEX);
        for text in [
            hash.to_sri(),
            hash.to_prefixed_hex(),
            hash.to_prefixed_nix32(),
            format!("sha256:{}", hash.print(HashFormat::Base64)),
        ] {
            assert_eq!(Hash::parse(&text, None), Ok(hash), "{text}");
            assert_eq!(Hash::parse(&text, Some(HashAlgo::Sha256)), Ok(hash), "{text}");
            assert!(Hash::parse(&text, Some(HashAlgo::Sha1)).is_err(), "{text}");
        }
        assert_eq!(Hash::parse(EMPTY_HEX, Some(HashAlgo::Sha256)), Ok(hash));
        assert!(matches!(Hash::parse(EMPTY_HEX, None), Err(HashError::MissingAlgorithm { .. })));
    }

    #[test]
    fn bad_text_is_refused() {
        for text in ["sha256:", "sha256-", "sha256-abc", "sha3:00", "md5:zz", "sha256:\u{20ac}"] {
            assert!(Hash::parse(text, None).is_err(), "{text}");
        }
    }

    #[test]
    fn all_algorithms_have_their_size() {
        for algo in HashAlgo::ALL {
            let hash = Hash::of(algo, b"abc");
            assert_eq!(hash.bytes().len(), algo.size());
            assert_eq!(Hash::parse(&hash.to_sri(), None), Ok(hash));
        }
    }
}
