# The options of NixOS's own `containers.<name>`, for evaluation where there is no NixOS. The first ones mean something
# to every target. The others are about systemd-nspawn: they can be defined, so that one file serves both, and each
# target says what it makes of them.
{ lib, ... }:
let
  inherit (lib) mkOption types;
  default =
    type: default: description:
    mkOption { inherit type default description; };

  bindMount =
    { name, ... }:
    {
      options = {
        mountPoint = default types.str name "The path in the container.";
        hostPath = default (types.nullOr types.str) null "The path on the machine; the container's if null.";
        isReadOnly = default types.bool true "Whether the container may only read it.";
      };
    };

  # Each by the value that means that it is not used.
  nspawn = {
    ephemeral = default types.bool false "A root that is new each time.";
    privateNetwork = default types.bool false "A network of its own.";
    restartIfChanged = default types.bool true "A restart when the definition changes.";
    timeoutStartSec = default types.str "1min" "How long the start may take.";
    hostAddress = default types.raw null "The machine's address on the container's network.";
    hostAddress6 = default types.raw null "The same for IPv6.";
    localAddress = default types.raw null "The container's address.";
    localMacAddress = default types.raw null "The container's hardware address.";
    copyResolvConf = default types.bool true "A copy of the machine's resolv.conf.";
    localAddress6 = default types.raw null "The same for IPv6.";
    hostBridge = default types.raw null "The bridge that the container is attached to.";
    interfaces = default (types.listOf types.str) [ ] "Interfaces to move into the container.";
    macvlans = default (types.listOf types.str) [ ] "Interfaces to make macvlans of.";
    extraVeths = default (types.attrsOf types.raw) { } "Further virtual interfaces.";
    networkNamespace = default types.raw null "A network namespace to join.";
    enableTun = default types.bool false "Access to /dev/net/tun.";
    privateUsers = default types.raw "no" "A range of user IDs.";
    extraFlags = default (types.listOf types.str) [ ] "Arguments for systemd-nspawn.";
    path = default types.raw null "The path of a built NixOS system.";
    flake = default types.raw null "A flake with the NixOS system.";
    nixpkgs = default types.raw null "The nixpkgs of the NixOS system.";
    specialArgs = default (types.attrsOf types.raw) { } "Further arguments of the system's modules.";
  };
in
{
  options.containers = mkOption {
    type = types.attrsOf (
      types.submodule (
        { config, ... }:
        {
          options = nspawn // {
            config = default (types.nullOr types.deferredModule) null "A NixOS configuration, which is run with its init.";
            autoStart = default (types.nullOr types.bool) null "Whether the container starts with the machine.";
            bindMounts = default (types.attrsOf (types.submodule bindMount)) { } "Paths of the machine.";
            tmpfs = default (types.listOf types.str) [ ] "Paths in memory, with options after a colon.";
            additionalCapabilities = default (types.listOf types.str) [ ] "Kernel capabilities to have as well.";
            allowedDevices = default (types.listOf (
              types.submodule {
                options = {
                  node = mkOption {
                    type = types.str;
                    description = "The device.";
                  };
                  modifier = default types.str "rw" "Of r, w and m what is allowed.";
                };
              }
            )) [ ] "Devices of the machine.";
            forwardPorts = default (types.listOf (
              types.submodule {
                options = {
                  protocol = default (types.enum [ "tcp" "udp" ]) "tcp" "The transport.";
                  hostPort = mkOption {
                    type = types.port;
                    description = "The port of the machine.";
                  };
                  containerPort = default (types.nullOr types.port) null "The container's port; the machine's if null.";
                };
              }
            )) [ ] "Published ports.";
            nspawnOptionsInUse = mkOption {
              type = types.listOf types.str;
              internal = true;
              readOnly = true;
              default = builtins.filter (name: config.${name} != nspawn.${name}.default) (builtins.attrNames nspawn);
              description = "The options about systemd-nspawn that say something.";
            };
          };
        }
      )
    );
  };
}
