let s = { x = s.y; y = s.x; }; in s.x
