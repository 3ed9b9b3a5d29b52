# Containers by digest. Import this module into the system's configuration.
{ lib, pkgs, ... }:
{
  virtualisation.oci-containers.backend = "podman";
  virtualisation.oci-containers.containers.db = {
    image = "registry.example.org/team/db@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    pull = "missing";
    ports = [
      "5432/tcp"
    ];
    volumes = [
      "db-data:/var/lib/db"
    ];
    podman = {
      sdnotify = "healthy";
    };
    extraOptions = [
      "--health-cmd=pg_isready -q"
      "--health-interval=10s"
      "--health-timeout=5s"
      "--health-retries=3"
      "--health-start-period=5s"
    ];
  };
  virtualisation.oci-containers.containers.web = {
    image = "registry.example.org/team/web@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    pull = "missing";
    entrypoint = "/bin/web";
    cmd = [
      "--flag"
      "serve"
      "two words"
      "$HOME \${X} $(Y) 100%"
      "it's \"quoted\""
    ];
    workdir = "/srv";
    environment = {
      COST = "$5 \${a} $(b) 50%";
      LINES = "a\nb";
      NUM = "0o17";
      YES = "yes";
    };
    ports = [
      "80:8080/tcp"
      "8443/udp"
    ];
    volumes = [
      "web-data:/data"
      "/etc/localtime:/etc/localtime:ro"
      "${pkgs.writeText "web-file-0" "x"}:/etc/other:ro"
      "${pkgs.writeText "web-file-1" "listen = 8080\n# \"quoted\" \${x}\n"}:/etc/web.conf:ro"
    ];
    user = "1000:1000";
    capabilities = {
      NET_BIND_SERVICE = true;
      ALL = false;
    };
    dependsOn = [
      "db"
    ];
    extraOptions = [
      "--secret=web-cert-tls.crt,type=mount,target=/run/secrets/cert"
      "--secret=web-token,type=mount,target=/run/secrets/token"
      "--tmpfs=/run"
      "--tmpfs=/tmp:size=64m"
      "--read-only"
      "--health-cmd=wget -q -O /dev/null http://127.0.0.1:8080/healthz || exit 1"
      "--health-interval=10s"
      "--health-timeout=5s"
      "--health-retries=3"
      "--health-start-period=60s"
      "--memory=268435456"
      "--memory-reservation=67108864"
      "--cpus=1.5"
    ];
  };
  virtualisation.oci-containers.containers.worker-1 = {
    image = "registry.example.org/team/worker@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    pull = "missing";
    cmd = [
      "work"
    ];
    user = "7";
  };
  virtualisation.oci-containers.containers.worker-2 = {
    image = "registry.example.org/team/worker@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    pull = "missing";
    cmd = [
      "work"
    ];
    user = "7";
  };
  virtualisation.oci-containers.containers.worker-3 = {
    image = "registry.example.org/team/worker@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    pull = "missing";
    cmd = [
      "work"
    ];
    user = "7";
  };
  services.nginx.enable = true;
  services.nginx.recommendedProxySettings = true;
  services.nginx.virtualHosts."web.example.org".locations."/".proxyPass = "http://127.0.0.1:80";
  services.nginx.virtualHosts."web.example.org".locations."/".proxyWebsockets = true;
  services.nginx.virtualHosts."web.example.org".forceSSL = lib.mkDefault true;
  services.nginx.virtualHosts."web.example.org".enableACME = lib.mkDefault true;
  services.nginx.virtualHosts."web.example.org".locations."/api".proxyPass = "http://127.0.0.1:80";
  services.nginx.virtualHosts."web.example.org".locations."/api".proxyWebsockets = true;
}
