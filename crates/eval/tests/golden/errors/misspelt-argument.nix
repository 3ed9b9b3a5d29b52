({ name, version ? "1" }: name) { nmae = "web"; }
