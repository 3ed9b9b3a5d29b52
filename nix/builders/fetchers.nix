# Files and trees from the network, each pinned by a hash.
{ lib, final }:
let
  # The hash of any of the usual arguments, as the two attributes that a fixed-output derivation takes.
  outputHashOf =
    function:
    {
      hash ? "",
      sha512 ? "",
      sha256 ? "",
      sha1 ? "",
      md5 ? "",
      ...
    }:
    let
      given = lib.filter (h: h.outputHash != "" && h.outputHash != null) [
        {
          outputHash = hash;
          outputHashAlgo = null;
        }
        {
          outputHash = sha512;
          outputHashAlgo = "sha512";
        }
        {
          outputHash = sha256;
          outputHashAlgo = "sha256";
        }
        {
          outputHash = sha1;
          outputHashAlgo = "sha1";
        }
        {
          outputHash = md5;
          outputHashAlgo = "md5";
        }
      ];
    in
    if given == [ ] then
      throw "${function} requires a hash. Use `hash = lib.fakeHash;' to be told the right one."
    else if lib.length given > 1 then
      throw "multiple hashes passed to ${function}: only one can be checked"
    else
      lib.head given;

  # A function that fetches the tree of a repository at a revision or tag from forges with such archive addresses.
  fromForge =
    function: defaultDomain: address:
    {
      owner,
      repo,
      domain ? defaultDomain,
      rev ? null,
      tag ? null,
      name ? "source",
      hash ? "",
      sha256 ? "",
    }:
    assert lib.assertMsg (domain != null) "${function} requires a `domain'";
    assert lib.assertMsg ((rev == null) != (tag == null))
      "${function} requires one of either `rev' or `tag' to be provided (not both).";
    final.fetchzip {
      inherit name hash sha256;
      url = address {
        inherit domain owner repo;
        rev = if tag != null then "refs/tags/${tag}" else rev;
      };
    };
in
{
  # One file, from the first of its addresses that has it.
  fetchurl =
    {
      url ? "",
      urls ? [ ],
      name ? "",
      hash ? "",
      sha512 ? "",
      sha256 ? "",
      sha1 ? "",
      md5 ? "",
      executable ? false,
      recursiveHash ? executable,
      passthru ? { },
      meta ? { },
    }@args:
    let
      addresses = if urls != [ ] then urls else [ url ];
      first = lib.head addresses;
      fileName = if name != "" then name else baseNameOf first;
      h = outputHashOf "fetchurl" args;
    in
    assert lib.assertMsg (first != "") "fetchurl requires either `url' or `urls' to be set";
    assert lib.assertMsg (lib.length addresses == 1 || url == "") "fetchurl takes either `url' or `urls', not both";
    lib.extendDerivation true
      (
        {
          url = first;
          inherit meta;
        }
        // passthru
      )
      (derivation (
        {
          name = lib.sanitizeDerivationName fileName;
          system = "builtin";
          builder = "builtin:fetchurl";
          url = first;
          inherit executable;
          outputHashMode = if recursiveHash then "recursive" else "flat";
          inherit (h) outputHash outputHashAlgo;
          preferLocalBuild = true;
          impureEnvVars = [
            "http_proxy"
            "https_proxy"
            "ftp_proxy"
            "all_proxy"
            "no_proxy"
          ];
          unpack = false;
        }
        // lib.optionalAttrs (lib.length addresses > 1) { urls = addresses; }
      ));

  # The tree in an archive, without its single top directory.
  fetchzip =
    {
      url,
      name ? "source",
      hash ? "",
      sha256 ? "",
    }:
    assert lib.assertMsg (hash != "" || sha256 != "") "fetchzip requires a `hash'; use `lib.fakeHash' to be told the right one";
    builtins.fetchTarball {
      inherit url name;
      sha256 = if hash != "" then hash else sha256;
    };

  fetchFromGitHub = fromForge "fetchFromGitHub" "github.com" (
    at: "https://${at.domain}/${at.owner}/${at.repo}/archive/${at.rev}.tar.gz"
  );
  fetchFromGitLab = fromForge "fetchFromGitLab" "gitlab.com" (
    at: "https://${at.domain}/api/v4/projects/${at.owner}%2F${at.repo}/repository/archive.tar.gz?sha=${at.rev}"
  );
  fetchFromGitea = fromForge "fetchFromGitea" null (
    at: "https://${at.domain}/${at.owner}/${at.repo}/archive/${at.rev}.tar.gz"
  );
}
