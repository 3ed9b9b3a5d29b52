# A closure of 150,000 items, each reached twice.
let
  limit = 150000;
  next = key: if key < limit then [ { inherit key; } ] else [ ];
  items = builtins.genericClosure {
    startSet = [ { key = 1; } ];
    operator = item: next (item.key * 2) ++ next (item.key * 2 + 1) ++ next (item.key + 1);
  };
in
builtins.length items
