# The image functions of nixpkgs' `dockerTools`: same names, arguments and defaults. An image is a derivation like any
# other; its builder is part of Wharf and assembles it straight from store objects.
{
  # The functions of this package set.
  lib,
  # The system that builds, and that images are for unless they say otherwise.
  system,
  # Packages of this set: `wharf` has bin/wharf, `userland` has bin/sh and the core utilities.
  wharf,
  userland,
  cacert,
  # Builders of this set.
  runCommand,
}:

let
  inherit (lib) makeOverridable;

  config' = import ./docker-config.nix { inherit lib; };
  roots = import ./docker-roots.nix { inherit userland cacert runCommand; };
  transport = import ./docker-transport.nix { inherit system defaultArchitecture withoutGuest; };

  goArchitectures = {
    x86_64-linux = "amd64";
    aarch64-linux = "arm64";
    i686-linux = "386";
    armv7l-linux = "arm";
    armv6l-linux = "arm";
    powerpc64le-linux = "ppc64le";
    riscv64-linux = "riscv64";
    s390x-linux = "s390x";
  };
  defaultArchitecture = goArchitectures.${system} or (throw "no image architecture is known for the system ${system}");

  defaultCreated = "1970-01-01T00:00:01Z";

  # nixpkgs compresses the archive by gzip. An archive that is not compressed is the one that docker, podman and all
  # versions of skopeo read, and it costs no time; layers are compressed when they are pushed.
  defaultCompressor = "none";

  toList = value: if builtins.isList value then value else [ value ];

  # The name of a derivation made for an image: what follows the last slash, in the characters that names may have.
  baseName = name: builtins.replaceStrings [ ":" "@" ] [ "-" "-" ] (baseNameOf name);

  hashPart = path: builtins.substring 0 32 (baseNameOf (builtins.unsafeDiscardStringContext path));

  checkCompressor =
    function: compressor:
    if builtins.elem compressor [ "none" "gz" "zstd" ] then
      compressor
    else
      throw "${function}: compressor: expected one of \"none\", \"gz\" and \"zstd\", found ${builtins.toJSON compressor}";

  checkName =
    function: name:
    if builtins.isString name && name != "" then
      name
    else
      throw "${function}: name: expected a string such as \"registry.example.org/app\"";

  # The derivation of an image, and the attributes that nixpkgs' have.
  makeImage =
    {
      function,
      name,
      tag,
      created,
      architecture,
      variant,
      config,
      fromImage,
      fromImageName ? null,
      fromImageTag ? null,
      compressor,
      includeNixDB,
      layers,
      meta,
      passthru ? { },
    }:
    let
      image = derivation {
        name = "image-${baseName (checkName function name)}";
        inherit system;
        builder = "builtin:oci-image";
        __structuredAttrs = true;
        image = {
          inherit
            name
            tag
            created
            architecture
            variant
            fromImage
            fromImageName
            fromImageTag
            includeNixDB
            layers
            ;
          config = config'.check function config;
          compressor = checkCompressor function compressor;
        };
      };
    in
    image
    // passthru
    // {
      inherit meta;
      imageName = lib.toLower name;
      imageTag = if tag != null then tag else hashPart image.outPath;
    }
    # What the definition calls `tag`, so that `wharf eval FILE -A tag` answers.
    // lib.optionalAttrs (tag != null) { inherit tag; };

  # A derivation that merges `contents` into a directory, runs commands there, and packs what they left as layer.tar.
  customise =
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
      export PATH=${userland}/bin
      mkdir layer $out
      ${wharf}/bin/wharf layer ${merge} layer $contents
      if [ -n "$before" ]; then
        (cd layer; eval "$before")
      fi
      if [ -n "$asRoot" ]; then
        # Who owns what is recorded, since nobody in a sandbox may give a file away.
        export WHARF_OWNERSHIP=$PWD/ownership
        (cd layer; eval "$asRoot")
        unset WHARF_OWNERSHIP
      fi
      touch ownership
      ${wharf}/bin/wharf layer pack --uid ${toString uid} --gid ${toString gid} --ownership ownership layer $out/layer.tar
    '';

  # What cannot have a meaning here is said, not dropped.
  withoutGuest =
    function: option: default: value: result:
    if value == default then
      result
    else
      builtins.trace "warning: ${function}: ${option} has no effect: Wharf runs commands without a virtual machine" result;

  buildImage = makeOverridable (
    {
      name,
      tag ? null,
      fromImage ? null,
      fromImageName ? null,
      fromImageTag ? null,
      copyToRoot ? null,
      contents ? null,
      keepContentsDirlinks ? false,
      config ? null,
      architecture ? defaultArchitecture,
      variant ? null,
      extraCommands ? "",
      uid ? 0,
      gid ? 0,
      diskSize ? 1024,
      buildVMMemorySize ? 512,
      created ? defaultCreated,
      compressor ? defaultCompressor,
      includeNixDB ? false,
      meta ? { },
    }@args:
    let
      rootContents =
        if contents != null && copyToRoot != null then
          throw "buildImage: ${name}: contents is the old name of copyToRoot; only one of them can be set"
        else if copyToRoot != null then
          toList copyToRoot
        else if contents != null then
          toList contents
        else
          [ ];
      customised = customise {
        name = "docker-layer-${baseName name}";
        merge = if keepContentsDirlinks then "copy --keep-dirlinks" else "copy";
        contents = rootContents;
        before = extraCommands;
        inherit uid gid;
      };
      image = makeImage {
        function = "buildImage";
        inherit name tag created architecture variant config fromImage fromImageName fromImageTag;
        inherit compressor includeNixDB meta;
        layers.single = {
          contents = rootContents;
          customised = if extraCommands == "" then null else customised;
          inherit keepContentsDirlinks uid gid;
        };
        passthru.buildArgs = args;
      };
    in
    withoutGuest "buildImage" "diskSize" 1024 diskSize (
      withoutGuest "buildImage" "buildVMMemorySize" 512 buildVMMemorySize image
    )
  );

  layeredImage =
    function:
    {
      name,
      tag,
      fromImage,
      contents,
      config,
      architecture,
      variant,
      created,
      mtime,
      uid,
      gid,
      uname,
      gname,
      maxLayers,
      layeringPipeline,
      debug,
      extraCommands,
      fakeRootCommands,
      includeStorePaths,
      includeNixDB,
      compressor,
      meta,
      passthru,
    }:
    let
      rootContents = toList contents;
      customised = customise {
        name = "${baseName name}-customisation-layer";
        merge = "link";
        contents = rootContents;
        before = extraCommands;
        asRoot = fakeRootCommands;
      };
    in
    if !builtins.isInt maxLayers || maxLayers < 2 then
      throw "${function}: maxLayers: expected a number from 2 to 127"
    else
      makeImage {
        inherit function name tag created architecture variant config fromImage compressor includeNixDB meta passthru;
        layers.layered = {
          contents = rootContents;
          customised = if extraCommands == "" && fakeRootCommands == "" then null else customised;
          inherit includeStorePaths maxLayers layeringPipeline debug mtime uid gid uname gname;
        };
      };

  buildLayeredImage = makeOverridable (
    {
      name,
      tag ? null,
      fromImage ? null,
      contents ? [ ],
      config ? { },
      architecture ? defaultArchitecture,
      variant ? null,
      created ? defaultCreated,
      mtime ? defaultCreated,
      uid ? 0,
      gid ? 0,
      uname ? "root",
      gname ? "root",
      maxLayers ? 100,
      layeringPipeline ? null,
      debug ? false,
      extraCommands ? "",
      fakeRootCommands ? "",
      includeStorePaths ? true,
      compressor ? defaultCompressor,
      includeNixDB ? false,
      meta ? { },
      passthru ? { },
    }:
    layeredImage "buildLayeredImage" {
      inherit name tag fromImage contents config architecture variant created mtime uid gid uname gname maxLayers;
      inherit layeringPipeline debug extraCommands fakeRootCommands includeStorePaths compressor includeNixDB meta passthru;
    }
  );

  streamLayeredImage = makeOverridable (
    {
      name,
      tag ? null,
      fromImage ? null,
      contents ? [ ],
      config ? { },
      architecture ? defaultArchitecture,
      variant ? null,
      created ? defaultCreated,
      mtime ? defaultCreated,
      uid ? 0,
      gid ? 0,
      uname ? "root",
      gname ? "root",
      maxLayers ? 100,
      layeringPipeline ? null,
      debug ? false,
      extraCommands ? "",
      fakeRootCommands ? "",
      includeStorePaths ? true,
      includeNixDB ? false,
      meta ? { },
      passthru ? { },
    }:
    let
      image = layeredImage "streamLayeredImage" {
        inherit name tag fromImage contents config architecture variant created mtime uid gid uname gname maxLayers;
        inherit layeringPipeline debug extraCommands fakeRootCommands includeStorePaths includeNixDB meta passthru;
        compressor = "none";
      };
      # The second line is how Wharf finds the image that the script streams.
      script = runCommand "stream-${baseName name}" { } ''
        {
          echo '#!${userland}/bin/sh'
          echo '# image: ${image}'
          echo 'exec ${wharf}/bin/wharf layer stream ${image} "$@"'
        } > $out
        chmod +x $out
      '';
    in
    script
    // passthru
    // {
      inherit image meta;
      inherit (image) imageName imageTag;
    }
  );

  buildImageWithNixDb = args: buildImage (args // { includeNixDB = true; });

  buildLayeredImageWithNixDb = args: buildLayeredImage (args // { includeNixDB = true; });
in

{
  inherit
    buildImage
    buildImageWithNixDb
    buildLayeredImage
    buildLayeredImageWithNixDb
    streamLayeredImage
    ;
  inherit (transport) exportImage mergeImages pullImage;
  inherit (roots)
    binSh
    caCertificates
    fakeNss
    shadowSetup
    usrBinEnv
    ;
}
