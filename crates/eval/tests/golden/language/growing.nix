# Lists and strings that grow share their values; each keeps its own.
let
  numbers = builtins.genList (i: i) 40;
  back = builtins.foldl' (list: i: list ++ [ i ]) [ ] numbers;
  front = builtins.foldl' (list: i: [ i ] ++ list) [ ] numbers;
  text = builtins.foldl' (text: i: text + "number ${toString i}, ") "" numbers;
  forks = map (i: back ++ [ i ]) [ 1 2 3 ];
  texts = map (i: text + i + "!") [ "one" "two" ];
  tails = builtins.genList (n: builtins.foldl' (list: _: builtins.tail list) back (builtins.genList (i: i) n)) 3;
in
[
  (map (list: builtins.elemAt list 40) forks)
  (map (list: builtins.length list) ([ back front ] ++ forks ++ tails))
  (map builtins.head ([ back front ] ++ tails))
  (map (list: builtins.elemAt (list ++ [ "end" ]) (builtins.length list)) tails)
  (builtins.length ([ 0 ] ++ front ++ [ 0 ]))
  (map (text: builtins.substring (builtins.stringLength text - 8) 8 text) texts)
  (builtins.stringLength text)
  (builtins.hashString "sha256" (builtins.substring 100 200 text))
  (front == builtins.foldl' (list: i: [ i ] ++ list) [ ] (builtins.tail back) ++ [ 0 ])
  (let list = [ (builtins.length back) ]; in list ++ list)
  (let set = { more = back ++ [ 40 ]; }; in { inherit (set) more; })
]
