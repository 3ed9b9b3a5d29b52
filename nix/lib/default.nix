# The library of the built-in package set: the functions that container definitions and modules use, with the names,
# arguments and results that nixpkgs documents for its `lib`. Each file is one domain and is also reachable under its
# domain's name (`lib.strings.toUpper` is `lib.toUpper`).
let
  lib = fix (
    lib:
    let
      domain = file: import file { inherit lib; };
      domains = {
        trivial = domain ./trivial.nix;
        fixedPoints = domain ./fixed-points.nix;
        attrsets = domain ./attrsets.nix;
        lists = domain ./lists.nix;
        strings = domain ./strings.nix // domain ./escape.nix;
        stringsWithDeps = domain ./strings-with-deps.nix;
        versions = domain ./versions.nix;
        asserts = domain ./asserts.nix;
        debug = domain ./debug.nix;
        customisation = domain ./customisation.nix;
        meta = domain ./meta.nix;
        sources = domain ./sources.nix;
        filesystem = domain ./filesystem.nix;
        generators = domain ./generators.nix;
        cli = domain ./cli.nix;
        options = domain ./options.nix;
        modules = domain ./properties.nix // domain ./modules.nix // domain ./module-renames.nix;
      };
    in
    # `hasPrefix` and `removePrefix` are about strings here, `replicate` about lists.
    domains.trivial
    // domains.fixedPoints
    // domains.attrsets
    // domains.lists
    // removeAttrs domains.strings [ "replicate" ]
    // domains.asserts
    // domains.debug
    // domains.customisation
    // domains.meta
    // domains.sources
    // domains.filesystem
    // domains.options
    // domains.modules
    // domains.stringsWithDeps
    // domains
    // {
      inherit lib;
      types =
        domain ./types.nix // domain ./scalar-types.nix // domain ./composed-types.nix // domain ./submodule-types.nix;
      inherit (lib.types)
        defaultFunctor
        defaultTypeMerge
        isOptionType
        isType
        mkOptionType
        setType
        ;
      inherit (lib.generators) mkLuaInline;
      inherit (lib.versions) splitVersion;
      # This library with more in it.
      extend = overlay: fix (final: lib // { extend = f: lib.extend (lib.composeExtensions overlay f); } // overlay final lib);
      licenses = import ./licenses.nix;
      maintainers = { };
      teams = { };
      platforms = import ./platforms.nix;
      systems = domain ./systems.nix;

      fakeHash = "sha256-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
      fakeSha256 = "0000000000000000000000000000000000000000000000000000000000000000";

      inherit (builtins)
        addErrorContext
        baseNameOf
        deepSeq
        dirOf
        fromJSON
        genericClosure
        getContext
        hasContext
        hashFile
        hashString
        parseDrvName
        placeholder
        readDir
        storeDir
        toJSON
        toPath
        toString
        trace
        tryEval
        typeOf
        unsafeDiscardStringContext
        unsafeGetAttrPos
        ;
    }
  );

  fix =
    f:
    let
      x = f x;
    in
    x;
in
lib
