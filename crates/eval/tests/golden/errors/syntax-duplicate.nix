{
  image.name = "a";
  image.name = "b";
}
