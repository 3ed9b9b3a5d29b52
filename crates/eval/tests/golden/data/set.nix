{ a = 1; b = ./one.txt == ./one.txt; }
