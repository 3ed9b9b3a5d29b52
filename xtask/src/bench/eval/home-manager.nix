# A home: hundreds of modules, of which few are used.
{ lib, core, homeManager, nixpkgs }:
let
  packages = import core { };
  library = import (homeManager + "/modules/lib/stdlib-extended.nix") (import lib);
  # Some modules import modules of NixOS, which the small tree of packages lacks.
  missing = builtins.listToAttrs (map (name: { inherit name; value = packages.writeText name name // { meta.mainProgram = name; }; }) [
    "dconf" "desktop-file-utils" "inetutils" "less" "lndir" "sd-switch" "shared-mime-info"
  ]);
  pkgs = missing // packages // {
    lib = library;
    path = nixpkgs;
    replaceVars = file: values: packages.writeText "replaced" (toString file + builtins.toJSON values);
    formats = builtins.mapAttrs (_: newerFormat) (import (core + "/pkgs/pkgs-lib") { inherit pkgs; lib = library; }).formats;
  };
  # The modules are newer than the packages, and so are the formats that they expect.
  newerFormat = make: arguments: make arguments // { lib.types.atom = library.types.anything; };
  home = library.evalModules {
    class = "homeManager";
    specialArgs.modulesPath = homeManager + "/modules";
    modules = import (homeManager + "/modules/modules.nix") {
      inherit pkgs;
      lib = library;
      useNixpkgsModule = false;
    } ++ [
      {
        disabledModules = [ (homeManager + "/modules/services-modular") ];
        home = { username = "user"; homeDirectory = "/home/user"; stateVersion = "24.05"; };
        home.sessionVariables = { EDITOR = "vi"; PAGER = "less"; };
        home.file.".profile".text = "umask 022";
        manual.manpages.enable = false;
        programs.man.enable = false;
        systemd.user.systemctlPath = "/bin/systemctl";
        news.display = "silent";
      }
    ];
  };
in
home.config.home.activationPackage
