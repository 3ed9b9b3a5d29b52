[
  (builtins.replaceStrings [ "oo" "a" ] [ "a" "i" ] "foobar")
  (builtins.replaceStrings [ "" ] [ "X" ] "abc")
  (builtins.replaceStrings [ "" "a" ] [ "_" "A" ] "aba")
  (builtins.replaceStrings [ "a" "" ] [ "A" "_" ] "aba")
  (builtins.replaceStrings [ "a" "aa" ] [ "1" "2" ] "aaa")
  (builtins.replaceStrings [ "aa" "a" ] [ "2" "1" ] "aaa")
  (builtins.replaceStrings [ "a" ] [ "" ] "banana")
  (builtins.replaceStrings [ ] [ ] "x")
  (builtins.replaceStrings [ "x" ] [ (throw "lazy") ] "abc")
  (builtins.replaceStrings [ "" ] [ "X" ] "")
]
