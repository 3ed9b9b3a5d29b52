builtins.fetchMercurial "https://example.org/a"
