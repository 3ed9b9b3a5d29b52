//! Random programs that mostly make sense.
//!
//! Each production is a template: `%I` stands for a program that gives an integer, and so on for the other kinds; `%+I`
//! for a new variable of that kind, which what follows in the template may use; `%k` for an attribute name. Once in a
//! while a program of the wrong kind is put in, for the errors.

/// A program as a tree, so that it can be made smaller.
#[derive(Clone)]
pub struct Tree {
    /// The text around the children; one more than there are children.
    pub pieces: Vec<String>,
    /// The programs inside.
    pub children: Vec<Tree>,
}

impl Tree {
    /// A program without others inside.
    pub fn leaf(text: &str) -> Tree {
        Tree { pieces: vec![text.to_owned()], children: Vec::new() }
    }

    /// The text of the program.
    pub fn text(&self) -> String {
        let mut out = self.pieces[0].clone();
        for (child, piece) in self.children.iter().zip(&self.pieces[1..]) {
            out += &child.text();
            out += piece;
        }
        out
    }
}

impl Tree {
    /// The trees that have one part fewer: a child in the place of its parent, or a short leaf in that of a larger tree.
    pub fn smaller(&self) -> Vec<Tree> {
        let mut all = self.children.clone();
        if self.text().len() > 4 {
            all.extend(["1", "null", "[ ]", "{ }"].map(Tree::leaf));
        }
        for (index, child) in self.children.iter().enumerate() {
            for smaller in child.smaller() {
                let mut copy = self.clone();
                copy.children[index] = smaller;
                all.push(copy);
            }
        }
        all.retain(|candidate| candidate.text().len() < self.text().len());
        all
    }
}

/// Numbers that look random, the same for the same seed (xorshift).
pub struct Random(u64);

impl Random {
    /// A sequence of its own for each seed.
    pub fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % limit
    }

    fn pick<'a>(&mut self, items: &[&'a str]) -> &'a str {
        items[self.below(items.len())]
    }
}

const NAMES: &[&str] = &["a", "b", "c", "name", "value", "\"d e\"", "outPath", "or"];

/// The kinds: integer, float, Boolean, string, list, set, function. `X` is any of them.
const KINDS: &[char] = &['I', 'F', 'B', 'S', 'L', 'A', 'f'];

fn leaves(kind: char) -> &'static [&'static str] {
    match kind {
        'I' => &["0", "1", "2", "(-1)", "7", "42", "9223372036854775807", "1000000"],
        'F' => &["0.5", "1.0", "(-2.25)", "1e10", "1.0e-3", "3.0"],
        'B' => &["true", "false"],
        'S' => &[
            "\"\"",
            "\"a\"",
            "\"b c\"",
            "\"1.2.3\"",
            "\"a\\n\\t\\\"\\\\\"",
            "\"$\"",
            "\"\\${x}\"",
            "\"é\"",
            "''\n  two\n    lines\n''",
            "\"foo-1.0pre\"",
            "\"/x/y.nix\"",
            "\"7\"",
        ],
        'L' => &["[ ]", "[ 1 2 3 ]", "[ \"a\" \"b\" ]", "[ 3 1 2 ]", "[ true null ]", "[ [ 1 ] [ ] [ 2 3 ] ]"],
        'A' => &["{ }", "{ a = 1; }", "{ a = 1; b = \"x\"; }", "{ name = \"a\"; value = 2; }", "{ b = { c = 3; }; }"],
        'f' => &["(x: x)", "(x: y: x)", "builtins.toString", "builtins.isInt", "(builtins.add 1)", "({ a, ... }: a)"],
        _ => &["null", "/a/b", "1", "\"a\"", "[ 1 ]", "{ a = 2; }", "1.5", "true"],
    }
}

const INTEGERS: &[&str] = &[
    "(%I + %I)",
    "(%I - %I)",
    "(%I * %I)",
    "(%I / %I)",
    "(-%I)",
    "(if %B then %I else %I)",
    "(builtins.length %L)",
    "(builtins.stringLength %S)",
    "(let %+I = %I; in %I)",
    "(let %+I = %I; %+I = %I; in %I)",
    "(%A.%k or %I)",
    "(builtins.foldl' (%+I: %+X: %I) %I %L)",
    "((%+I: %I) %I)",
    "((%+I: %+I: %I) %I %I)",
    "(builtins.bitAnd %I %I)",
    "(builtins.bitXor %I %I)",
    "(builtins.floor %F)",
    "(builtins.ceil %F)",
    "(builtins.compareVersions %S %S)",
    "(builtins.elemAt %L %I)",
    "(builtins.head %L)",
    "(with %A; a)",
    "(assert %B; %I)",
    "(builtins.fromJSON %S)",
    "(let f = n: if n < 1 then %I else f (n - 1); in f 3)",
    "(builtins.seq %X %I)",
    "(builtins.deepSeq %X %I)",
    "(({ a, b ? %I }: a + b) %A)",
    "(({ a ? %I, ... }@args: a + builtins.length (builtins.attrNames args)) %A)",
    "(builtins.getAttr \"a\" %A)",
    "(let inherit (%A) a b; in a)",
    "(rec { a = b + %I; b = %I; }).a",
    "(builtins.add %I %I)",
    "(%I |> (x: x + %I))",
];
const FLOATS: &[&str] = &[
    "(%F + %F)",
    "(%F * %I)",
    "(%I / %F)",
    "(%F - %F)",
    "(if %B then %F else %F)",
    "(builtins.div %F %F)",
    "(builtins.fromJSON \"1.5e3\")",
];
const BOOLEANS: &[&str] = &[
    "(%X == %X)",
    "(%I == %F)",
    "(%X != %X)",
    "(%I < %I)",
    "(%F <= %I)",
    "(%S > %S)",
    "(%L < %L)",
    "(%L >= %L)",
    "(%B && %B)",
    "(%B || %B)",
    "(%B -> %B)",
    "(!%B)",
    "(%A ? %k)",
    "(%A ? %k.%k)",
    "(%X ? a)",
    "(builtins.isInt %X)",
    "(builtins.isFunction %X)",
    "(builtins.isAttrs %X)",
    "(builtins.isString %X)",
    "(builtins.elem %X %L)",
    "(builtins.all (%+X: %B) %L)",
    "(builtins.any (%+X: %B) %L)",
    "(builtins.hasAttr %S %A)",
    "(%A == %A)",
    "(builtins.lessThan %I %I)",
    "(builtins.tryEval %X).success",
    "(let %+B = %B; in %B)",
    "(%L == %L)",
    "(builtins.hasContext %S)",
];
const STRINGS: &[&str] = &[
    "(%S + %S)",
    "\"x${%S}y\"",
    "\"${%S}${%S}\"",
    "''\n  a ${%S}\n    b\n''",
    "(toString %X)",
    "(builtins.typeOf %X)",
    "(builtins.substring %I %I %S)",
    "(builtins.concatStringsSep %S %L)",
    "(builtins.toJSON %X)",
    "(builtins.toXML %X)",
    "(builtins.replaceStrings [ \"a\" %S ] [ %S \"b\" ] %S)",
    "(baseNameOf %S)",
    "(dirOf %S)",
    "(if %B then %S else %S)",
    "(builtins.hashString \"sha256\" %S)",
    "(let %+S = %S; in %S)",
    "(builtins.head (builtins.attrNames %A))",
    "(builtins.parseDrvName %S).version",
    "(builtins.concatStringsSep \",\" (map toString %L))",
    "(toString %F)",
    "(builtins.foldl' (%+S: %+X: %S) %S %L)",
    "(builtins.unsafeDiscardStringContext %S)",
    "(throw %S)",
    "(builtins.convertHash { hash = builtins.hashString \"md5\" %S; hashAlgo = \"md5\"; toHashFormat = \"nix32\"; })",
    "(builtins.addErrorContext %S %S)",
];
const LISTS: &[&str] = &[
    "[ %X %X ]",
    "[ %I %I %I ]",
    "(%L ++ %L)",
    "(%L ++ [ %X ] ++ %L)",
    "(map (%+X: %X) %L)",
    "(map %f %L)",
    "(builtins.filter (%+X: %B) %L)",
    "(builtins.genList (%+I: %X) 3)",
    "(builtins.attrNames %A)",
    "(builtins.attrValues %A)",
    "(builtins.sort (%+X: %+X: %B) %L)",
    "(builtins.sort builtins.lessThan %L)",
    "(builtins.concatMap (%+X: %L) %L)",
    "(builtins.concatLists [ %L %L ])",
    "(builtins.tail %L)",
    "(builtins.split %S %S)",
    "(builtins.split \"(a)|b\" %S)",
    "(builtins.match \"([a-z]*)(.*)\" %S)",
    "(builtins.catAttrs \"a\" [ %A %A ])",
    "(builtins.splitVersion %S)",
    "(let %+L = %L; in %L)",
    "(builtins.partition (%+X: %B) %L).right",
    "(if %B then %L else %L)",
    "(builtins.foldl' (%+L: %+X: %L) %L %L)",
    "(builtins.foldl' (list: x: list ++ [ x ]) %L %L)",
    "(let l = %L; in [ (l ++ [ 1 ]) (l ++ [ 2 ]) (l ++ [ 3 ] ++ l) ])",
    "(builtins.genericClosure { startSet = [ { key = %X; } ]; operator = item: [ { key = %X; } ]; })",
];
const SETS: &[&str] = &[
    "{ %k = %X; }",
    "{ a = %X; b = %X; }",
    "{ a.b = %X; a.c = %X; }",
    "rec { a = %I; b = a; c = %X; }",
    "(%A // %A)",
    "(%A // { %k = %X; } // %A)",
    "(builtins.mapAttrs (%+S: %+X: %X) %A)",
    "(builtins.removeAttrs %A [ %S \"a\" ])",
    "(builtins.listToAttrs [ { name = %S; value = %X; } { name = \"a\"; value = %X; } ])",
    "{ ${%S} = %X; a = %X; }",
    "(builtins.intersectAttrs %A %A)",
    "(builtins.zipAttrsWith (%+S: %+L: %X) [ %A %A ])",
    "(let %+A = %A; in %A)",
    "(builtins.groupBy (%+X: %S) %L)",
    "(builtins.fromJSON (builtins.toJSON %A))",
    "(builtins.tryEval %X)",
    "(builtins.functionArgs %f)",
    "(builtins.parseDrvName %S)",
    "(with %A; { inherit a; })",
    "{ inherit (%A) a b; }",
    "(builtins.partition (%+X: %B) %L)",
    "(let a = %X; in { inherit a; })",
    "(if %B then %A else %A)",
    "(let a = %A; b = %A; in (a // b) // (b // a))",
    "{ __functor = self: %f; a = %X; }",
    "{ __toString = self: %S; }",
    "(builtins.foldl' (%+A: %+X: %A) %A %L)",
    "(builtins.fromTOML \"a = 1\\nb.c = [ 1.5, 2.5 ]\")",
    "(builtins.getContext %S)",
    "(let x = { a = x; b = %X; }; in { inherit (x) b; })",
    "{ outPath = %S; }",
];
const FUNCTIONS: &[&str] = &[
    "(%+X: %X)",
    "(%+I: %I)",
    "({ a ? %X, ... }: %X)",
    "({ a, b ? a }: [ a b ])",
    "(%+X: %+X: %X)",
    "(args@{ ... }: args)",
    "(if %B then %f else %f)",
    "{ __functor = self: %f; }",
    "(builtins.foldl' (%+X: %+X: %X))",
    "(%f %X)",
];
const ANYTHING: &[&str] = &[
    "(%f %X)",
    "%A.%k",
    "%A.%k.%k",
    "(%A.%k or %X)",
    "(with %A; %X)",
    "(with %A; with %A; b)",
    "(builtins.head %L)",
    "(builtins.elemAt %L %I)",
    "(let %+X = %X; %+X = %X; in %X)",
    "(if %B then %X else %X)",
    "(%X + %X)",
    "(/a + %S)",
    "(builtins.fromJSON (builtins.toJSON %X))",
    "(builtins.tryEval (throw %S))",
    "(assert %B; %X)",
    "(builtins.seq %X %X)",
    "(builtins.getAttr %S %A)",
    "(({ a ? %X, b ? %X }@args: %X) %A)",
    "(builtins.match %S %S)",
    "((x: x x) (x: %X))",
    "(import (builtins.toFile \"x.nix\" %S))",
];

fn templates(kind: char) -> &'static [&'static str] {
    match kind {
        'I' => INTEGERS,
        'F' => FLOATS,
        'B' => BOOLEANS,
        'S' => STRINGS,
        'L' => LISTS,
        'A' => SETS,
        'f' => FUNCTIONS,
        _ => ANYTHING,
    }
}

/// Makes programs.
pub struct Generator {
    random: Random,
    /// The variables in scope, with their kinds.
    variables: Vec<(char, String)>,
    fresh: usize,
}

impl Generator {
    /// A generator whose programs depend on the seed alone.
    pub fn new(seed: u64) -> Generator {
        Generator { random: Random::new(seed), variables: Vec::new(), fresh: 0 }
    }

    /// A whole program.
    pub fn program(&mut self) -> Tree {
        let depth = 2 + self.random.below(5);
        self.tree('X', depth)
    }

    fn tree(&mut self, kind: char, depth: usize) -> Tree {
        let kind = match self.random.below(40) {
            0 => KINDS[self.random.below(KINDS.len())],
            n if kind == 'X' && n < 30 => KINDS[self.random.below(KINDS.len())],
            _ => kind,
        };
        if self.random.below(4) == 0
            && let Some(name) = self.variable(kind)
        {
            return Tree::leaf(&name);
        }
        if depth == 0 {
            return Tree::leaf(self.random.pick(leaves(kind)));
        }
        let template = self.random.pick(templates(kind));
        let outer = self.variables.len();
        let tree = self.fill(template, depth - 1);
        self.variables.truncate(outer);
        tree
    }

    fn variable(&mut self, kind: char) -> Option<String> {
        let fitting: Vec<&String> =
            self.variables.iter().filter(|(known, _)| kind == 'X' || *known == kind).map(|(_, name)| name).collect();
        (!fitting.is_empty()).then(|| fitting[self.random.below(fitting.len())].clone())
    }

    fn fill(&mut self, template: &str, depth: usize) -> Tree {
        let mut tree = Tree::leaf("");
        let mut rest = template.chars();
        while let Some(character) = rest.next() {
            let last = tree.pieces.len() - 1;
            match (character, rest.clone().next()) {
                ('%', Some('k')) => {
                    rest.next();
                    tree.pieces[last] += self.random.pick(NAMES);
                }
                ('%', Some('+')) => {
                    let kind = rest.nth(1).unwrap_or('X');
                    self.fresh += 1;
                    let name = format!("{}{}", kind.to_ascii_lowercase(), self.fresh);
                    tree.pieces[last] += &name;
                    self.variables.push((kind, name));
                }
                ('%', Some(kind)) => {
                    rest.next();
                    let child = self.tree(kind, depth);
                    tree.children.push(child);
                    tree.pieces.push(String::new());
                }
                _ => tree.pieces[last].push(character),
            }
        }
        tree
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_parse_and_smaller_ones_are_smaller() {
        let options = syntax::Options { pipe_operators: true, ..syntax::Options::default() };
        for seed in 0..500 {
            let tree = Generator::new(seed).program();
            let text = tree.text();
            // A computed name may be one that is there already, which both evaluators have to see.
            let errors = syntax::parse(text.as_bytes(), options).errors;
            assert!(errors.iter().all(|error| error.message.contains("is defined twice")), "{text}");
            assert!(tree.smaller().iter().all(|smaller| smaller.text().len() < text.len()));
            assert_eq!(Generator::new(seed).program().text(), text);
        }
    }
}
