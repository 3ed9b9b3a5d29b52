builtins.match ".*-linux" builtins.currentSystem
