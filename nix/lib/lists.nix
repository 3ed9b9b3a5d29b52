# Lists.
{ lib }:
let
  inherit (builtins)
    all
    any
    concatLists
    concatMap
    elem
    elemAt
    filter
    foldl'
    genList
    groupBy
    head
    isList
    length
    map
    partition
    sort
    tail
    ;

  firstIndex =
    pred: list:
    let
      go =
        i:
        if i == length list then
          -1
        else if pred (elemAt list i) then
          i
        else
          go (i + 1);
      # A fold does not grow the stack, as the recursion above would on a long list.
      fold = foldl' (
        found: i: if found >= 0 then found else if pred (elemAt list i) then i else -1
      ) (-1) (lib.range 0 (length list - 1));
    in
    if length list < 256 then go 0 else fold;
in
{
  inherit
    all
    any
    concatLists
    concatMap
    elem
    elemAt
    filter
    foldl'
    genList
    groupBy
    head
    isList
    length
    map
    partition
    sort
    tail
    ;

  singleton = x: [ x ];
  toList = x: if isList x then x else [ x ];
  optional = cond: x: if cond then [ x ] else [ ];
  optionals = cond: list: if cond then list else [ ];
  range = first: last: if first > last then [ ] else genList (i: first + i) (last - first + 1);
  replicate = n: x: genList (_: x) n;
  forEach = list: f: map f list;
  count = pred: foldl' (n: x: if pred x then n + 1 else n) 0;
  remove = x: filter (y: y != x);
  flatten = x: if isList x then concatMap lib.flatten x else [ x ];

  foldr =
    op: nul: list:
    let
      end = length list;
      go = i: if i == end then nul else op (elemAt list i) (go (i + 1));
    in
    go 0;
  fold = lib.foldr;
  # The lazy left fold: unlike foldl', it does not force the intermediate results.
  foldl =
    op: nul: list:
    let
      go = i: if i < 0 then nul else op (go (i - 1)) (elemAt list i);
    in
    go (length list - 1);
  groupBy' =
    op: nul: key: list:
    builtins.mapAttrs (_: foldl' op nul) (groupBy key list);

  imap0 = f: list: genList (i: f i (elemAt list i)) (length list);
  imap1 = f: list: genList (i: f (i + 1) (elemAt list i)) (length list);
  ifilter0 =
    pred: list: map (i: elemAt list i) (filter (i: pred i (elemAt list i)) (genList (i: i) (length list)));

  findFirstIndex =
    pred: default: list:
    let
      i = firstIndex pred list;
    in
    if i < 0 then default else i;
  findFirst =
    pred: default: list:
    let
      i = firstIndex pred list;
    in
    if i < 0 then default else elemAt list i;
  findSingle =
    pred: default: multiple: list:
    let
      found = filter pred list;
    in
    if found == [ ] then
      default
    else if length found > 1 then
      multiple
    else
      head found;

  zipListsWith =
    f: a: b:
    genList (i: f (elemAt a i) (elemAt b i)) (lib.min (length a) (length b));
  zipLists = lib.zipListsWith (fst: snd: { inherit fst snd; });
  concatAttrValues = set: concatLists (builtins.attrValues set);
  crossLists = f: foldl' (fs: args: concatMap (f: map f args) fs) [ f ];

  reverseList =
    list:
    let
      n = length list;
    in
    genList (i: elemAt list (n - i - 1)) n;

  take = count: lib.sublist 0 count;
  takeEnd = n: list: lib.drop (lib.max 0 (length list - n)) list;
  drop = count: list: lib.sublist count (length list) list;
  dropEnd = n: list: lib.take (lib.max 0 (length list - n)) list;
  sublist =
    start: count: list:
    let
      available = length list - start;
      n = if available < count then available else count;
    in
    genList (i: elemAt list (i + start)) (if n < 0 then 0 else n);
  last =
    list:
    if list == [ ] then throw "lists.last: list must not be empty!" else elemAt list (length list - 1);
  init =
    list:
    if list == [ ] then throw "lists.init: list must not be empty!" else lib.take (length list - 1) list;
  replaceElemAt =
    list: i: x:
    if i < 0 || i >= length list then
      throw "lists.replaceElemAt: index ${toString i} is outside the list's ${toString (length list)} elements"
    else
      lib.imap0 (j: old: if i == j then x else old) list;

  hasPrefix = a: b: lib.take (length a) b == a;
  removePrefix =
    a: b:
    if lib.lists.hasPrefix a b then
      lib.drop (length a) b
    else
      throw "lib.lists.removePrefix: First argument is not a list prefix of the second argument";
  commonPrefix =
    a: b:
    let
      same = lib.findFirstIndex (pair: pair.fst != pair.snd) (lib.min (length a) (length b)) (lib.zipLists a b);
    in
    lib.take same a;

  # Walks from the list's first element to one that nothing comes before, along `before a b` ("a comes before b").
  # Gives { minimal, visited, rest }, or { cycle, loops, visited, rest } where the walk meets itself and may not.
  listDfs =
    stopOnCycles: before: list:
    let
      walk =
        {
          at,
          visited,
          rest,
        }:
        let
          loops = filter (x: before x at) visited;
          earlier = partition (x: before x at) rest;
        in
        if stopOnCycles && loops != [ ] then
          {
            cycle = at;
            inherit loops visited rest;
          }
        else if earlier.right == [ ] then
          {
            minimal = at;
            inherit visited rest;
          }
        else
          walk {
            at = head earlier.right;
            visited = [ at ] ++ visited;
            rest = tail earlier.right ++ earlier.wrong;
          };
    in
    walk {
      at = head list;
      visited = [ ];
      rest = tail list;
    };

  # { result } in an order that `before` allows, or { cycle, loops } where there is none.
  toposort =
    before:
    let
      go =
        sorted: list:
        let
          step = lib.listDfs true before list;
        in
        if length list < 2 then
          { result = sorted ++ list; }
        else if step ? cycle then
          {
            cycle = lib.reverseList ([ step.cycle ] ++ step.visited);
            inherit (step) loops;
          }
        else
          go (sorted ++ [ step.minimal ]) (step.visited ++ step.rest);
    in
    go [ ];

  sortOn =
    key: list:
    map (x: elemAt x 1) (
      sort (a: b: head a < head b) (map (x: [ (key x) x ]) list)
    );
  compareLists =
    cmp: a: b:
    if a == [ ] then
      if b == [ ] then 0 else -1
    else if b == [ ] then
      1
    else
      let
        first = cmp (head a) (head b);
      in
      if first == 0 then lib.compareLists cmp (tail a) (tail b) else first;

  # Sorts runs of digits by their number: [ "a10" "a9" ] becomes [ "a9" "a10" ].
  naturalSort =
    let
      parts = text: filter (p: p != "") (map (p: if isList p then head p else p) (builtins.split "([0-9]+)" text));
      key = text: map (p: if builtins.match "[0-9]+" p != null then lib.toIntBase10 p else p) (parts text);
      # Numbers come before words where the two meet.
      cmp = a: b: lib.splitByAndCompare builtins.isInt lib.compare lib.compare a b;
    in
    list:
    map (x: elemAt x 1) (
      sort (a: b: lib.compareLists cmp (head a) (head b) < 0) (map (x: [ (key x) x ]) list)
    );

  intersectLists = keep: filter (x: elem x keep);
  subtractLists = drop: filter (x: !(elem x drop));
  mutuallyExclusive = a: b: !(any (x: elem x a) b);
  unique = foldl' (acc: x: if elem x acc then acc else acc ++ [ x ]) [ ];
  # As `unique`, for strings, in the time of sorting; the order is that of attribute names.
  uniqueStrings = list: builtins.attrNames (groupBy (x: x) list);
  allUnique = list: length (lib.unique list) == length list;
}
