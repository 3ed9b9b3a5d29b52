# Systems by family, for `meta.platforms`.
let
  linux = [
    "aarch64-linux"
    "armv7l-linux"
    "i686-linux"
    "powerpc64le-linux"
    "riscv64-linux"
    "s390x-linux"
    "x86_64-linux"
  ];
  darwin = [
    "aarch64-darwin"
    "x86_64-darwin"
  ];
in
{
  inherit linux darwin;
  all = linux ++ darwin;
  unix = linux ++ darwin;
  none = [ ];
  x86_64 = [
    "x86_64-darwin"
    "x86_64-linux"
  ];
  aarch64 = [
    "aarch64-darwin"
    "aarch64-linux"
  ];
}
