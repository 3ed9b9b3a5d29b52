builtins.abort "stop ${toString 1}"
