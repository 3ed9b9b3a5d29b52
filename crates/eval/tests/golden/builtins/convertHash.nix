map (toHashFormat: builtins.convertHash { hash = "sha256:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="; inherit toHashFormat; }) [ "base16" "nix32" "base64" "sri" ]
++ [ (builtins.convertHash { hash = "900150983cd24fb0d6963f7d28e17f72"; hashAlgo = "md5"; toHashFormat = "nix32"; }) ]
++ [ (builtins.convertHash { hash = "sha1-qZk+NkcGgWq6PiVxeFDCbJzQ2J0="; toHashFormat = "base16"; }) ]
