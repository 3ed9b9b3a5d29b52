let ${"a"} = 1; b = { inherit ${"a"}; "${"c"}" = 2; }; in [ a b ]
