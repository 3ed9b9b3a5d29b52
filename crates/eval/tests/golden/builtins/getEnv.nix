[ (builtins.getEnv "WHARF_NO_SUCH_VARIABLE") ]
