let
  port = 80;
in
  "http://localhost:" + port
