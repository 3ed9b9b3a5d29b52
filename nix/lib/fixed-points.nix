# Fixed points of functions on attribute sets, and the overlays ("extensions") that change them.
{ lib }:
{
  fix =
    f:
    let
      x = f x;
    in
    x;

  # As `fix`, with the function kept under `__unfix__`.
  fix' =
    f:
    let
      x = f x // {
        __unfix__ = f;
      };
    in
    x;

  # Applies f until its result no longer changes.
  converge =
    f: x:
    let
      next = f x;
    in
    if next == x then x else lib.converge f next;

  extends =
    overlay: f: final:
    let
      prev = f final;
    in
    prev // overlay final prev;

  composeExtensions =
    f: g: final: prev:
    let
      first = f final prev;
    in
    first // g final (prev // first);

  composeManyExtensions = lib.foldr lib.composeExtensions (_: _: { });

  makeExtensible = lib.makeExtensibleWithCustomName "extend";

  makeExtensibleWithCustomName =
    name: f:
    lib.fix' (
      final:
      f final
      // {
        ${name} = overlay: lib.makeExtensibleWithCustomName name (lib.extends overlay f);
      }
    );

  # An overlay from a set, from a function of the previous set, or from an overlay.
  toExtension =
    f:
    if lib.isFunction f then
      final: prev:
      let
        partial = f prev;
      in
      if lib.isFunction partial then f final prev else partial
    else
      _: _: f;
}
