builtins.listToAttrs [ { value = "a"; } ]
