builtins.hasContext (builtins.unsafeDiscardStringContext "${../data/one.txt}")
