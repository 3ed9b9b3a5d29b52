map builtins.isString [ null true 1 1.5 "s" /p [ ] { } (x: x) builtins.add (builtins.add 1) ]
