# For NixOS: imports `containers.<name>` with images into a system's configuration. Containers with an `image` that is a
# reference, or with an image derivation, are run by podman; those with a `config` stay with systemd-nspawn.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkIf types;
  images = lib.filterAttrs (_: c: c.image != null || c.package != null) config.containers;

  # A derivation is loaded from the store, a reference is pulled.
  source =
    name: c:
    if c.package != null then
      source name {
        image = pkgs.dockerTools.buildLayeredImage {
          inherit name;
          config.Cmd = [ (lib.getExe c.package) ];
        };
        package = null;
      }
    else if builtins.isString c.image then
      {
        image = c.image;
        pull = "missing";
      }
    else
      {
        imageFile = c.image;
        image = "${c.image.imageName}:${c.image.imageTag}";
      };

  published =
    p:
    lib.optionalString (p.address != null) "${p.address}:"
    + lib.optionalString (p.host != null) "${toString p.host}:"
    + "${toString p.container}/${p.protocol}";
  readOnly = flag: lib.optionalString flag ":ro";
  healthCommand =
    h:
    if h.exec != null then
      lib.escapeShellArgs h.exec
    else if h.http != null then
      "wget -q -O /dev/null http://127.0.0.1:${toString h.http.port}${h.http.path} || exit 1"
    else
      "nc -z 127.0.0.1 ${toString h.tcp} || exit 1";

  # podman writes 256M for what is 256Mi elsewhere, and has no thousandths of processors.
  memory = lib.removeSuffix "i";
  processors = text: if lib.hasSuffix "m" text then toString (lib.toInt (lib.removeSuffix "m" text) / 1000.0) else text;

  ociContainer =
    name: c:
    source name c
    // {
      environment = c.env;
      ports =
        map published c.ports
        ++ map (
          p: "${toString p.hostPort}:${toString (if p.containerPort != null then p.containerPort else p.hostPort)}/${p.protocol}"
        ) c.forwardPorts;
      volumes =
        lib.mapAttrsToList (volume: v: "${name}-${volume}:${v.path}${readOnly v.readOnly}") c.volumes
        ++ lib.mapAttrsToList (
          path: m: "${if m.hostPath == null then m.mountPoint else m.hostPath}:${m.mountPoint}${readOnly m.isReadOnly}"
        ) c.bindMounts
        ++ lib.mapAttrsToList (path: text: "${pkgs.writeText (baseNameOf path) text}:${path}:ro") c.files;
      dependsOn = lib.attrNames c.dependsOn;
      devices =
        map (d: "${d.path}:${d.path}:${d.permissions}") c.devices
        ++ map (d: "${d.node}:${d.node}:${d.modifier}") c.allowedDevices;
      capabilities =
        lib.genAttrs (c.capabilities.add ++ map (lib.removePrefix "CAP_") c.additionalCapabilities) (_: true)
        // lib.genAttrs c.capabilities.drop (_: false);
      cmd = lib.optionals (c.entrypoint != null) (lib.tail c.entrypoint) ++ lib.optionals (c.cmd != null) c.cmd;
      extraOptions =
        map (entry: "--tmpfs=${entry}") c.tmpfs
        ++ lib.optional c.readOnlyRoot "--read-only"
        ++ lib.concatLists (
          lib.mapAttrsToList (
            secret: s:
            let
              stored = secret + lib.optionalString (s.key != null) "-${s.key}";
            in
            lib.optional (s.env != null) "--secret=${stored},type=env,target=${s.env}"
            ++ lib.optional (s.path != null) "--secret=${stored},type=mount,target=${s.path}"
          ) c.secrets
        )
        ++ lib.optionals (c.health != null) [
          "--health-cmd=${healthCommand c.health}"
          "--health-interval=${toString c.health.interval}s"
          "--health-timeout=${toString c.health.timeout}s"
          "--health-retries=${toString c.health.retries}"
          "--health-start-period=${toString c.health.startPeriod}s"
        ]
        ++ lib.optional (c.resources.limits.memory != null) "--memory=${memory c.resources.limits.memory}"
        ++ lib.optional (c.resources.requests.memory != null) "--memory-reservation=${memory c.resources.requests.memory}"
        ++ lib.optional (c.resources.limits.cpu != null) "--cpus=${processors c.resources.limits.cpu}";
    }
    // lib.optionalAttrs (c.entrypoint != null) { entrypoint = lib.head c.entrypoint; }
    // lib.optionalAttrs (c.workdir != null) { inherit (c) workdir; }
    // lib.optionalAttrs (c.user != null) { inherit (c) user; }
    # Containers that need this one wait until it works, if that can be told with what the image has for certain.
    // lib.optionalAttrs (c.health != null && c.health.exec != null) { podman.sdnotify = "healthy"; };

  # What is about systemd-nspawn says nothing of an image.
  nspawnOnly = [
    "hostAddress"
    "hostBridge"
    "interfaces"
    "localAddress"
    "macvlans"
  ];

  # What one machine cannot do is an error, as it is for the other targets.
  assertions = lib.concatLists (
    lib.mapAttrsToList (name: c: [
      {
        assertion = c.replicas == 1;
        message = "containers.${name}.replicas: NixOS runs one container of a name; it cannot be ${toString c.replicas}.";
      }
      {
        assertion = c.ingress == [ ];
        message = "containers.${name}.ingress: define services.nginx.virtualHosts, or let `wharf render --target nixos' write them.";
      }
    ]
    ++ map (option: {
      assertion = c.${option} == null || c.${option} == [ ];
      message = "containers.${name}.${option} is about systemd-nspawn, which does not run images.";
    }) nspawnOnly) images
  );
  warnings = lib.concatLists (
    lib.mapAttrsToList (
      name: c:
      lib.optional (c.resources.requests.cpu != null)
        "containers.${name}.resources.requests.cpu has no equal on one machine and has no effect."
    ) images
  );
in
{
  imports = [ ./module.nix ];

  # systemd-nspawn's part wants a system for every name; those that are images never start there.
  options.containers = lib.mkOption {
    type = types.attrsOf (
      types.submodule (
        { config, ... }:
        {
          config.path = mkIf (config.image != null || config.package != null) (lib.mkDefault "/var/empty");
        }
      )
    );
  };

  config = mkIf (images != { }) {
    inherit assertions warnings;
    virtualisation.oci-containers.backend = lib.mkDefault "podman";
    virtualisation.oci-containers.containers = lib.mapAttrs ociContainer images;
    systemd.services = lib.mapAttrs' (
      name: c:
      lib.nameValuePair "podman-${name}" {
        serviceConfig.Restart = mkIf (c.restart == "on-failure" || c.restart == "no") (lib.mkForce c.restart);
      }
    ) images;
  };
}
