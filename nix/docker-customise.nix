# Layers that commands have made: `layer.tar` in the output of a derivation.
{
  system,
  # Packages of Wharf's own set: `wharf` has bin/wharf, `userland` has bin/sh and the core utilities.
  wharf,
  userland,
  # What commands are written for: a builder of derivations, a shell and the core utilities.
  runCommand,
  runtimeShell,
  coreutils,
}:

let
  # chown and chgrp as Wharf has them: who owns what is recorded, since nobody in a sandbox may give a file away. They
  # come before those of the set that commands are written for.
  owners = derivation {
    name = "owners";
    inherit system;
    builder = "${userland}/bin/sh";
    args = [
      "-e"
      "-c"
      ''
        export PATH=${userland}/bin
        mkdir -p $out/bin
        ln -s ${wharf}/bin/wharf $out/bin/chown
        ln -s ${wharf}/bin/wharf $out/bin/chgrp
      ''
    ];
  };

  prelude = path: ''
    export PATH=${path}
  '';
in

{
  # Merges `contents` into a directory, runs commands there, and packs what they left.
  commands =
    {
      name,
      merge,
      contents,
      before ? "",
      asRoot ? "",
      uid ? 0,
      gid ? 0,
    }:
    runCommand name { inherit contents before asRoot; } ''
      mkdir layer $out
      ${wharf}/bin/wharf layer ${merge} layer $contents
      if [ -n "$before" ]; then
        (cd layer; eval "$before")
      fi
      if [ -n "$asRoot" ]; then
        export WHARF_OWNERSHIP=$PWD/ownership
        (PATH=${owners}/bin:$PATH; cd layer; eval "$asRoot")
        unset WHARF_OWNERSHIP
      fi
      : >> ownership
      ${wharf}/bin/wharf layer pack --uid ${toString uid} --gid ${toString gid} --ownership ownership layer $out/layer.tar
    '';

  # The same in a sandbox whose root is the image's: over a base image if there is one, `asRoot` inside it as user 0,
  # and `before` and `after` beside it.
  asRoot =
    {
      name,
      merge,
      contents,
      fromImage ? null,
      fromImageName ? null,
      fromImageTag ? null,
      before ? "",
      asRoot,
      after ? "",
      # Whether the image gets /tmp.
      tmp ? false,
    }:
    let
      step = place: path: text: { inherit place; text = prelude path + text; };
      beside = text: if text == "" then [ ] else [ (step "beside" "${owners}/bin:${coreutils}/bin" text) ];
    in
    derivation {
      inherit name system;
      builder = "builtin:oci-root";
      __structuredAttrs = true;
      root = {
        inherit fromImage fromImageName fromImageTag merge contents tmp;
        shell = runtimeShell;
        commands =
          beside before
          ++ [ (step "inside" "${owners}/bin:${coreutils}/bin:/bin" asRoot) ]
          ++ beside after;
      };
    };
}
