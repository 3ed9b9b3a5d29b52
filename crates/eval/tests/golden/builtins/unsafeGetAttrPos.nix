let s = {
  a = 1;
    b.c = 2;
  inherit (s) d;
} // { e = 1; }; p = n: removeAttrs (builtins.unsafeGetAttrPos n s) [ "file" ]; in [ (p "a") (p "b") (p "d") (p "e") (builtins.unsafeGetAttrPos "x" s) (builtins.unsafeGetAttrPos "c" s.b).column ]
