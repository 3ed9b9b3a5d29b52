//! The code that the interpreter walks: syntax with every variable resolved.
//!
//! A node is two words: what it is, and a small operand or a reference to its parts in the heap. Parts hold their
//! children in place, so that a thunk can point at any of them.

use std::sync::OnceLock;

use crate::heap::{InlineCache, Shape, Value};
use crate::position::Pos;
use crate::symbol::Symbol;

/// An expression.
pub enum Expr {
    /// A value that is known.
    Const(Value),
    /// A value that is known, of an expression that C++ Nix computes when it is needed.
    Computed(&'static Computed),
    /// The variable in a slot of the scope `depth` levels up.
    Var {
        /// Levels up.
        depth: u16,
        /// Slot in that scope.
        slot: u32,
        /// Where it is written.
        pos: Pos,
    },
    /// A variable of a `let`, which is evaluated in its slot when it is first needed.
    Lazy(&'static LazyVar),
    /// A variable that some `with` may define.
    WithVar(&'static WithVar),
    /// `base.name`
    SelectOne(&'static SelectOne),
    /// `base.path or default`
    Select(&'static Select),
    /// `base ? path`
    HasAttr(&'static HasAttr),
    /// `{ … }`
    Attrs(&'static AttrsLiteral),
    /// `rec { … }`
    RecAttrs(&'static RecAttrs),
    /// `[ … ]`
    List(&'static Operands),
    /// A function.
    Lambda(&'static Lambda),
    /// A function applied to arguments.
    Call(&'static Call),
    /// `let … in body`
    Let(&'static Let),
    /// `with scope; body`
    With(&'static With),
    /// `if … then … else …`
    If(&'static If),
    /// `assert condition; body`
    Assert(&'static Assert),
    /// `! operand`
    Not(&'static Not),
    /// An operator of two operands.
    Binary(Operator, &'static Pair),
    /// `a // b // c`
    Update(&'static Operands),
    /// `a ++ b ++ c`
    ConcatLists(&'static Operands),
    /// `"…${a}…"`: each operand is coerced to a string.
    Interpolate(&'static Operands),
    /// `./a/${b}`: the first operand is a path constant, the others are appended.
    InterpolatePath(&'static Operands),
}

const _: () = assert!(size_of::<Expr>() == 16);

impl Expr {
    /// Where it is written, as far as that is known without its children.
    pub fn pos(&self) -> Pos {
        match self {
            Expr::Const(_) | Expr::Computed(_) | Expr::Attrs(_) | Expr::RecAttrs(_) => Pos::NONE,
            Expr::Var { pos, .. } => *pos,
            Expr::Lazy(node) => node.pos,
            Expr::WithVar(node) => node.pos,
            Expr::SelectOne(node) => node.name.pos,
            Expr::Select(Select { path, .. }) | Expr::HasAttr(HasAttr { path, .. }) => match path.last() {
                Some(Step::Static(name)) => name.pos,
                Some(Step::Dynamic(_, pos)) => *pos,
                None => Pos::NONE,
            },
            Expr::List(node)
            | Expr::Update(node)
            | Expr::ConcatLists(node)
            | Expr::Interpolate(node)
            | Expr::InterpolatePath(node) => node.pos,
            Expr::Lambda(node) => node.pos(),
            Expr::Call(node) => node.pos,
            Expr::Let(node) => node.body.pos(),
            Expr::With(node) => node.body.pos(),
            Expr::If(node) => node.pos,
            Expr::Assert(node) => node.pos,
            Expr::Not(node) => node.pos,
            Expr::Binary(_, node) => node.pos,
        }
    }
}

/// `-1`, `builtins.map` and the like.
pub struct Computed {
    /// The value.
    pub value: Value,
    /// What stands for it in sets and lists: they show which of their values nobody asked for.
    pub delayed: Value,
}

/// Operators that are not resolved while compiling.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operator {
    /// `&&`
    And,
    /// `||`
    Or,
    /// `->`
    Implies,
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
    /// `+`
    Add,
    /// `-`
    Sub,
    /// `*`
    Mul,
    /// `/`
    Div,
}

/// Two operands.
pub struct Pair {
    /// The left one.
    pub left: Expr,
    /// The right one.
    pub right: Expr,
    /// The whole expression.
    pub pos: Pos,
}

/// Any number of operands.
pub struct Operands {
    /// In the order written.
    pub items: &'static [Expr],
    /// Where each is written.
    pub positions: &'static [Pos],
    /// The whole expression.
    pub pos: Pos,
}

/// `! operand`
pub struct Not {
    /// The operand.
    pub operand: Expr,
    /// Where the operand is written.
    pub pos: Pos,
}

/// The values of the variables of one `let`, slot for slot. The variables refer to it before it is complete.
#[derive(Default)]
pub struct Bindings(OnceLock<&'static [Expr]>);

impl Bindings {
    /// Says what the variables are.
    pub fn complete(&self, values: &'static [Expr]) {
        assert!(self.0.set(values).is_ok(), "a `let` is compiled once");
    }

    /// What a variable is.
    pub fn get(&self, index: u32) -> &'static Expr {
        &self.0.get().expect("code runs after it is compiled")[index as usize]
    }
}

/// A variable of a `let`. Nothing is done for it where the `let` begins: while its slot is empty, its value is what
/// evaluating its binding in that scope gives.
pub struct LazyVar {
    /// What it is bound to.
    pub bindings: &'static Bindings,
    /// Its place among the bindings.
    pub index: u32,
    /// Levels up.
    pub depth: u16,
    /// Slot in that scope.
    pub slot: u32,
    /// Where it is written.
    pub pos: Pos,
}

impl LazyVar {
    /// What it is bound to; to be evaluated in the scope that has its slot.
    pub fn binding(&self) -> &'static Expr {
        self.bindings.get(self.index)
    }
}

/// A variable that no enclosing scope binds, so that the `with`s around it are asked, innermost first.
pub struct WithVar {
    /// Its name.
    pub name: Symbol,
    /// How many levels up each `with` is; at least one.
    pub scopes: &'static [u32],
    /// For the innermost.
    pub cache: InlineCache,
    /// Where it is written.
    pub pos: Pos,
}

/// An attribute name that is known, where it is looked up.
pub struct SelectName {
    /// The name.
    pub name: Symbol,
    /// Where it is written.
    pub pos: Pos,
    /// Where it was found last.
    pub cache: InlineCache,
}

/// `base.name`
pub struct SelectOne {
    /// The set.
    pub base: Expr,
    /// The attribute.
    pub name: SelectName,
}

/// One step of an attribute path.
pub enum Step {
    /// A name that is known.
    Static(SelectName),
    /// A name that is evaluated.
    Dynamic(Expr, Pos),
}

/// `base.path or default`
pub struct Select {
    /// The set.
    pub base: Expr,
    /// The path, at least one step.
    pub path: &'static [Step],
    /// What stands after `or`.
    pub default: Option<Expr>,
}

/// `base ? path`
pub struct HasAttr {
    /// The set, or anything else.
    pub base: Expr,
    /// The path, at least one step.
    pub path: &'static [Step],
}

/// What gives a name its value.
pub enum Binding {
    /// An expression.
    Expr(Expr),
    /// An attribute of the source with this index.
    InheritFrom(u32, SelectName),
}

/// An attribute whose name is evaluated.
pub struct Dynamic {
    /// The name, a string or `null`.
    pub name: Expr,
    /// The value.
    pub value: Expr,
    /// Where it is defined.
    pub pos: Pos,
}

/// `{ … }`
pub struct AttrsLiteral {
    /// The static names.
    pub shape: &'static Shape,
    /// A value for each, in the order of the shape.
    pub bindings: &'static [Binding],
    /// The sources of `inherit (…)`.
    pub sources: &'static [Expr],
    /// The dynamic names.
    pub dynamic: &'static [Dynamic],
}

/// `rec { … }`: the static attributes are also the variables of a new scope, slot for slot.
pub struct RecAttrs {
    /// The attributes; all expressions are in the new scope.
    pub attrs: AttrsLiteral,
    /// The slot of `__overrides`, if there is such an attribute.
    pub overrides: Option<u32>,
}

/// `let … in body` with a scope of its own. In the body of a function, the variables live in the function's scope, and
/// nothing is left of the `let` but its body.
pub struct Let {
    /// The number of variables.
    pub slots: u32,
    /// The body.
    pub body: Expr,
}

/// `with scope; body`
pub struct With {
    /// The set; it becomes slot 0 of a new scope.
    pub scope: Expr,
    /// The body.
    pub body: Expr,
    /// Where the set is written.
    pub pos: Pos,
}

/// `if condition then consequence else alternative`
pub struct If {
    /// The condition.
    pub condition: Expr,
    /// The value if it holds.
    pub consequence: Expr,
    /// The value if not.
    pub alternative: Expr,
    /// Where the condition is written.
    pub pos: Pos,
}

/// `assert condition; body`
pub struct Assert {
    /// The condition.
    pub condition: Expr,
    /// The value.
    pub body: Expr,
    /// Where the condition is written.
    pub pos: Pos,
}

/// A function applied to arguments.
pub struct Call {
    /// The function.
    pub function: Expr,
    /// The arguments, at least one.
    pub args: &'static [Expr],
    /// The whole call.
    pub pos: Pos,
}

/// A function. Functions that return functions at once (`a: b: …`) are one, so that a call with all arguments makes
/// one scope.
pub struct Lambda {
    /// How many arguments are taken by plain names, into the first slots in order.
    pub plain: u32,
    /// Those names.
    pub arguments: &'static [Symbol],
    /// The pattern of the argument after those, if any.
    pub pattern: Option<Pattern>,
    /// The number of variables of its scope, those of a `let` directly below included.
    pub slots: u32,
    /// The body.
    pub body: Expr,
    /// What the function was bound to when it was written.
    pub name: Option<Symbol>,
    /// Where each argument's part of the function begins.
    pub positions: &'static [Pos],
}

impl Lambda {
    /// The number of arguments that it takes in one step.
    pub fn arity(&self) -> usize {
        self.plain as usize + usize::from(self.pattern.is_some())
    }

    /// Where it is written.
    pub fn pos(&self) -> Pos {
        self.positions[0]
    }
}

/// A pattern of named arguments.
pub struct Pattern {
    /// The named arguments, sorted by symbol.
    pub formals: &'static [Formal],
    /// Whether other arguments are admitted.
    pub ellipsis: bool,
    /// The slot of the whole argument (`args@{ … }`).
    pub whole: Option<u32>,
    /// The name of the whole argument.
    pub whole_name: Option<Symbol>,
    /// The names with their positions, as a set's shape: for `functionArgs`.
    pub shape: &'static Shape,
}

/// A named argument.
pub struct Formal {
    /// Its name.
    pub name: Symbol,
    /// Its slot.
    pub slot: u32,
    /// Its default.
    pub default: Option<Expr>,
}
