# Pieces of text with dependencies between them, put in an order where each comes after what it needs.
{ lib }:
{
  noDepEntry = text: {
    inherit text;
    deps = [ ];
  };
  fullDepEntry = text: deps: { inherit text deps; };
  packEntry = deps: {
    inherit deps;
    text = "";
  };
  stringAfter = deps: text: { inherit text deps; };

  # The texts of the wanted entries and of what they need.
  textClosureList =
    entries: wanted:
    let
      visit =
        state: arg:
        if builtins.isAttrs arg then
          let
            after = builtins.foldl' visit state arg.deps;
          in
          after // { texts = after.texts ++ [ arg.text ]; }
        else if state.done ? ${arg} then
          state
        else
          let
            after = builtins.foldl' visit (state // { done = state.done // { ${arg} = true; }; }) entries.${arg}.deps;
          in
          after // { texts = after.texts ++ [ entries.${arg}.text ]; };
    in
    (builtins.foldl' visit {
      done = { };
      texts = [ ];
    } wanted).texts;
  textClosureMap =
    f: entries: wanted:
    builtins.concatStringsSep "\n" (map f (lib.textClosureList entries wanted));
}
