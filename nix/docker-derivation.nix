# The derivation of an image, and the attributes that nixpkgs' have.
{
  lib,
  system,
  # Go's names of the processors by system.
  architectures,
}:

let
  buildSystem = system;
  config' = import ./docker-config.nix { inherit lib; };

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

  # The systems that one image is wanted for; none is the one that the packages are for.
  systemsOf =
    function: system:
    let
      systems = if builtins.isList system then system else [ system ];
      unknown = builtins.filter (one: !(builtins.isString one && builtins.hasAttr one architectures)) systems;
    in
    if system == null then
      [ ]
    else if systems == [ ] || unknown != [ ] then
      throw "${function}: system: expected systems such as [ \"x86_64-linux\" \"aarch64-linux\" ], found ${builtins.toJSON system}"
    else
      lib.unique systems;

  # A derivation whose attributes can be overridden, as those of mkDerivation.
  overridable =
    finish: attrs:
    let
      inner = removeAttrs attrs [ "meta" "passthru" ];
      result = finish attrs (derivation inner) // {
        overrideAttrs = change: overridable finish (attrs // lib.toExtension change result attrs);
      };
    in
    result;

  withAttributes =
    { tag, name, imageSystems }:
    attrs: drv:
    drv
    // attrs.passthru
    // {
      inherit (attrs) meta passthru;
      # Wharf evaluates the definition again for each of them, and makes an index of what it gets.
      inherit imageSystems;
      imageName = lib.toLower name;
      imageTag = if tag != null then tag else hashPart drv.outPath;
    }
    # What the definition calls `tag`, so that `wharf eval FILE -A tag` answers.
    // lib.optionalAttrs (tag != null) { inherit tag; };
in

{
  inherit overridable withAttributes;

  # The name of a derivation made for an image: what follows the last slash, in the characters that names may have.
  baseName = name: builtins.replaceStrings [ ":" "@" ] [ "-" "-" ] (baseNameOf name);

  # `image` is what `builtin:oci-image` is asked for; `function` is the caller's name, for messages.
  makeImage =
    {
      function,
      image,
      meta,
      passthru ? { },
      # `system` of the caller: the systems that the image is wanted for.
      system,
    }:
    let
      inherit (image) tag;
      name = checkName function image.name;
      imageSystems = systemsOf function system;
    in
    overridable (withAttributes { inherit name tag imageSystems; }) {
      name = "image-${builtins.replaceStrings [ ":" "@" ] [ "-" "-" ] (baseNameOf name)}";
      inherit meta passthru;
      system = buildSystem;
      builder = "builtin:oci-image";
      __structuredAttrs = true;
      imageName = lib.toLower name;
      imageTag = if tag != null then tag else "";
      image = image // {
        config = config'.check function image.config;
        compressor = checkCompressor function image.compressor;
      };
    };
}
