let
  f = { name, tag ? "latest" }: name + tag;
in
  f { name = "x"; tga = "y"; }
