# The module system over 400 modules that define, merge, override and submodule.
{ lib }:
let
  library = import lib;
  inherit (library) mkOption mkIf mkMerge mkDefault mkForce types;
  module = i: { config, ... }: {
    options.service."s${toString i}" = {
      enable = mkOption { type = types.bool; default = false; };
      name = mkOption { type = types.str; default = "service-${toString i}"; };
      ports = mkOption { type = types.listOf types.port; default = [ ]; };
      settings = mkOption { type = types.attrsOf (types.either types.int types.str); default = { }; };
    };
    config = mkMerge [
      {
        service."s${toString i}" = {
          enable = mkDefault (i - i / 3 * 3 == 0);
          ports = [ (1000 + i) ];
          settings.level = mkDefault i;
        };
      }
      (mkIf config.service."s${toString i}".enable {
        packages = [ "package-${toString i}" ];
        users."user${toString (i / 8)}" = { groups = [ "group-${toString i}" ]; shell = mkForce "/bin/sh"; };
      })
    ];
  };
  common.options = {
    packages = mkOption { type = types.listOf types.str; default = [ ]; };
    users = mkOption {
      default = { };
      type = types.attrsOf (types.submodule ({ name, ... }: {
        options.name = mkOption { type = types.str; default = name; };
        options.shell = mkOption { type = types.str; default = "/bin/false"; };
        options.groups = mkOption { type = types.listOf types.str; default = [ ]; };
      }));
    };
  };
  result = library.evalModules { modules = [ common ] ++ map module (library.range 1 400); };
in
builtins.hashString "sha256" (builtins.toJSON result.config)
