# The names that the strategy's containers use, over Debian's packages. Debian has neither Ollama nor Gitea, so under
# their names are servers of Debian that speak on the same ports and keep to the same variables: enough to try the
# containers' images without the internet.
{ pkgs, debian }:
let
  inherit (pkgs) lib;

  # nginx as it runs in a container that has nothing else: no users, no directories of Debian.
  webServer =
    port:
    let
      page = pkgs.writeTextDir "index.html" "nginx of Debian\n";
      configuration = pkgs.writeText "nginx.conf" ''
        user root;
        pid /tmp/nginx.pid;
        error_log stderr;
        events { }
        http {
          access_log off;
          client_body_temp_path /tmp/body;
          proxy_temp_path /tmp/proxy;
          fastcgi_temp_path /tmp/fastcgi;
          uwsgi_temp_path /tmp/uwsgi;
          scgi_temp_path /tmp/scgi;
          server {
            listen ${toString port};
            root ${page};
          }
        }
      '';
    in
    ''
      # nginx looks its user and group up, and keeps what it receives in files.
      ${pkgs.coreutils}/bin/mkdir -p /tmp /etc
      if [ ! -e /etc/passwd ]; then echo root:x:0:0:root:/root:/bin/sh >/etc/passwd; fi
      if [ ! -e /etc/group ]; then echo root:x:0: >/etc/group; fi
      exec ${debian.nginx}/bin/nginx -p /tmp -e stderr -c ${configuration}'';
in
lib.optionalAttrs (debian ? openssh-client) { openssh = debian.openssh-client; }
// lib.optionalAttrs (debian ? nginx) {
  nginx = pkgs.writeShellScriptBin "nginx" ''
    ${webServer 80} "$@"
  '';
  gitea = pkgs.writeShellScriptBin "gitea" ''
    if [ "$1" != web ]; then echo "gitea: unknown command $1" >&2; exit 2; fi
    ${webServer 3000} -g "daemon off;"
  '';
}
// lib.optionalAttrs (debian ? redis-server) {
  redis = debian.redis-server;
  ollama = pkgs.writeShellScriptBin "ollama" ''
    if [ "$1" != serve ]; then echo "ollama: unknown command $1" >&2; exit 2; fi
    exec ${debian.redis-server}/bin/redis-server --port "''${OLLAMA_HOST##*:}" --protected-mode no --dir /root/.ollama
  '';
}
