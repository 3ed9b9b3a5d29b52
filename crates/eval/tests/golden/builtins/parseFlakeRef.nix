map builtins.parseFlakeRef [ "github:NixOS/nixpkgs/23.05?dir=lib" "path:/a/b" "git+https://example.org/x?ref=main" "nixpkgs" ]
