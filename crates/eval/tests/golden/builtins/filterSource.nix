let s = builtins.filterSource (path: type: type == "directory" || baseNameOf path != "b.txt") ../data/tree; in [ s (builtins.attrValues (builtins.getContext s)) ]
