{ outputs = { self, dep, other, child }: { name = "root"; answer = [ dep.value other.rev child.value self.name ]; rev = "hidden by the source"; }; }
