# What images often need at their root: a shell, `env`, certificates, user and group files.
{
  system,
  userland,
  bashInteractive,
  coreutils,
  cacert,
  shadow,
  fakeNss,
  runtimeShell,
}:

let
  # A directory that commands of the userland make.
  made =
    name: attrs: text:
    derivation (
      attrs
      // {
        inherit name system;
        builder = "${userland}/bin/sh";
        args = [
          "-e"
          "-c"
          "export PATH=${userland}/bin\n${text}"
        ];
      }
    );

  # A directory with links to files of packages.
  linked =
    name: links:
    made name { } (
      builtins.concatStringsSep "\n" (
        map (link: ''
          mkdir -p $out/${dirOf link}
          ln -s ${links.${link}} $out/${link}
        '') (builtins.attrNames links)
      )
    );

  makeFakeNss =
    {
      extraPasswdLines ? [ ],
      extraGroupLines ? [ ],
    }:
    let
      lines = list: builtins.concatStringsSep "" (map (line: line + "\n") list);
      nss =
        made "fake-nss"
          {
            passwd = lines (
              [
                "root:x:0:0:root user:/var/empty:/bin/sh"
                "nobody:x:65534:65534:nobody:/var/empty:/bin/sh"
              ]
              ++ extraPasswdLines
            );
            group = lines (
              [
                "root:x:0:"
                "nobody:x:65534:"
              ]
              ++ extraGroupLines
            );
          }
          ''
            mkdir -p $out/etc $out/var/empty
            printf '%s' "$passwd" > $out/etc/passwd
            printf '%s' "$group" > $out/etc/group
            echo 'hosts: files dns' > $out/etc/nsswitch.conf
          '';
    in
    nss // { override = changes: makeFakeNss ({ inherit extraPasswdLines extraGroupLines; } // changes); };

  shadow' = if shadow != null then shadow else import ./docker-shadow.nix { inherit system userland; };
in

{
  inherit makeFakeNss;

  # `/bin/sh`.
  binSh = linked "bin-sh" { "bin/sh" = "${bashInteractive}/bin/bash"; };

  # `/usr/bin/env`.
  usrBinEnv = linked "usr-bin-env" { "usr/bin/env" = "${coreutils}/bin/env"; };

  # Mozilla's certificate authorities, where TLS libraries look for them.
  caCertificates = linked "ca-certificates" {
    "etc/ssl/certs/ca-bundle.crt" = "${cacert}/etc/ssl/certs/ca-bundle.crt";
    "etc/ssl/certs/ca-certificates.crt" = "${cacert}/etc/ssl/certs/ca-bundle.crt";
    "etc/pki/tls/certs/ca-bundle.crt" = "${cacert}/etc/ssl/certs/ca-bundle.crt";
  };

  # The users root and nobody; more with `fakeNss.override { extraPasswdLines = [ … ]; extraGroupLines = [ … ]; }`.
  fakeNss = if fakeNss != null then fakeNss else makeFakeNss { };

  # Commands that make the files of users and groups which are not there yet.
  shadowSetup = ''
    export PATH=${shadow'}/bin:$PATH
    mkdir -p /etc/pam.d
    if [ ! -f /etc/passwd ]; then
      echo "root:x:0:0::/root:${runtimeShell}" > /etc/passwd
      echo "root:!x:::::::" > /etc/shadow
    fi
    if [ ! -f /etc/group ]; then
      echo "root:x:0:" > /etc/group
      echo "root:x::" > /etc/gshadow
    fi
    if [ ! -f /etc/pam.d/other ]; then
      printf '%s\n' \
        'account sufficient pam_unix.so' \
        'auth sufficient pam_rootok.so' \
        'password requisite pam_unix.so nullok yescrypt' \
        'session required pam_unix.so' > /etc/pam.d/other
    fi
    if [ ! -f /etc/login.defs ]; then
      touch /etc/login.defs
    fi
  '';
}
