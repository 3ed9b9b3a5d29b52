{ outputs = { self }: { value = "child in ${baseNameOf (dirOf self)}"; }; }
