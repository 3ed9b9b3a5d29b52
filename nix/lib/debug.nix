# Looking at values while they are evaluated, and tests of plain values.
{ lib }:
let
  inherit (builtins) trace;
  pretty = lib.generators.toPretty { };
in
{
  inherit trace;
  traceIf =
    pred: msg: x:
    if pred then trace msg x else x;
  traceVal = x: trace x x;
  traceValFn = f: x: trace (f x) x;
  traceSeq = x: trace (builtins.deepSeq x x);
  traceValSeq = x: lib.traceSeq x x;
  tracePretty = x: trace (pretty x);
  traceValPretty = x: lib.tracePretty x x;

  # The tests { testX = { expr, expected }; } whose two sides differ.
  runTests =
    tests:
    let
      names = builtins.filter (name: lib.hasPrefix "test" name || builtins.elem name (tests.tests or [ ])) (
        builtins.attrNames tests
      );
      failed = builtins.filter (name: tests.${name}.expr != tests.${name}.expected) names;
    in
    map (name: {
      inherit name;
      inherit (tests.${name}) expected;
      result = tests.${name}.expr;
    }) failed;
}
