builtins.addErrorContext "while reading the manual" (1 + builtins.addErrorContext "unused" 1)
