builtins.warn "careful" 3
