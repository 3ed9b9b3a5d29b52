# Assertions that say what was wrong.
{ lib }:
let
  listed = lib.generators.toPretty { };
in
{
  assertMsg = pred: msg: pred || throw msg;
  assertOneOf =
    name: value: allowed:
    lib.assertMsg (builtins.elem value allowed) "${name} must be one of ${listed allowed}, but is: ${listed value}";
  assertEachOneOf =
    name: values: allowed:
    lib.assertMsg (lib.all (v: builtins.elem v allowed) values) "each element in ${name} must be one of ${listed allowed}, but is: ${listed values}";

  # The value, if every assertion holds, with the warnings said.
  checkAssertWarn =
    assertions: warnings: value:
    let
      failed = map (a: a.message) (builtins.filter (a: !a.assertion) assertions);
    in
    if failed != [ ] then
      throw "\nFailed assertions:\n${lib.concatMapStringsSep "\n" (m: "- ${m}") failed}"
    else
      lib.showWarnings warnings value;
}
