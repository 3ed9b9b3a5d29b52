builtins.toXML { a = [ 1 1.5 true null "q\"<&>\n" ]; f = { x, y ? 1, ... }@z: x; g = q: q; p = /a/b; d = derivation { name = "n"; system = "s"; builder = "b"; }; b = builtins.add; }
