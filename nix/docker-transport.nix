# Images from registries, and to other programs: nixpkgs' `pullImage`, `mergeImages` and `exportImage`.
{
  # The digests of base images by NAME:TAG, as wharf.lock has them.
  pins,
  system,
  # The processor that images are for unless they say otherwise, by Go's name.
  defaultArchitecture,
  # Warns that an option of nixpkgs' virtual machine has no effect.
  withoutGuest,
}:

let
  optional = name: value: if value == null then { } else { ${name} = value; };
in

{
  pullImage =
    {
      imageName,
      # Without one, what wharf.lock has.
      imageDigest ? null,
      sha256 ? null,
      hash ? null,
      os ? "linux",
      arch ? defaultArchitecture,
      variant ? null,
      finalImageName ? imageName,
      finalImageTag ? "latest",
      tlsVerify ? true,
      name ? builtins.replaceStrings [ "/" ":" ] [ "-" "-" ] "docker-image-${finalImageName}-${finalImageTag}.tar",
    }:
    let
      key = "${imageName}:${finalImageTag}";
      digest =
        if imageDigest != null then
          imageDigest
        else
          pins.${key}.digest
            or (throw "pullImage: ${key} has neither an imageDigest nor an entry in wharf.lock; `wharf lock` writes one");
      image = derivation (
        {
          inherit name system imageName os arch finalImageName finalImageTag tlsVerify;
          imageDigest = digest;
          builder = "builtin:oci-pull";
          __structuredAttrs = true;
        }
        // optional "variant" variant
        // optional "hash" (if hash != null then hash else sha256)
      );
    in
    if sha256 != null && hash != null then
      throw "pullImage: ${imageName}: only one of hash and sha256 can be set"
    else if builtins.match "sha256:[0-9a-f]{64}" digest == null then
      throw "pullImage: ${imageName}: imageDigest: expected \"sha256:\" and 64 hexadecimal digits, found ${builtins.toJSON digest}"
    else
      image
      // {
        imageDigest = digest;
        imageName = finalImageName;
        imageTag = finalImageTag;
      };

  mergeImages =
    images:
    derivation {
      name = "merge-docker-images";
      inherit system images;
      builder = "builtin:oci-merge";
      __structuredAttrs = true;
    };

  exportImage =
    {
      fromImage,
      name ? fromImage.name,
      fromImageName ? null,
      fromImageTag ? null,
      diskSize ? 1024,
    }:
    withoutGuest "exportImage" "diskSize" 1024 diskSize (derivation {
      inherit name system;
      builder = "builtin:oci-export";
      __structuredAttrs = true;
      export = { inherit fromImage fromImageName fromImageTag; };
    });
}
