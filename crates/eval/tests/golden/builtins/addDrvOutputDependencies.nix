let d = derivation { name = "a"; system = "x"; builder = "b"; }; in builtins.attrValues (builtins.getContext (builtins.addDrvOutputDependencies (builtins.unsafeDiscardOutputDependency d.drvPath)))
