(derivation { builder = "b"; system = "s"; }).outPath
