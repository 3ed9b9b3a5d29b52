({ name, tag }: name) { tag = 1; }
