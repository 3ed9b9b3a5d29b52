# `==` and `deepSeq` take attributes in the order in which their names were first met. The first of each set here can be
# caught, and what comes after it cannot.
let
  inherit (builtins) deepSeq fromJSON listToAttrs mapAttrs tryEval;
  caught = value: !(tryEval value).success;
  compared = set: caught (set == mapAttrs (_: _: 1) set);
  forced = set: caught (deepSeq set 1);
  both = set: compared set && forced set;
  fails = throw "first";
  ends = abort "second";
  # Names that the text has in strings alone are met when the program runs.
  computed = first: set: both (mapAttrs (name: _: if name == first then fails else ends) set);
in
{
  written = both { zebra = fails; ant = ends; };
  nested = caught ({ outer.two = fails; outer.one = ends; } == { outer.one = 1; outer.two = 2; });
  dynamic = both { ${"yak"} = fails; asp = ends; };
  valueAfterName = both { wolf = fails; bat.${"ass"} = 1; ass = ends; };
  # The names that Nix itself knows come first, in an order of their own, then those of the builtins.
  known = both { unknown = ends; value = ends; name = ends; type = fails; };
  builtin = both { any = ends; map = fails; };
  knownBeforeBuiltin = both { map = ends; path = fails; };
  # A formal is met after its default, and an argument after the body.
  formals = let f = { late ? { early = 1; }, ... }: late; in both { late = ends; early = fails; };
  argument = let f = arg: { body' = 1; }; in both { arg = ends; body' = fails; };
  whole = let f = { one, ... }@all': one; g = earlier@{ two, ... }: two; in
    both { one = fails; all' = ends; } && both { earlier = ends; two = fails; };
  # Names and values are compared together.
  otherNames = caught ({ badger = fails; carp = ends; } == { badger = 1; dog = 2; });
  otherNamesFirst = { eel = ends; fox = ends; } == { gnu = 1; fox = 2; };
  otherCount = { eel = ends; } == { eel = ends; fox = ends; };
  json = computed "zz1" (fromJSON ''{"zz1": 1, "aa1": 2}'');
  list = computed "zz2" (listToAttrs (map (name: { inherit name; value = 1; }) [ "zz2" "aa2" ]));
  # Lists from the front.
  lists = caught ([ 1 fails ends ] == [ 1 2 3 ]);
  shorter = [ ends ] == [ ];
  unequal = [ 1 ends ] == [ 2 3 ];
  derivations = { type = "derivation"; outPath = 1; a = ends; } == { type = "derivation"; outPath = 1; };
  notDerivations = caught ({ type = "derivation"; hen = fails; ibis = ends; } == { type = "derivation"; hen = 1; ibis = 1; });
}
