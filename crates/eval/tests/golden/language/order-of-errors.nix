# What is evaluated first: a `throw` can be caught, a wrong type cannot.
let
  inherit (builtins) elemAt filter findFile foldl' genList listToAttrs lessThan map replaceStrings sort sub substring tryEval zipAttrsWith;
  fails = throw "fails";
  caught = value: !(tryEval value).success;
in
{
  # Both sides are evaluated before one is looked at, `//` from the right.
  update = map caught [ (5 // fails) ({ } // 5 // fails) (fails // fails) ];
  lists = map caught [ (5 ++ fails) ([ ] ++ 5 ++ fails) (fails ++ 5) ];
  numbers = map caught [ (5 + fails) ("a" - fails) ("a" * fails) ("a" / fails) (sub "a" fails) (lessThan null fails) ];
  # What stands for a string is one before the right side is evaluated.
  strings = map caught [ ("a" + fails) (./a + fails) ({ __toString = _: fails; } + 1) ({ outPath = "a"; } + fails) ];
  notCopied = { outPath = "a"; } + ./b + "c" == "a${toString ./b}c";
  # The last of these arguments matters only if there is something to do with them.
  unused = [ (map fails [ ]) (filter fails [ ]) (sort fails [ ]) (foldl' (a: b: b) fails [ 1 ]) ];
  arguments = map caught [
    (elemAt fails 0)
    (elemAt [ 1 ] fails)
    (foldl' (a: b: a) 0 fails)
    (findFile fails 1)
    (genList fails 0)
    (genList 1 fails)
    (replaceStrings [ "a" ] [ fails ] "a")
    (substring 0 fails "x")
    (zipAttrsWith fails [ ])
    (zipAttrsWith (_: _: 1) fails)
    (listToAttrs [ { name = "a"; } fails ])
    (listToAttrs [ { value = 1; name = fails; } ])
    (lessThan 1 fails)
  ];
  nested = caught (elemAt [ (substring 0 (elemAt [ fails ] 0) "x") ] (elemAt [ fails ] 0));
}
