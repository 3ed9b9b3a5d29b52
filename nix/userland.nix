# The shell and utilities of the wharf binary as a directory of links to it.
{
  lib,
  wharf,
  system,
}:
lib.extendDerivation true
  {
    pname = "userland";
    version = wharf.version;
    shellPath = "/bin/bash";
    meta = {
      description = "A shell and core utilities, carried by wharf";
      mainProgram = "bash";
      # Programs of their own win over these.
      priority = 10;
    };
  }
  (derivation {
    name = "userland";
    inherit system;
    builder = "${wharf}/bin/wharf";
    args = [
      "userland"
      "--install"
      (placeholder "out")
    ];
    preferLocalBuild = true;
    allowSubstitutes = false;
  })
