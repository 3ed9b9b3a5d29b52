# The tests that come with the library: a list of those that fail.
{ lib }: import (lib + "/tests/misc.nix")
