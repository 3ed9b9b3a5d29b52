builtins.break (1 + 1)
