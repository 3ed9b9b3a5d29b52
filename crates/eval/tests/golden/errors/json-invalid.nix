builtins.fromJSON "{\n  \"a\": nul }"
