builtins.throw "an ${"error"}"
