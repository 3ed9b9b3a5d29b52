# Modules that define `containers.<name>`, evaluated to plain data and images:
#
#   json       the definition, as text that the deploy crate reads
#   images     by container: a derivation of an image, or a reference
#   warnings   what the modules warn of
#   options    the declarations, for documentation
{
  # The package set, which modules get as `pkgs`.
  pkgs,
  # Files, functions or sets.
  modules,
  # Further arguments for the modules.
  specialArgs ? { },
}:
let
  inherit (pkgs) lib;

  base =
    { lib, ... }:
    {
      _file = "wharf";
      imports = [
        ./module.nix
        ./nspawn-options.nix
      ];
      options = {
        assertions = lib.mkOption {
          type = lib.types.listOf lib.types.unspecified;
          default = [ ];
          description = "Conditions that must hold, each { assertion, message }.";
        };
        warnings = lib.mkOption {
          type = lib.types.listOf lib.types.str;
          default = [ ];
          description = "What is said when the definition is used.";
        };
      };
      config._module.args.pkgs = lib.mkDefault pkgs;
    };

  evaluated = lib.evalModules {
    class = "wharf";
    modules = [ base ] ++ modules;
    inherit specialArgs;
  };
  inherit (evaluated) config;

  where = name: "containers.${lib.escapeNixIdentifier name}";

  # One way to say what is run.
  imageOf =
    name: c:
    let
      sources = lib.filter (source: c.${source} != null) [
        "image"
        "package"
        "config"
      ];
    in
    if sources == [ ] then
      throw "${where name} has nothing to run: define `image', `package' or `config'."
    else if lib.length sources > 1 then
      throw "${where name} defines ${lib.concatMapStringsSep " and " (s: "`${s}'") sources}; only one of them can be what runs."
    else if c.image != null then
      c.image
    else if c.package != null then
      packageImage name c
    else
      systemImage name c;

  # What the definition says to run is in the image too, and with it all that it refers to.
  packageImage =
    name: c:
    pkgs.dockerTools.buildLayeredImage {
      inherit name;
      tag = c.package.version or null;
      config = {
        Cmd = if c.cmd != null || c.entrypoint != null then (if c.cmd != null then c.cmd else [ ]) else [ (lib.getExe c.package) ];
        Env = lib.mapAttrsToList (variable: value: "${variable}=${value}") c.env;
        ExposedPorts = lib.listToAttrs (map (p: lib.nameValuePair "${toString p.container}/${p.protocol}" { }) c.ports);
        Volumes = lib.mapAttrs' (_: v: lib.nameValuePair v.path { }) c.volumes;
      }
      // lib.optionalAttrs (c.entrypoint != null) { Entrypoint = c.entrypoint; };
    };

  systemImage =
    name: c:
    let
      system = pkgs.nixos {
        imports = [ c.config ];
        boot.isContainer = true;
        networking.hostName = lib.mkDefault name;
      };
    in
    if !(pkgs ? nixos) then
      throw "${where name}.config is a NixOS configuration, and the package set in use has no NixOS. Lock nixpkgs for the project, or define `image' or `package'."
    else
      pkgs.dockerTools.buildLayeredImage {
        inherit name;
        config.Entrypoint = [ "${system.config.system.build.toplevel}/init" ];
      };

  healthOf =
    name: health:
    let
      kinds = lib.filter (kind: health.${kind} != null) [
        "http"
        "tcp"
        "exec"
      ];
    in
    if lib.length kinds != 1 then
      throw "${where name}.health takes exactly one of `http', `tcp' and `exec'."
    else
      {
        check = lib.getAttrs kinds health;
        inherit (health)
          interval
          timeout
          retries
          startPeriod
          ;
      };

  ingressOf =
    name: ports: ingress:
    if ingress.port != null then
      ingress
    else if lib.length ports == 1 then
      ingress // { port = (lib.head ports).container; }
    else
      throw "${where name}.ingress of ${ingress.host} has to say which `port' it leads to, since the container has ${toString (lib.length ports)}.";

  forwarded = p: rec {
    inherit (p) protocol;
    host = p.hostPort;
    container = if p.containerPort != null then p.containerPort else p.hostPort;
    address = null;
    name = "${protocol}-${toString container}";
  };

  withoutNulls = lib.filterAttrs (_: v: v != null);

  containerData =
    name: c:
    let
      ports = c.ports ++ map forwarded c.forwardPorts;
    in
    withoutNulls {
      inherit (c)
        entrypoint
        cmd
        workdir
        env
        secrets
        files
        volumes
        tmpfs
        readOnlyRoot
        restart
        user
        dependsOn
        replicas
        autoStart
        ;
      inherit ports;
      bindMounts = lib.mapAttrs' (
        _: m: lib.nameValuePair m.mountPoint { inherit (m) hostPath isReadOnly; }
      ) c.bindMounts;
      health = if c.health == null then null else healthOf name c.health;
      resources = {
        requests = withoutNulls c.resources.requests;
        limits = withoutNulls c.resources.limits;
      };
      capabilities = {
        add = c.capabilities.add ++ map (lib.removePrefix "CAP_") c.additionalCapabilities;
        inherit (c.capabilities) drop;
      };
      devices =
        c.devices
        ++ map (d: {
          path = d.node;
          permissions = d.modifier;
        }) c.allowedDevices;
      ingress = map (ingressOf name ports) c.ingress;
      nspawn = c.nspawnOptionsInUse;
    };

  failed = map (a: a.message) (lib.filter (a: !a.assertion) config.assertions);
  checked =
    if failed != [ ] then
      throw "The definition's own assertions fail:\n${lib.concatMapStringsSep "\n" (m: "- ${m}") failed}"
    else
      config;
in
{
  # What the texts refer to comes with the images, so they are text only here.
  json = builtins.unsafeDiscardStringContext (
    builtins.toJSON { containers = lib.mapAttrs containerData checked.containers; }
  );
  images = lib.mapAttrs imageOf checked.containers;
  inherit (checked) warnings;
  inherit (evaluated) options;
}
