# The large language model server Ollama, on Alpine.
{ pkgs, ... }:

pkgs.dockerTools.buildImage {
  name = "ollama";
  tag = "0.1.2"; # Version-controlled

  fromImage = pkgs.dockerTools.pullImage {
    imageName = "alpine";
    imageDigest = (import ./base-images.nix).alpine; # Pinned base image
  };

  copyToRoot = pkgs.buildEnv {
    name = "root";
    paths = with pkgs; [
      ollama
      ca-certificates
    ];
  };

  config = {
    Cmd = [ "${pkgs.ollama}/bin/ollama" "serve" ];
    Env = [
      "OLLAMA_HOST=0.0.0.0:11434"
      "LOG_LEVEL=info"
    ];
    ExposedPorts."11434/tcp" = { };
    Volumes."/root/.ollama" = { };
  };
}
