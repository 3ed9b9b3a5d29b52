# A home: hundreds of modules, of which few are used.
{ lib, core, homeManager }:
let
  packages = import core { };
  newer = import lib;
  pkgs = packages // { lib = newer; };
  home = import (homeManager + "/modules") {
    inherit pkgs;
    lib = newer;
    configuration = {
      home = { username = "user"; homeDirectory = "/home/user"; stateVersion = "24.05"; };
      home.sessionVariables = { EDITOR = "vi"; PAGER = "less"; };
      home.file.".profile".text = "umask 022";
      manual.manpages.enable = false;
      programs.home-manager.enable = false;
      news.display = "silent";
    };
  };
in
home.activationPackage.drvPath
