//! The machines that builds may be sent to: the lines of `/etc/nix/machines` and of the setting `builders`.
//!
//! A machine is `ADDRESS [SYSTEMS [KEY [JOBS [SPEED [FEATURES [MANDATORY [HOST-KEY]]]]]]]`, with `-` for what is not said.
//! Machines are separated by line breaks or semicolons; `@FILE` stands for what is in a file, and `#` begins a comment. It is
//! `libstore/machines.cc` in C++ Nix.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;

/// How deep files may name others.
const DEEPEST: usize = 16;

/// A machine.
#[derive(Clone, Debug, PartialEq)]
pub struct Machine {
    /// Where it is, as `ssh-ng://build@farm.example.org`.
    pub address: String,
    /// The systems that it builds for; none if it is not said.
    pub systems: BTreeSet<String>,
    /// The file with the user's key.
    pub key: Option<String>,
    /// How many builds it takes at the same time.
    pub jobs: NonZeroUsize,
    /// How fast it is, compared to others.
    pub speed: f64,
    /// What it offers to derivations with `requiredSystemFeatures`.
    pub features: BTreeSet<String>,
    /// Of what it offers, what a derivation must need to be sent to it.
    pub mandatory: BTreeSet<String>,
    /// Its own public key, as `ssh-ed25519 AAAA…`.
    pub host_key: Option<String>,
}

/// Why a text is no list of machines.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the builder '{line}' makes no sense: {reason}")]
pub struct MachineError {
    /// The machine's line.
    pub line: String,
    /// What is wrong with it.
    pub reason: String,
}

impl Machine {
    /// Reads the machines of a text. `read` gives the text of a file that is named, or `None` if it is not there, which is
    /// no error, as Nix names one by default that hardly anybody has.
    pub fn parse_all(
        text: &str,
        read: &mut dyn FnMut(&str) -> Result<Option<String>, String>,
    ) -> Result<Vec<Machine>, MachineError> {
        let mut machines = Vec::new();
        collect(text, read, 0, &mut machines)?;
        Ok(machines)
    }

    /// Whether it takes a derivation for this system that needs these features.
    pub fn takes(&self, system: &str, features: &BTreeSet<String>) -> bool {
        (system == "builtin" || self.systems.contains(system))
            && features.iter().all(|feature| self.features.contains(feature) || self.mandatory.contains(feature))
            && self.mandatory.is_subset(features)
    }

    fn parse(line: &str) -> Result<Machine, MachineError> {
        let wrong = |reason: String| MachineError { line: line.to_owned(), reason };
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        if words.len() > 8 {
            return Err(wrong(format!(
                "it has {} words, of which the eighth is the last that means something",
                words.len()
            )));
        }
        let word = |index: usize| words.get(index).copied().filter(|word| *word != "-");
        let set = |index| -> BTreeSet<String> {
            let parts = word(index).into_iter().flat_map(|word| word.split(','));
            parts.filter(|part| !part.is_empty()).map(str::to_owned).collect()
        };
        let jobs = word(3).unwrap_or("1");
        let speed = word(4).unwrap_or("1");
        let host_key = word(7).map(|key| {
            let bytes = STANDARD.decode(key).map_err(|error| wrong(format!("its host key is not base 64: {error}")))?;
            let text = String::from_utf8(bytes).map_err(|_| wrong("its host key is no text".to_owned()))?;
            Ok(text.trim().to_owned())
        });
        Ok(Machine {
            address: word(0).ok_or_else(|| wrong("it has no address".to_owned()))?.to_owned(),
            systems: set(1),
            key: word(2).map(str::to_owned),
            jobs: jobs.parse().map_err(|_| wrong(format!("'{jobs}' is no number of jobs")))?,
            speed: match speed.parse::<f64>() {
                Ok(speed) if speed.is_finite() && speed > 0.0 => speed,
                _ => return Err(wrong(format!("'{speed}' is no speed"))),
            },
            features: set(5),
            mandatory: set(6),
            host_key: host_key.transpose()?,
        })
    }
}

fn collect(
    text: &str,
    read: &mut dyn FnMut(&str) -> Result<Option<String>, String>,
    depth: usize,
    machines: &mut Vec<Machine>,
) -> Result<(), MachineError> {
    let uncommented = text.lines().map(|line| line.split('#').next().unwrap_or_default());
    for line in uncommented.flat_map(|line| line.split(';')).map(str::trim).filter(|line| !line.is_empty()) {
        let Some(file) = line.strip_prefix('@') else {
            machines.push(Machine::parse(line)?);
            continue;
        };
        let wrong = |reason: String| MachineError { line: line.to_owned(), reason };
        if depth == DEEPEST {
            return Err(wrong("files name each other".to_owned()));
        }
        if let Some(text) = read(file.trim()).map_err(wrong)? {
            collect(&text, read, depth + 1, machines)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Vec<Machine>, MachineError> {
        Machine::parse_all(text, &mut |file| match file {
            "/etc/nix/machines" => Ok(Some("# ours\nssh://a i686-linux,x86_64-linux /root/key 8 2 kvm\n\n".to_owned())),
            "/itself" => Ok(Some("@/itself".to_owned())),
            "/closed" => Err("permission denied".to_owned()),
            _ => Ok(None),
        })
    }

    #[test]
    fn machines_as_nix_writes_them() {
        let machines = parse(
            "ssh-ng://b x86_64-linux - 4 1 kvm,big-parallel bench c3NoLWVkMjU1MTkgQUFBQQo= ; c; @/etc/nix/machines;@/gone",
        )
        .unwrap();
        let [b, c, a] = &machines[..] else { panic!("{machines:?}") };
        assert_eq!(
            (b.address.as_str(), b.jobs.get(), b.host_key.as_deref()),
            ("ssh-ng://b", 4, Some("ssh-ed25519 AAAA"))
        );
        assert_eq!((c.address.as_str(), c.jobs.get(), c.systems.len(), c.speed), ("c", 1, 0, 1.0));
        assert_eq!((a.key.as_deref(), a.systems.len(), a.speed), (Some("/root/key"), 2, 2.0));
        let needs = |features: &[&str]| features.iter().map(|feature| (*feature).to_owned()).collect::<BTreeSet<_>>();
        assert!(a.takes("i686-linux", &needs(&["kvm"])) && a.takes("x86_64-linux", &needs(&[])));
        assert!(!a.takes("aarch64-linux", &needs(&[])) && !a.takes("x86_64-linux", &needs(&["big-parallel"])));
        // What is mandatory is offered too.
        assert!(b.takes("x86_64-linux", &needs(&["bench", "kvm"])) && !b.takes("x86_64-linux", &needs(&["kvm"])));
    }

    #[test]
    fn what_is_no_machine_is_named() {
        for (text, reason) in [
            ("- x", "no address"),
            ("a - - no", "'no' is no number of jobs"),
            ("a - - 0", "'0' is no number of jobs"),
            ("a - - 1 -1", "'-1' is no speed"),
            ("a - - 1 1 - - !", "not base 64"),
            ("a - - 1 1 - - - x", "9 words"),
            ("@/itself", "name each other"),
            ("@/closed", "permission denied"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
