# The certificate authorities that Mozilla trusts, as the wharf binary carries them.
{
  lib,
  wharf,
  system,
}:
lib.extendDerivation true
  {
    pname = "cacert";
    version = wharf.version;
    meta.description = "Certificate authorities trusted by Mozilla";
  }
  (derivation {
    name = "cacert";
    inherit system;
    builder = "${wharf}/bin/wharf";
    args = [
      "userland"
      "--cacert"
      (placeholder "out")
    ];
    preferLocalBuild = true;
    allowSubstitutes = false;
  })
