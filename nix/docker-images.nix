# `buildImage`, `buildLayeredImage` and `streamLayeredImage`: same names, arguments and defaults as in nixpkgs.
{
  lib,
  system,
  userland,
  wharf,
  runCommand,
  # docker-derivation.nix, docker-customise.nix and docker-extras.nix.
  derivations,
  customise,
  extras,
  # Go's name of the processor that images are for unless they say otherwise.
  defaultArchitecture,
  # Warns that an option of nixpkgs' virtual machine has no effect.
  withoutGuest,
}:

let
  inherit (lib) functionArgs makeOverridable setFunctionArgs;
  inherit (derivations) baseName makeImage;

  defaultCreated = "1970-01-01T00:00:01Z";

  # nixpkgs compresses the archive by gzip. An archive that is not compressed is the one that docker, podman and all
  # versions of skopeo read, and it costs no time; layers are compressed when they are pushed.
  defaultCompressor = "none";

  toList = value: if builtins.isList value then value else [ value ];

  rootContents =
    { name, copyToRoot, contents }:
    if contents != null && copyToRoot != null then
      throw "buildImage: ${name}: contents is the old name of copyToRoot; only one of them can be set"
    else if copyToRoot != null then
      toList copyToRoot
    else if contents != null then
      toList contents
    else
      [ ];

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
      runAsRoot ? null,
      uid ? 0,
      gid ? 0,
      diskSize ? 1024,
      buildVMMemorySize ? 512,
      created ? defaultCreated,
      compressor ? defaultCompressor,
      includeNixDB ? false,
      meta ? { },
      annotations ? { },
      labels ? { },
      user ? null,
      healthcheck ? null,
      tmp ? false,
      inheritConfig ? false,
      nixSnapshotter ? false,
      system ? null,
    }@args:
    let
      extra = extras.resolve "buildImage" { inherit config annotations labels user healthcheck tmp; };
      copied = rootContents { inherit name copyToRoot contents; } ++ extra.contents;
      layerName = "docker-layer-${baseName name}";
      layer =
        if runAsRoot == null then
          customise.commands {
            name = layerName;
            merge = if keepContentsDirlinks then "copy --keep-dirlinks" else "copy";
            contents = copied;
            before = extraCommands;
            inherit uid gid;
          }
        else
          customise.asRoot {
            name = layerName;
            merge = if keepContentsDirlinks then "copy-keep-dirlinks" else "copy";
            contents = copied;
            inherit fromImage fromImageName fromImageTag;
            asRoot = runAsRoot;
            tmp = true;
            after = extraCommands;
          };
      image = makeImage {
        function = "buildImage";
        inherit meta system;
        image = {
          inherit name tag created architecture variant fromImage fromImageName fromImageTag;
          inherit compressor includeNixDB inheritConfig nixSnapshotter;
          inherit (extra) config annotations directories;
          layers.single = {
            contents = copied;
            customised = if extraCommands == "" && runAsRoot == null then null else layer;
            inherit keepContentsDirlinks uid gid;
          };
        };
        passthru = {
          inherit layer;
          buildArgs = args;
        };
      };
    in
    withoutGuest "buildImage" "diskSize" 1024 diskSize (
      withoutGuest "buildImage" "buildVMMemorySize" 512 buildVMMemorySize image
    )
  );

  # The image of the two layered functions; `args` has every one of their arguments.
  layeredImage =
    function: args:
    let
      extra = extras.resolve function {
        inherit (args) config annotations labels user healthcheck tmp;
      };
      # The first of two files of one name is the one that counts.
      rootContents = extra.contents ++ toList args.contents;
      inherit (args) maxLayers extraCommands fakeRootCommands enableFakechroot;
      layer = {
        name = "${baseName args.name}-customisation-layer";
        merge = "link";
        contents = rootContents;
        before = extraCommands;
        asRoot = fakeRootCommands;
      };
      customised =
        if extraCommands == "" && fakeRootCommands == "" then
          null
        else if enableFakechroot && fakeRootCommands != "" then
          customise.asRoot layer
        else
          customise.commands layer;
    in
    if !builtins.isInt maxLayers || maxLayers < 2 then
      throw "${function}: maxLayers: expected a number from 2 to 127"
    else
      makeImage {
        inherit function;
        inherit (args) meta passthru system;
        image = {
          inherit (args) name tag created architecture variant fromImage compressor includeNixDB;
          inherit (args) inheritConfig nixSnapshotter;
          inherit (extra) config annotations directories;
          fromImageName = null;
          fromImageTag = null;
          layers.layered = {
            contents = rootContents;
            inherit customised maxLayers;
            groups = extras.groupsOf function args.layers;
            inherit (args) includeStorePaths layeringPipeline debug mtime uid gid uname gname;
          };
        };
      };

  # The arguments of both layered functions, with their defaults.
  layeredArguments =
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
      enableFakechroot ? false,
      includeStorePaths ? true,
      includeNixDB ? false,
      meta ? { },
      passthru ? { },
      layers ? [ ],
      annotations ? { },
      labels ? { },
      user ? null,
      healthcheck ? null,
      tmp ? false,
      inheritConfig ? false,
      nixSnapshotter ? false,
      system ? null,
    }:
    {
      inherit name tag fromImage contents config architecture variant created mtime uid gid uname gname maxLayers;
      inherit layeringPipeline debug extraCommands fakeRootCommands enableFakechroot includeStorePaths;
      inherit includeNixDB meta passthru layers annotations labels user healthcheck tmp inheritConfig nixSnapshotter system;
    };

  # A function that takes those arguments, and says so to `builtins.functionArgs`.
  layeredFunction = more: function: makeOverridable (setFunctionArgs function (functionArgs layeredArguments // more));

  buildLayeredImage = layeredFunction { compressor = true; } (
    args:
    let
      given = removeAttrs args [ "compressor" ];
      all = layeredArguments given;
    in
    layeredImage "buildLayeredImage" (
      all
      // {
        compressor = args.compressor or defaultCompressor;
        passthru = all.passthru // {
          stream = streamLayeredImage given;
        };
      }
    )
  );

  streamLayeredImage = layeredFunction { } (
    args: streamOf (layeredImage "streamLayeredImage" (layeredArguments args // { compressor = "none"; }))
  );

  # A script that streams an image.
  streamOf =
    image:
    derivations.overridable
      (
        attrs: drv:
        drv
        // attrs.passthru
        // {
          inherit image;
          inherit (attrs) meta passthru;
          inherit (image) imageName imageTag imageSystems;
          # Tells those that take images that this one is to be run.
          isExe = true;
        }
      )
      {
        name = "stream-${baseName image.imageName}";
        inherit system;
        inherit (image) imageName meta passthru;
        builder = "${userland}/bin/sh";
        # The second line is how Wharf finds the image that the script streams.
        args = [
          "-e"
          "-c"
          ''
            {
              echo '#!${userland}/bin/sh'
              echo '# image: ${image}'
              echo 'exec ${wharf}/bin/wharf layer stream ${image} "$@"'
            } > $out
            ${userland}/bin/chmod +x $out
          ''
        ];
        preferLocalBuild = true;
      };
in

{
  inherit buildImage buildLayeredImage streamLayeredImage;
  buildImageWithNixDb = args: buildImage (args // { includeNixDB = true; });
  buildLayeredImageWithNixDb = args: buildLayeredImage (args // { includeNixDB = true; });
}
