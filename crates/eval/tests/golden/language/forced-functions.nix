# Which builtins want to see a function, also where nothing is called.
let
  fails = value: !(builtins.tryEval value).success;
  none = throw "no function";
in
[
  (map fails [
    (builtins.length (map none [ 1 ]))
    (builtins.length (map none [ ]))
    (builtins.attrNames (builtins.mapAttrs none { a = 1; }))
    (builtins.filter none [ ])
    (builtins.sort none [ ])
    (builtins.sort none [ 1 ])
  ])
  (map fails [
    (builtins.all none [ ])
    (builtins.any none [ ])
    (builtins.concatMap none [ ])
    (builtins.foldl' none 0 [ ])
    (builtins.groupBy none [ ])
    (builtins.partition none [ ])
    (builtins.length (builtins.genList none 0))
    (builtins.attrNames (builtins.zipAttrsWith none [ ]))
  ])
  (fails (builtins.partition (_: true) [ (throw "an element") ]).right)
  (map (item: item.key) (builtins.genericClosure {
    startSet = map (key: { inherit key; }) [ 1 2 1.0 2.5 3 2 3.0 2.5 ];
    operator = _: [ ];
  }))
  (builtins.genericClosure { startSet = [ { key = { }; } ]; operator = _: [ ]; })
]
