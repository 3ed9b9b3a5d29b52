//! Placeholders: text that stands in a derivation for a store path that is not known yet.

use crate::derivation::OutputName;
use crate::hash::{Hash, HashAlgo};
use crate::nix32;
use crate::store_path::{StorePath, fold, output_path_name};

/// What `builtins.placeholder` gives: a derivation's own output, replaced by the builder.
pub fn own_output(output: &str) -> String {
    render(&format!("nix-output:{output}"))
}

/// The output of another derivation that is content-addressed, so that only building it tells its path.
///
/// `None` if `derivation` is no path of a derivation.
pub fn upstream_output(derivation: &StorePath, output: &OutputName) -> Option<String> {
    let name = output_path_name(derivation.derivation_name()?, output);
    Some(render(&format!("nix-upstream-output:{}:{name}", derivation.hash_part())))
}

/// The output of a derivation that is itself the output of another, for which `placeholder` stands.
///
/// `None` if `placeholder` is none.
pub fn computed_output(placeholder: &str, output: &OutputName) -> Option<String> {
    let mut hash = [0; 32];
    if !nix32::decode_into(placeholder.strip_prefix('/')?.as_bytes(), &mut hash) {
        return None;
    }
    Some(render(&format!("nix-computed-output:{}:{output}", nix32::encode(&fold(&hash)))))
}

/// The path that stands for an output until it is built, if only that tells its real one: a builder has to write
/// somewhere.
///
/// `None` if `derivation` is no path of a derivation, or the output's name is not fit for a path.
pub fn stand_in_path(derivation: &StorePath, output: &OutputName) -> Option<StorePath> {
    let kind = format!("rewrite:{}:name:{output}", derivation.to_absolute());
    let name = output_path_name(derivation.derivation_name()?, output);
    StorePath::make(&kind, &Hash::zero(HashAlgo::Sha256), &name).ok()
}

fn render(clear_text: &str) -> String {
    format!("/{}", Hash::of(HashAlgo::Sha256, clear_text.as_bytes()).to_nix32())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values are Nix's, from its own tests of placeholders.
    #[test]
    fn values() {
        assert_eq!(own_output("out"), "/1rz4g4znpzjwh1xymhjpm42vipw92pr73vdgl6xs1hycac8kf2n9");
        let path = StorePath::from_base_name("g1w7hy3qg1w7hy3qg1w7hy3qg1w7hy3q-foo.drv").unwrap();
        let upstream = upstream_output(&path, &"out".to_owned()).unwrap();
        assert_eq!(upstream, "/0c6rn30q4frawknapgwq386zq358m8r6msvywcvc89n6m5p2dgbz");
    }

    #[test]
    fn computed() {
        let path = StorePath::from_base_name("g1w7hy3qg1w7hy3qg1w7hy3qg1w7hy3q-foo.drv.drv").unwrap();
        let upstream = upstream_output(&path, &"out".to_owned()).unwrap();
        assert_eq!(
            computed_output(&upstream, &"out".to_owned()).unwrap(),
            "/0gn6agqxjyyalf0dpihgyf49xq5hqxgw100f0wydnj6yqrhqsb3w"
        );
        assert_eq!(computed_output("/short", &"out".to_owned()), None);
    }
}
