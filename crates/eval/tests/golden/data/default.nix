x: "default ${toString x}"
