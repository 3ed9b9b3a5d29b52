[
  (builtins.hashString "md5" "")
  (builtins.hashString "md5" "abc")
  (builtins.hashString "sha1" "")
  (builtins.hashString "sha1" "abc")
  (builtins.hashString "sha256" "")
  (builtins.hashString "sha256" "abc")
  (builtins.hashString "sha512" "")
  (builtins.hashString "sha512" "abc")
]
