builtins.fetchurl { urls = [ ]; }
