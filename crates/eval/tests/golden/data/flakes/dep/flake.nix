{ outputs = { self, data, up }: { value = "dep of ${up.name} with ${data.rev}"; }; }
