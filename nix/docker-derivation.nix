# The derivation of an image, and the attributes that nixpkgs' have.
{
  lib,
  system,
}:

let
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
    { tag, name }:
    attrs: drv:
    drv
    // attrs.passthru
    // {
      inherit (attrs) meta passthru;
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
    }:
    let
      inherit (image) tag;
      name = checkName function image.name;
    in
    overridable (withAttributes { inherit name tag; }) {
      name = "image-${builtins.replaceStrings [ ":" "@" ] [ "-" "-" ] (baseNameOf name)}";
      inherit system meta passthru;
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
