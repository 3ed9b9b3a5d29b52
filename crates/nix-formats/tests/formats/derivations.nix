# Derivations of every kind that decides how a path is computed. What they would build does not matter.
let
  make = args: derivation ({ system = "x86_64-linux"; builder = "/bin/sh"; } // args);
  fixed = mode: algo: hash: make {
    name = "fixed-${mode}-${algo}";
    outputHashMode = mode;
    outputHashAlgo = algo;
    outputHash = hash;
  };
  plain = make { name = "plain"; };
  many = make { name = "many"; outputs = [ "out" "dev" "lib" ]; PATH = "${plain}/bin"; };
  # Two ways to fetch the same: what depends on them has the same path.
  mirror = number: make {
    name = "mirrored";
    url = "mirror${toString number}";
    outputHashMode = "flat";
    outputHashAlgo = "sha256";
    outputHash = builtins.hashString "sha256" "x";
  };
in {
  inherit plain many;
  odd = make {
    name = "odd+name_1.0?x=y";
    args = [ "-c" "echo \"quoted\" \\ \t tab\n\r$out ünïcode" ];
    empty = "";
    list = [ 1 "two" plain many.dev ];
    flag = true;
  };
  sources = make { name = "sources"; file = builtins.toFile "text" "hello"; builder = builtins.toFile "b.sh" "true"; };
  deep = make { name = "deep"; drv = builtins.unsafeDiscardOutputDependency plain.drvPath; closure = many.drvPath; };
  structured = make { name = "structured"; __structuredAttrs = true; outputs = [ "out" "bin" ]; a.b = [ 1 null plain ]; };
  flat = fixed "flat" "sha1" (builtins.hashString "sha1" "x");
  recursive = fixed "recursive" "sha256" (builtins.hashString "sha256" "x");
  recursive512 = fixed "recursive" "sha512" (builtins.hashString "sha512" "x");
  md5 = fixed "flat" "md5" (builtins.hashString "md5" "x");
  mirrored1 = make { name = "on-mirrored"; src = mirror 1; };
  mirrored2 = make { name = "on-mirrored"; src = mirror 2; };
  merged = make { name = "merged"; a = mirror 1; b = mirror 2; c = many.lib; d = many.out; };
}
