builtins.traceVerbose (throw "not shown") 2
