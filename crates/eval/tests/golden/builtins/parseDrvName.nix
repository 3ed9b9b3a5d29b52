[
  (builtins.parseDrvName "nix-0.12pre123")
  (builtins.parseDrvName "hello-2.12.1")
  (builtins.parseDrvName "a-b-1-c")
  (builtins.parseDrvName "a")
  (builtins.parseDrvName "-1")
  (builtins.parseDrvName "a-")
  (builtins.parseDrvName "a--b")
  (builtins.parseDrvName "")
]
