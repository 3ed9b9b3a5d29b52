# A package set of Debian's binary packages, for `--pkgs`: the built-in set and, by their Debian names, the packages of a
# directory of `.deb` files with all that they depend on.
#
#   apt-get download git nginx-light redis-server …           (with their dependencies, into one directory)
#   wharf build ./packages/ollama-container.nix --pkgs ./debian --arg debs ./debs
#
# A package's tree is the union of its own files and those of its dependencies, so that copied to an image's root it
# finds its libraries where Debian has them. Its bin/ has programs that also run from the store: each starts Debian's
# dynamic loader with the libraries of the package.
{
  # The built-in set.
  pkgs,
  # The directory of `.deb` files.
  debs ? ./debs,
  ...
}:
let
  inherit (pkgs) lib;

  # "git_1%3a2.39.5-0+deb12u2_amd64.deb" is the package git.
  nameOf = file: builtins.head (lib.splitString "_" file);
  files = lib.filter (lib.hasSuffix ".deb") (lib.attrNames (builtins.readDir debs));
  debOf = lib.listToAttrs (
    map (
      file:
      lib.nameValuePair (nameOf file) (
        builtins.path {
          path = debs + "/${file}";
          # Names in the store have neither percent signs nor tildes.
          name = lib.sanitizeDerivationName file;
        }
      )
    ) files
  );

  # What the packages say of themselves, as lines "FIELD PACKAGE VALUE": made by a build and read when evaluating.
  index = pkgs.runCommand "debian-index" { } ''
    ${lib.concatStrings (
      lib.mapAttrsToList (name: deb: ''
        ar p ${deb} "$(ar t ${deb} | grep '^control.tar')" | tar -xf - ./control
        sed -n \
          -e 's/^Depends: /Depends ${name} /p' \
          -e 's/^Pre-Depends: /Depends ${name} /p' \
          -e 's/^Provides: /Provides ${name} /p' \
          -e 's/^Version: /Version ${name} /p' \
          control >>$out
      '') debOf
    )}
  '';
  entries = map (
    line:
    let
      words = lib.splitString " " line;
    in
    {
      field = builtins.elemAt words 0;
      package = builtins.elemAt words 1;
      value = lib.concatStringsSep " " (lib.drop 2 words);
    }
  ) (lib.filter (line: line != "") (lib.splitString "\n" (builtins.readFile index)));
  valuesOf =
    field: package:
    map (e: e.value) (lib.filter (e: e.field == field && e.package == package) entries);

  # "libc6 (>= 2.36), perl:any | perl-base" as [ [ "libc6" ] [ "perl" "perl-base" ] ].
  relations =
    text:
    map (alternatives: map (one: builtins.head (builtins.match " *([a-z0-9+.-]+).*" one)) (lib.splitString "|" alternatives)) (
      lib.splitString "," text
    );

  # The packages that a name stands for: its own, or those that provide it.
  providers = lib.zipAttrsWith (_: lib.id) (
    lib.concatMap (
      e: map (alternatives: { ${builtins.head alternatives} = e.package; }) (relations e.value)
    ) (lib.filter (e: e.field == "Provides") entries)
  );
  resolve = name: if debOf ? ${name} then [ name ] else lib.take 1 (providers.${name} or [ ]);

  dependenciesOf =
    name:
    lib.concatMap (alternatives: lib.take 1 (lib.concatMap resolve alternatives)) (
      lib.concatMap relations (valuesOf "Depends" name)
    );
  closureOf =
    name:
    map (node: node.key) (
      builtins.genericClosure {
        startSet = [ { key = name; } ];
        operator = node: map (key: { inherit key; }) (dependenciesOf node.key);
      }
    );

  # Documentation stays out: nobody reads it in a container.
  unpacked = lib.mapAttrs (
    name: deb:
    pkgs.runCommand "${name}-files" { } ''
      mkdir $out
      # Not dpkg-deb: it would set bits for set-user-ID programs, which no build may.
      ar p ${deb} "$(ar t ${deb} | grep '^data.tar')" | tar -xf - -C $out
      cd $out
      rm -rf usr/share/doc usr/share/man usr/share/lintian
      # Links from the root lead nowhere in the store; from where they are they lead to the same file everywhere.
      find . -type l -lname '/*' | while read -r link; do
        up=$(dirname "$link" | sed -e 's,/[^/]*,/..,g')
        ln -sfn "$up$(readlink "$link")" "$link"
      done
    ''
  ) debOf;

  loader = "lib/x86_64-linux-gnu/ld-linux-x86-64.so.2";
  libraryDirs = [
    "lib/x86_64-linux-gnu"
    "usr/lib/x86_64-linux-gnu"
  ];

  package =
    name:
    let
      own = unpacked.${name};
      version = lib.concatStrings (valuesOf "Version" name);
      libraries = lib.concatMapStringsSep ":" (dir: "$out/${dir}") libraryDirs;
    in
    pkgs.runCommand "${name}-${lib.sanitizeDerivationName version}"
      {
        passthru = {
          pname = name;
          inherit version;
        };
        meta.description = "Debian's package ${name}, with what it depends on";
      }
      ''
        mkdir -p $out/bin
        # Links inside a package may lead to files of another, so they have to be links inside the one tree.
        for tree in ${toString (map (n: unpacked.${n}) (closureOf name))}; do
          lndir -silent $tree $out
        done
        # What leads to files that only an installation makes would collide with itself in every other package.
        find $out -xtype l -delete
        for program in ${own}/bin/* ${own}/sbin/* ${own}/usr/bin/* ${own}/usr/sbin/*; do
          inTree=$out''${program#${own}}
          if [ ! -x "$inTree" ] || [ -d "$inTree" ]; then continue; fi
          wrapper=$out/bin/$(basename "$program")
          start="$inTree"
          if [ "$(head -c 4 "$inTree" | od -A n -t x1 | tr -d ' ')" = 7f454c46 ]; then
            start="$out/${loader} --argv0 $inTree --library-path ${libraries} $(readlink -f "$inTree")"
          fi
          if [ "$inTree" = "$wrapper" ]; then rm "$wrapper"; fi
          printf '#!%s\nexec %s "$@"\n' ${pkgs.runtimeShell} "$start" >"$wrapper"
          chmod +x "$wrapper"
        done
      '';

  debian = lib.mapAttrs (name: _: package name) debOf;
in
pkgs
// debian
// import ./services.nix { inherit pkgs debian; }
// {
  inherit debian;
}
