# nixpkgs' `ociTools`: bundles that an OCI runtime such as runc runs.
{
  lib,
  system,
}:

let
  # What every container needs from the kernel; a mount of the caller at the same place wins.
  systemMounts = {
    "/proc" = {
      type = "proc";
      source = "proc";
    };
    "/dev" = {
      type = "tmpfs";
      source = "tmpfs";
      options = [ "nosuid" "strictatime" "mode=755" "size=65536k" ];
    };
    "/dev/pts" = {
      type = "devpts";
      source = "devpts";
      options = [ "nosuid" "noexec" "newinstance" "ptmxmode=0666" "mode=0620" "gid=5" ];
    };
    "/dev/shm" = {
      type = "tmpfs";
      source = "shm";
      options = [ "nosuid" "noexec" "nodev" "mode=1777" "size=65536k" ];
    };
    "/dev/mqueue" = {
      type = "mqueue";
      source = "mqueue";
      options = [ "nosuid" "noexec" "nodev" ];
    };
    "/sys" = {
      type = "sysfs";
      source = "sysfs";
      options = [ "nosuid" "noexec" "nodev" "ro" ];
    };
    "/sys/fs/cgroup" = {
      type = "cgroup";
      source = "cgroup";
      options = [ "nosuid" "noexec" "nodev" "relatime" "ro" ];
    };
  };

  mountOf =
    destination:
    {
      type,
      source,
      options ? null,
    }:
    { inherit destination type source; } // lib.optionalAttrs (options != null) { inherit options; };
in

{
  # A directory with `config.json`, and `rootfs` with everything that `args` refers to.
  buildContainer =
    {
      args,
      mounts ? { },
      os ? "linux",
      arch ? builtins.head (lib.splitString "-" system),
      readonly ? false,
    }:
    derivation {
      name = "join";
      inherit system;
      builder = "builtin:oci-bundle";
      __structuredAttrs = true;
      config = {
        ociVersion = "1.0.0";
        platform = { inherit os arch; };
        process = {
          inherit args;
          cwd = "/";
          user = {
            uid = 0;
            gid = 0;
          };
        };
        root = {
          path = "rootfs";
          inherit readonly;
        };
        mounts = lib.mapAttrsToList mountOf (systemMounts // mounts);
        linux.namespaces = map (type: { inherit type; }) [ "pid" "network" "mount" "ipc" "uts" ];
      };
    };
}
