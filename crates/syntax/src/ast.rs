//! The tree: plain data in arenas, addressed by 32-bit numbers.
//!
//! A node is 16 bytes and knows no position. Positions live in side tables ([`Ast::span`]), so that a consumer that
//! only compiles the tree never touches them. Strings are bytes: a Nix string may hold any byte but NUL.

/// A range of byte offsets into the source, end excluded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Span {
    /// Offset of the first byte.
    pub start: u32,
    /// Offset after the last byte.
    pub end: u32,
}

impl Span {
    /// The span from `start` to `end`.
    pub fn new(start: u32, end: u32) -> Self {
        Span { start, end }
    }

    /// The smallest span that covers both.
    pub fn to(self, other: Span) -> Self {
        Span { start: self.start.min(other.start), end: self.end.max(other.end) }
    }
}

/// The number of a node in its [`Ast`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NodeId(pub u32);

/// A name (of a variable, an attribute, an argument) interned in its [`Ast`]: equal names have equal numbers, which
/// run from 0 to [`Ast::name_count`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Name(pub u32);

/// The number of an attribute set literal (or the bindings of a `let`) in its [`Ast`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SetId(pub u32);

/// The number of a function literal in its [`Ast`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LambdaId(pub u32);

/// A byte string in the tree's pool; [`Ast::text`] gives its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text {
    pub(crate) start: u32,
    pub(crate) len: u32,
}

/// A run of entries in one of the tree's tables; which one is said where it is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Run {
    pub(crate) start: u32,
    pub(crate) len: u32,
}

impl Run {
    /// How many entries there are.
    pub fn len(self) -> usize {
        self.len as usize
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.len == 0
    }
}

/// What a path literal is relative to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathBase {
    /// `./x`, `../x`, `x/y`: the directory of the file that holds it.
    File,
    /// `/x`: the root directory.
    Root,
    /// `~/x`: the home directory. The text still begins with `~`.
    Home,
}

/// Operators of two operands. `- * / < <= > >=` stand for calls of whatever `__sub`, `__mul`, `__div` and
/// `__lessThan` mean where they are written (`a > b` is `__lessThan b a`, `a <= b` is `! (__lessThan b a)`); a file
/// that rebinds none of these names ([`Ast::find_name`]) means the builtins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BinaryOp {
    /// `->`
    Implies,
    /// `||`
    Or,
    /// `&&`
    And,
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `//`
    Update,
    /// `+`
    Add,
    /// `-`
    Sub,
    /// `*`
    Mul,
    /// `/`
    Div,
    /// `++`
    Concat,
    /// `f <| x`: the left operand is applied to the right one.
    PipeFrom,
    /// `x |> f`: the right operand is applied to the left one.
    PipeInto,
}

/// An expression.
///
/// Chains of operators (`a + b + c + …`) and of calls can make a tree far higher than [`crate::MAX_DEPTH`], which
/// bounds only what nests: who walks the tree by recursion must watch its stack.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Node {
    /// Where the parser met an error and went on. Never present when there are no errors.
    Error,
    /// An integer.
    Int(i64),
    /// A floating-point number.
    Float(f64),
    /// A string without interpolation, or a URI literal.
    Str(Text),
    /// `"a${b}"`, `''a${b}''`: a string of several [`Part`]s ([`Ast::parts`]); at least one. Neighbouring literal
    /// parts are not merged, and all parts may be literal (`''a''$b''`), since the language's printed form shows them.
    Interpolation(Run),
    /// A path as written, not made canonical; where `${` follows it, it may end in a slash that matters.
    Path(PathBase, Text),
    /// `./a/${b}/c`: a [`Node::Path`], then [`Part`]s ([`Ast::parts`]) that are appended to it.
    PathInterpolation(NodeId, Run),
    /// `<nixpkgs>`: `__findFile __nixPath "nixpkgs"`, with the meaning those names have where it is written.
    SearchPath(Text),
    /// A variable.
    Var(Name),
    /// `__curPos`: the position of this node.
    CurPos,
    /// `[ … ]`; the elements are [`Ast::ids`].
    List(Run),
    /// `{ … }` or `rec { … }`.
    Attrs(SetId),
    /// `let { …; body = e; }`: the attribute `body` of the set, which is recursive.
    LegacyLet(SetId),
    /// `let …; in body`. The set has no dynamic attributes.
    Let(SetId, NodeId),
    /// `with scope; body`.
    With(NodeId, NodeId),
    /// `assert condition; body`.
    Assert(NodeId, NodeId),
    /// `if condition then a else b`.
    If(NodeId, NodeId, NodeId),
    /// A function.
    Lambda(LambdaId),
    /// A function applied to one or more arguments, which are [`Ast::ids`].
    Call(NodeId, Run),
    /// `set.path`; the path is [`Ast::path`].
    Select(NodeId, Run),
    /// `set.path or default`; the path is [`Ast::path`].
    SelectOr(NodeId, PathId, NodeId),
    /// `set ? path`; the path is [`Ast::path`].
    HasAttr(NodeId, Run),
    /// `! e`.
    Not(NodeId),
    /// `- e`, which is `__sub 0 e` with the meaning `__sub` has where it is written.
    Negate(NodeId),
    /// Two operands.
    Binary(BinaryOp, NodeId, NodeId),
}

/// The number of an attribute path that is not kept in the node itself; see [`Ast::path_run`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathId(pub(crate) u32);

/// A piece of a string or path.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Part {
    /// Literal bytes, escapes and indentation already resolved.
    Str(Text),
    /// `${…}`.
    Expr(NodeId),
}

/// The name of an attribute in a path.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum KeyName {
    /// `a`, `"a"` or `${"a"}`.
    Static(Name),
    /// `${e}` or `"…${e}…"`: an expression that must give a string.
    Dynamic(NodeId),
}

/// One step of an attribute path, with its place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Key {
    /// The attribute's name.
    pub name: KeyName,
    /// Where this step is written.
    pub span: Span,
}

/// The bindings of `{ … }`, `rec { … }` or `let …`, nested attribute paths already merged into nested sets as Nix
/// does: `a.b = 1; a.c = 2;` is one attribute `a`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AttrSet {
    /// Whether values see the attributes as variables. Always true of a `let`'s.
    pub recursive: bool,
    /// Attributes whose names are known, each name once, in the order of their first appearance.
    pub attrs: Vec<Attr>,
    /// Attributes whose names must be evaluated, in order. In a recursive set their names and values see the static ones.
    pub dynamic: Vec<DynamicAttr>,
    /// The sources of `inherit (e) …`, each evaluated at most once, in the scope of the values.
    pub inherit_from: Vec<NodeId>,
}

/// An attribute with a static name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Attr {
    /// Its name.
    pub name: Name,
    /// Its position as the language sees it (`unsafeGetAttrPos`): the whole path on the left of `=`, or the name in an
    /// `inherit`.
    pub span: Span,
    /// Its value.
    pub value: AttrValue,
}

/// What gives an attribute its value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum AttrValue {
    /// `name = e;`
    Expr(NodeId),
    /// `inherit name;`: the variable of that name ([`Node::Var`]) in the scope *around* the set.
    Inherit(NodeId),
    /// `inherit (e) name;`: the attribute of that name of the set's `inherit_from` with this index.
    InheritFrom(u32),
}

/// An attribute whose name is an expression. A name that is `null` leaves the attribute out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DynamicAttr {
    /// The name.
    pub name: NodeId,
    /// The value.
    pub value: NodeId,
    /// The whole path on the left of `=`.
    pub span: Span,
}

/// A function.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lambda {
    /// `x: …`, or the `x` of `x@{ … }: …`.
    pub arg: Option<Name>,
    /// The `{ a, b ? e, ... }` pattern.
    pub formals: Option<Formals>,
    /// The body.
    pub body: NodeId,
    /// The attribute the function is directly bound to, for messages and traces.
    pub name: Option<Name>,
}

/// A pattern of named arguments.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Formals {
    /// The arguments in the order written, each name once; see [`Ast::formals`].
    pub list: Run,
    /// Whether `...` admits other arguments.
    pub ellipsis: bool,
}

/// A named argument.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Formal {
    /// Its name.
    pub name: Name,
    /// Where the name is written.
    pub span: Span,
    /// The default, evaluated in the scope of all the arguments.
    pub default: Option<NodeId>,
}

/// A syntax tree with everything it refers to.
#[derive(Clone, Debug, Default)]
pub struct Ast {
    pub(crate) nodes: Vec<Node>,
    pub(crate) spans: Vec<Span>,
    pub(crate) ids: Vec<NodeId>,
    pub(crate) parts: Vec<Part>,
    pub(crate) keys: Vec<Key>,
    pub(crate) paths: Vec<Run>,
    pub(crate) sets: Vec<AttrSet>,
    pub(crate) lambdas: Vec<Lambda>,
    pub(crate) formals: Vec<Formal>,
    pub(crate) pool: Vec<u8>,
    pub(crate) names: crate::names::Names,
}

impl Ast {
    /// A node.
    pub fn node(&self, id: NodeId) -> Node {
        self.nodes[id.0 as usize]
    }

    /// Where a node is written, parentheses around it not included.
    pub fn span(&self, id: NodeId) -> Span {
        self.spans[id.0 as usize]
    }

    /// How many nodes there are.
    pub fn node_count(&self) -> usize {
        self.nodes.len()
    }

    /// The elements of a [`Node::List`] or the arguments of a [`Node::Call`].
    pub fn ids(&self, run: Run) -> &[NodeId] {
        slice(&self.ids, run)
    }

    /// The pieces of a [`Node::Interpolation`] or [`Node::PathInterpolation`].
    pub fn parts(&self, run: Run) -> &[Part] {
        slice(&self.parts, run)
    }

    /// The steps of an attribute path: at least one.
    pub fn path(&self, run: Run) -> &[Key] {
        slice(&self.keys, run)
    }

    /// The path of a [`Node::SelectOr`].
    pub fn path_run(&self, id: PathId) -> Run {
        self.paths[id.0 as usize]
    }

    /// The bindings of a set or `let`.
    pub fn set(&self, id: SetId) -> &AttrSet {
        &self.sets[id.0 as usize]
    }

    /// A function.
    pub fn lambda(&self, id: LambdaId) -> &Lambda {
        &self.lambdas[id.0 as usize]
    }

    /// The arguments of a pattern.
    pub fn formals(&self, run: Run) -> &[Formal] {
        slice(&self.formals, run)
    }

    /// The bytes of a string.
    pub fn text(&self, text: Text) -> &[u8] {
        &self.pool[text.start as usize..][..text.len as usize]
    }

    /// The bytes of a name.
    pub fn name(&self, name: Name) -> &[u8] {
        self.text(self.names.text(name))
    }

    /// How many different names the tree has.
    pub fn name_count(&self) -> usize {
        self.names.len()
    }

    /// All names, in the order of their numbers.
    pub fn names(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.name_count()).map(|index| self.name(Name(index as u32)))
    }

    /// The number of a name, if the tree mentions it anywhere.
    pub fn find_name(&self, bytes: &[u8]) -> Option<Name> {
        self.names.find(bytes, &self.pool)
    }
}

fn slice<T>(table: &[T], run: Run) -> &[T] {
    &table[run.start as usize..][..run.len as usize]
}
