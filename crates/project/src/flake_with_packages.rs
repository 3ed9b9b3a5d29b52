//! A flake with a package set of the user's own (`--pkgs`) in the place of its input `nixpkgs`.

use std::path::Path;

use eval::{Interp, Origin, Symbol, Value};

use crate::error::Error;
use crate::packages::Packages;
use crate::project::Project;

/// The flake's outputs, called as Nix's `call-flake.nix` calls them. The lock file is read only if another input than
/// `nixpkgs` is used, so that a flake without others needs no network.
const CALL: &str = "
let
  tree = builtins.fetchTree reference;
  flake = import (tree.outPath + directory + \"/flake.nix\");
  declared = builtins.removeAttrs (builtins.functionArgs flake.outputs // flake.inputs or { }) [ \"self\" \"nixpkgs\" ];
  inputs = builtins.mapAttrs (name: _: (builtins.getFlake reference).inputs.${name}) declared // {
    inherit self;
    nixpkgs = { legacyPackages.${system} = pkgs; inherit (pkgs) lib; };
  };
  outputs = flake.outputs inputs;
  self = outputs // tree // { inherit inputs outputs; _type = \"flake\"; };
in
self
";

impl Project {
    /// The flake of a reference, its `nixpkgs` replaced.
    pub(crate) fn flake_with_packages(
        &self,
        interp: &Interp,
        reference: &str,
        packages: &Packages,
    ) -> Result<Value, Error> {
        let (located, _) = fetch::locate(&self.options.directory, reference)
            .map_err(|error| Error::target(error.to_string(), "a flake is a directory with a flake.nix".to_owned()))?;
        let directory = match located.dir() {
            "" => String::new(),
            below => format!("/{below}"),
        };
        let pkgs = self.packages(interp, packages, self.given(interp)?)?;
        let scope = [
            ("reference", Value::string(located.to_string())),
            ("directory", Value::string(directory)),
            ("system", Value::string(&interp.settings().system)),
            ("pkgs", pkgs),
        ]
        .map(|(name, value)| (Symbol::intern(name), value));
        let origin = Origin::Text("«the flake with --pkgs»".to_owned());
        Ok(interp.eval_source(origin, CALL.as_bytes().to_vec(), Path::new("/"), &scope)?)
    }
}
