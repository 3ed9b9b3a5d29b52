# A platform's description from its system name, as `stdenv.hostPlatform` has it.
{ lib }:
let
  # Nix's name of a processor → the name that OCI images use, with its variant.
  goArchitectures = {
    x86_64 = { arch = "amd64"; };
    aarch64 = { arch = "arm64"; variant = "v8"; };
    armv7l = { arch = "arm"; variant = "v7"; };
    armv6l = { arch = "arm"; variant = "v6"; };
    i686 = { arch = "386"; };
    powerpc64le = { arch = "ppc64le"; };
    riscv64 = { arch = "riscv64"; };
    s390x = { arch = "s390x"; };
  };
  is64 = cpu: lib.hasInfix "64" cpu || cpu == "s390x";
in
{
  elaborate =
    arg:
    let
      system = if builtins.isString arg then arg else arg.system;
      parts = builtins.match "([^-]+)-([a-z]+)" system;
      cpu = builtins.elemAt parts 0;
      kernel = builtins.elemAt parts 1;
      go = goArchitectures.${cpu} or { arch = cpu; };
    in
    if parts == null then
      throw "lib.systems.elaborate: \"${system}\" is not a system such as \"x86_64-linux\""
    else
      {
        inherit system;
        config = if kernel == "linux" then "${cpu}-unknown-linux-gnu" else "${cpu}-apple-${kernel}";
        go = {
          GOARCH = go.arch;
          GOOS = kernel;
        };
        linuxArch = if cpu == "aarch64" then "arm64" else cpu;
        qemuArch = cpu;
        uname = {
          system = lib.toSentenceCase kernel;
          processor = cpu;
        };
        parsed = {
          cpu = {
            name = cpu;
            bits = if is64 cpu then 64 else 32;
          };
          kernel.name = kernel;
        };
        ociArchitecture = go.arch;
        ociVariant = go.variant or null;
        isLinux = kernel == "linux";
        isDarwin = kernel == "darwin";
        isUnix = true;
        isWindows = false;
        isx86_64 = cpu == "x86_64";
        isi686 = cpu == "i686";
        isx86 = cpu == "x86_64" || cpu == "i686";
        isAarch64 = cpu == "aarch64";
        isAarch32 = cpu == "armv7l" || cpu == "armv6l";
        isRiscV = lib.hasPrefix "riscv" cpu;
        isPower = lib.hasPrefix "powerpc" cpu;
        is64bit = is64 cpu;
        is32bit = !is64 cpu;
        isStatic = false;
        isMusl = false;
        isGnu = kernel == "linux";
        __toString = _: system;
      };
  flakeExposed = lib.platforms.all;
}
