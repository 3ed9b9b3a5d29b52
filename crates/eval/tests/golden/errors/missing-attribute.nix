let
  config = { image = { name = "x"; tag = "y"; }; };
in
  config.image.nmae
