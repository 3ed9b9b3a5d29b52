builtins.addErrorContext "while evaluating the option 'services.web'"
  (1 + builtins.addErrorContext "while reading its port" (throw "no port"))
