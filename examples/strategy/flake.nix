{
  description = "Container images of the services";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-25.05";

  outputs =
    { self, nixpkgs, ... }:
    let
      system = "x86_64-linux";
      pkgs = nixpkgs.legacyPackages.${system};
    in
    {
      packages.${system} = {
        ollama-container = pkgs.callPackage ./packages/ollama-container.nix { inherit pkgs; };
        forgejo-container = pkgs.callPackage ./packages/forgejo-container.nix { inherit pkgs; };
        nextcloud-container = pkgs.callPackage ./packages/nextcloud-container.nix { inherit pkgs; };
      };

      # Build all containers: wharf build .#containers
      containers = self.packages.${system};
    };
}
