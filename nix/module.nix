# `containers.<name>` with images: what a container is, wherever it runs.
#
# NixOS declares `containers.<name>` for systemd-nspawn. This module declares more options for the same name, and since
# declarations of submodules merge, one definition is read by both. Options that NixOS has already (`config`,
# `bindMounts`, `tmpfs`, `autoStart`, …) are those of NixOS; nspawn-options.nix declares them where there is no NixOS.
{ lib, ... }:
let
  inherit (lib) mkOption types;

  optional =
    type: description:
    mkOption {
      type = types.nullOr type;
      default = null;
      inherit description;
    };
  some =
    type: default: description:
    mkOption { inherit type default description; };

  # "8080:80/udp" or 80 as the set that it stands for.
  parsePort =
    value:
    let
      text = toString value;
      parts = builtins.match "((.*):)?(([0-9]*):)?([0-9]+)(/(tcp|udp))?" text;
      # The pattern above takes the address and the host port together where there is only one of them.
      before = if builtins.elemAt parts 1 == null then [ ] else lib.splitString ":" (builtins.elemAt parts 1);
      isNumber = s: builtins.match "[0-9]+" s != null;
      host = if before != [ ] && isNumber (lib.last before) then lib.last before else null;
      address = lib.concatStringsSep ":" (if host == null then before else lib.init before);
    in
    if parts == null then
      throw "\"${text}\" is no port; write 80, \"8080:80\", \"127.0.0.1:8080:80\" or \"53:53/udp\""
    else
      {
        container = lib.toInt (builtins.elemAt parts 4);
        protocol = if builtins.elemAt parts 6 == null then "tcp" else builtins.elemAt parts 6;
      }
      // lib.optionalAttrs (host != null) { host = lib.toInt host; }
      // lib.optionalAttrs (address != "") { inherit address; };

  port = types.submodule (
    { config, ... }:
    {
      options = {
        container = mkOption {
          type = types.port;
          description = "The port that the program listens on.";
        };
        host = optional types.port "The port of the machine; on Kubernetes that of the Service.";
        address = optional types.str "The machine's address to listen on; all if null.";
        protocol = some (types.enum [ "tcp" "udp" ]) "tcp" "The transport.";
        name = mkOption {
          type = types.str;
          default = "${config.protocol}-${toString config.container}";
          defaultText = "protocol and number";
          description = "The port's name, 15 characters at most.";
        };
      };
    }
  );

  secret = types.submodule {
    options = {
      env = optional types.str "The environment variable that has the secret.";
      path = optional types.str "The file in the container that has the secret.";
      key = optional types.str "The key inside the secret, where the target's secrets have several.";
    };
  };

  volume = types.submodule {
    options = {
      path = mkOption {
        type = types.str;
        description = "Where the container sees the volume.";
      };
      size = optional types.str "How much storage is asked for, such as \"10Gi\".";
      class = optional types.str "The class of the storage.";
      readOnly = some types.bool false "Whether the container may only read it.";
      shared = some types.bool false "Whether all replicas have the same volume.";
    };
  };

  health = types.submodule {
    options = {
      http = optional (types.submodule {
        options = {
          port = mkOption {
            type = types.port;
            description = "The port that is asked.";
          };
          path = some types.str "/" "The path that is asked for; its answer must be a success.";
        };
      }) "A check by HTTP.";
      tcp = optional types.port "A check by connecting to a port.";
      exec = optional (types.listOf types.str) "A check by a program in the container.";
      interval = some types.ints.positive 10 "Seconds between checks.";
      timeout = some types.ints.positive 5 "Seconds that one check may take.";
      retries = some types.ints.positive 3 "Failures in a row that mean that the container is broken.";
      startPeriod = some types.ints.unsigned 30 "Seconds that the container may take to start.";
    };
  };

  quantity = types.coercedTo types.number builtins.toJSON types.str;
  amounts =
    what:
    some (types.submodule {
      options = {
        cpu = optional quantity "Processors: 2, 0.5 or \"500m\".";
        memory = optional quantity "Bytes: \"256Mi\".";
      };
    }) { } what;

  ingress = types.submodule {
    options = {
      host = mkOption {
        type = types.str;
        description = "The name of the host.";
      };
      path = some types.str "/" "The paths that begin so.";
      port = optional types.port "The container's port; its only one if null.";
      tls = some types.bool true "Whether the connection is encrypted.";
      tlsSecret = optional types.str "Kubernetes: the secret with the certificate.";
      class = optional types.str "Kubernetes: the class of the ingress controller.";
    };
  };

  device = types.submodule {
    options = {
      path = mkOption {
        type = types.str;
        description = "The device, on the machine and in the container.";
      };
      permissions = some (types.strMatching "r?w?m?") "rwm" "Of read, write and make what is allowed.";
    };
  };

  capability = types.coercedTo types.str (lib.removePrefix "CAP_") types.str;

  dependency = types.submodule {
    options.condition =
      some (types.enum [ "started" "healthy" ]) "started" "What the other container must be before this one starts.";
  };
in
{
  # No default and no description of `containers` itself: where NixOS is, it has them.
  options.containers = mkOption {
    type = types.attrsOf (
      types.submodule {
        options = {
          image = optional (types.either types.package types.str) "The image: one that is built here, or a reference with a digest.";
          package = optional types.package "A package whose main program is run, in an image of its closure.";
          entrypoint = optional (types.coercedTo types.str lib.singleton (types.listOf types.str)) "The program, instead of the image's.";
          cmd = optional (types.listOf types.str) "The arguments, instead of the image's.";
          workdir = optional types.str "The directory in which the program starts.";
          env = some (types.attrsOf (types.coercedTo (types.either types.int types.float) builtins.toJSON types.str)) { } "Environment variables.";
          secrets = some (types.attrsOf secret) { } "Secrets that the target keeps, by the name that they have there.";
          files = some (types.attrsOf types.lines) { } "Configuration files: content by path.";
          ports = some (types.listOf (types.coercedTo (types.either types.int types.str) parsePort port)) [ ] "Published ports.";
          volumes = some (types.attrsOf volume) { } "Storage that outlives the container, by name.";
          readOnlyRoot = some types.bool false "Whether nothing but volumes can be written.";
          health = optional health "How to find out whether the container works.";
          restart = some (types.enum [ "always" "unless-stopped" "on-failure" "no" ]) "always" "When the container is started again.";
          resources = {
            requests = amounts "What is set aside for the container.";
            limits = amounts "What the container never gets more of.";
          };
          user = optional (types.coercedTo types.int toString types.str) "The user and group: \"1000:1000\".";
          capabilities = {
            add = some (types.listOf capability) [ ] "Kernel capabilities to have as well.";
            drop = some (types.listOf capability) [ ] "Kernel capabilities not to have; \"ALL\" is all.";
          };
          devices = some (types.listOf (types.coercedTo types.str (path: { inherit path; }) device)) [ ] "Devices of the machine.";
          dependsOn = some (types.coercedTo (types.listOf types.str) (names: lib.genAttrs names (_: { })) (
            types.attrsOf dependency
          )) { } "Containers that this one needs.";
          replicas = some types.ints.unsigned 1 "How many of it run.";
          ingress = some (types.listOf ingress) [ ] "Addresses by which the container is reached from outside, by HTTP.";
        };
      }
    );
  };
}
