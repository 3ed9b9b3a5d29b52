fetchTree { url = "https://example.org/a"; }
