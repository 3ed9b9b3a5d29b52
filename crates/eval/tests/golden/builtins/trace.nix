builtins.trace { a = 1; } (builtins.trace "x" 2)
