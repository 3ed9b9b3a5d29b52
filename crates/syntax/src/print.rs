//! A tree as `nix-instantiate --parse` prints it: one line, fully bracketed, attributes sorted, Nix's desugaring shown.

use std::collections::BTreeMap;

use crate::ast::*;

/// Where paths are resolved from: both are absolute.
#[derive(Clone, Copy, Debug)]
pub struct PrintPaths<'a> {
    /// The directory of the file, for `./x`.
    pub base: &'a str,
    /// The home directory, for `~/x`.
    pub home: &'a str,
}

/// Prints an expression of a tree without errors.
pub fn print(ast: &Ast, root: NodeId, paths: PrintPaths<'_>) -> Vec<u8> {
    let mut printer = Printer { ast, paths, out: Vec::new() };
    printer.node(root);
    printer.out
}

struct Printer<'a> {
    ast: &'a Ast,
    paths: PrintPaths<'a>,
    out: Vec<u8>,
}

/// What is called: Nix's parser turns some operators into calls of variables.
enum Callee {
    Node(NodeId),
    Builtin(&'static str),
}

/// An argument of a call.
#[derive(Clone, Copy)]
enum Argument {
    Node(NodeId),
    Zero,
    Variable(&'static str),
    Text(Text),
}

impl Printer<'_> {
    fn node(&mut self, id: NodeId) {
        crate::with_stack(|| self.node_here(id));
    }

    fn node_here(&mut self, id: NodeId) {
        match self.ast.node(id) {
            Node::Error => self.push("«error»"),
            Node::Int(value) => self.push(&value.to_string()),
            Node::Float(value) => self.push(&crate::float::general(value)),
            Node::Str(text) => print_string(self.ast.text(text), &mut self.out),
            Node::Interpolation(parts) => self.interpolation(None, parts),
            Node::Path(base, text) => self.path(base, text),
            Node::PathInterpolation(head, parts) => self.interpolation(Some(head), parts),
            Node::Var(name) => self.name(name),
            Node::CurPos => self.push("__curPos"),
            Node::List(elements) => self.list(elements),
            Node::Attrs(set) => self.attrs(set),
            Node::LegacyLet(set) => {
                self.push("(rec ");
                self.braced(set);
                self.push(").body");
            }
            Node::Let(set, body) => {
                self.push("(let ");
                self.bindings(set);
                self.push("in ");
                self.node(body);
                self.push(")");
            }
            Node::With(scope, body) => self.sequence(&["(with ", "; ", ")"], &[scope, body]),
            Node::Assert(condition, body) => self.sequence(&["assert ", "; ", ""], &[condition, body]),
            Node::If(condition, yes, no) => {
                self.sequence(&["(if ", " then ", " else ", ")"], &[condition, yes, no]);
            }
            Node::Lambda(lambda) => self.lambda(lambda),
            Node::Select(set, path) => self.select(set, path, None),
            Node::SelectOr(set, path, default) => self.select(set, self.ast.path_run(path), Some(default)),
            Node::HasAttr(set, path) => {
                self.sequence(&["((", ") ? "], &[set]);
                self.attr_path(path);
                self.push(")");
            }
            Node::Not(operand) => self.sequence(&["(! ", ")"], &[operand]),
            Node::Binary(operator, left, right) => self.binary(id, operator, left, right),
            Node::Call(..) | Node::Negate(_) | Node::SearchPath(_) => self.call(id),
        }
    }

    fn push(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    fn name(&mut self, name: Name) {
        print_name(self.ast.name(name), &mut self.out);
    }

    /// Nodes with words before, between and after them.
    fn sequence(&mut self, words: &[&str], nodes: &[NodeId]) {
        for (index, word) in words.iter().enumerate() {
            self.push(word);
            if let Some(node) = nodes.get(index) {
                self.node(*node);
            }
        }
    }

    fn interpolation(&mut self, head: Option<NodeId>, parts: Run) {
        self.push("(");
        if let Some(head) = head {
            self.node(head);
        }
        for (index, part) in self.ast.parts(parts).iter().enumerate() {
            if index > 0 || head.is_some() {
                self.push(" + ");
            }
            match *part {
                Part::Str(text) => print_string(self.ast.text(text), &mut self.out),
                Part::Expr(node) => self.node(node),
            }
        }
        self.push(")");
    }

    fn path(&mut self, base: PathBase, text: Text) {
        let text = String::from_utf8_lossy(self.ast.text(text)).into_owned();
        let printed = match base {
            PathBase::File => canonical(&format!("{}/{text}", self.paths.base), text.ends_with('/')),
            PathBase::Root => canonical(&text, text.len() > 1 && text.ends_with('/')),
            PathBase::Home => format!("{}{}", self.paths.home, &text[1..]),
        };
        self.push(&printed);
    }

    fn list(&mut self, elements: Run) {
        self.push("[ ");
        for element in self.ast.ids(elements) {
            self.sequence(&["(", ") "], &[*element]);
        }
        self.push("]");
    }

    fn attrs(&mut self, set: SetId) {
        if self.ast.set(set).recursive {
            self.push("rec ");
        }
        self.braced(set);
    }

    fn braced(&mut self, set: SetId) {
        self.push("{ ");
        self.bindings(set);
        self.push("}");
    }

    fn bindings(&mut self, set: SetId) {
        let ast = self.ast;
        let set = ast.set(set);
        let mut sorted: Vec<&Attr> = set.attrs.iter().collect();
        sorted.sort_by_key(|attr| ast.name(attr.name));
        let mut inherited = Vec::new();
        let mut inherited_from: BTreeMap<u32, Vec<Name>> = BTreeMap::new();
        for attr in &sorted {
            match attr.value {
                AttrValue::Inherit(_) => inherited.push(attr.name),
                AttrValue::InheritFrom(source) => inherited_from.entry(source).or_default().push(attr.name),
                AttrValue::Expr(_) => {}
            }
        }
        if !inherited.is_empty() {
            self.inherit(None, &inherited);
        }
        for (source, names) in inherited_from {
            self.inherit(Some(set.inherit_from[source as usize]), &names);
        }
        for attr in sorted {
            if let AttrValue::Expr(value) = attr.value {
                self.name(attr.name);
                self.sequence(&[" = ", "; "], &[value]);
            }
        }
        for attr in &set.dynamic {
            self.sequence(&["\"${", "}\" = ", "; "], &[attr.name, attr.value]);
        }
    }

    fn inherit(&mut self, source: Option<NodeId>, names: &[Name]) {
        self.push("inherit");
        if let Some(source) = source {
            self.sequence(&[" (", ")"], &[source]);
        }
        for name in names {
            self.push(" ");
            self.name(*name);
        }
        self.push("; ");
    }

    fn lambda(&mut self, lambda: LambdaId) {
        let lambda = *self.ast.lambda(lambda);
        self.push("(");
        if let Some(formals) = lambda.formals {
            self.pattern(formals);
            if lambda.arg.is_some() {
                self.push(" @ ");
            }
        }
        if let Some(arg) = lambda.arg {
            self.name(arg);
        }
        self.sequence(&[": ", ")"], &[lambda.body]);
    }

    fn pattern(&mut self, formals: Formals) {
        let mut sorted = self.ast.formals(formals.list).to_vec();
        sorted.sort_by_key(|formal| self.ast.name(formal.name));
        self.push("{ ");
        for (index, formal) in sorted.iter().enumerate() {
            if index > 0 {
                self.push(", ");
            }
            self.name(formal.name);
            if let Some(default) = formal.default {
                self.sequence(&[" ? "], &[default]);
            }
        }
        if formals.ellipsis {
            self.push(if sorted.is_empty() { "..." } else { ", ..." });
        }
        self.push(" }");
    }

    fn select(&mut self, set: NodeId, path: Run, default: Option<NodeId>) {
        self.sequence(&["(", ")."], &[set]);
        self.attr_path(path);
        if let Some(default) = default {
            self.sequence(&[" or (", ")"], &[default]);
        }
    }

    fn attr_path(&mut self, path: Run) {
        for (index, key) in self.ast.path(path).iter().enumerate() {
            if index > 0 {
                self.push(".");
            }
            match key.name {
                KeyName::Static(name) => self.name(name),
                KeyName::Dynamic(name) => self.sequence(&["\"${", "}\""], &[name]),
            }
        }
    }

    fn binary(&mut self, id: NodeId, operator: BinaryOp, left: NodeId, right: NodeId) {
        let sign = match operator {
            BinaryOp::LessOrEqual | BinaryOp::GreaterOrEqual => {
                self.push("(! ");
                self.call(id);
                self.push(")");
                return;
            }
            BinaryOp::Implies => " -> ",
            BinaryOp::Or => " || ",
            BinaryOp::And => " && ",
            BinaryOp::Equal => " == ",
            BinaryOp::NotEqual => " != ",
            BinaryOp::Update => " // ",
            BinaryOp::Add => " + ",
            BinaryOp::Concat => " ++ ",
            _ => return self.call(id),
        };
        self.sequence(&["(", sign, ")"], &[left, right]);
    }

    /// A call, calls of its result joined to it.
    fn call(&mut self, id: NodeId) {
        let mut groups = Vec::new();
        let mut callee = Callee::Node(id);
        while let Callee::Node(node) = callee {
            let Some((inner, arguments)) = self.as_call(node, groups.is_empty()) else {
                break;
            };
            groups.push(arguments);
            callee = inner;
        }
        self.push("(");
        match callee {
            Callee::Node(node) => self.node(node),
            Callee::Builtin(name) => self.push(name),
        }
        for argument in groups.into_iter().rev().flatten() {
            self.push(" ");
            match argument {
                Argument::Node(node) => self.node(node),
                Argument::Zero => self.push("0"),
                Argument::Variable(name) => self.push(name),
                Argument::Text(text) => print_string(self.ast.text(text), &mut self.out),
            }
        }
        self.push(")");
    }

    /// A node as the call that Nix's parser makes of it. `a <= b` is one only at the `outermost` level, below its `!`.
    fn as_call(&self, node: NodeId, outermost: bool) -> Option<(Callee, Vec<Argument>)> {
        let builtin = |name, left, right| Some((Callee::Builtin(name), vec![left, right]));
        match self.ast.node(node) {
            Node::Call(function, arguments) => {
                let arguments = self.ast.ids(arguments).iter().map(|id| Argument::Node(*id));
                Some((Callee::Node(function), arguments.collect()))
            }
            Node::Negate(operand) => builtin("__sub", Argument::Zero, Argument::Node(operand)),
            Node::SearchPath(text) => builtin("__findFile", Argument::Variable("__nixPath"), Argument::Text(text)),
            Node::Binary(operator, left, right) => {
                let (left, right) = (Argument::Node(left), Argument::Node(right));
                match (operator, left, right) {
                    (BinaryOp::Sub, ..) => builtin("__sub", left, right),
                    (BinaryOp::Mul, ..) => builtin("__mul", left, right),
                    (BinaryOp::Div, ..) => builtin("__div", left, right),
                    (BinaryOp::Less, ..) => builtin("__lessThan", left, right),
                    (BinaryOp::Greater, ..) => builtin("__lessThan", right, left),
                    (BinaryOp::GreaterOrEqual, ..) if outermost => builtin("__lessThan", left, right),
                    (BinaryOp::LessOrEqual, ..) if outermost => builtin("__lessThan", right, left),
                    (BinaryOp::PipeFrom, Argument::Node(function), _) => Some((Callee::Node(function), vec![right])),
                    (BinaryOp::PipeInto, _, Argument::Node(function)) => Some((Callee::Node(function), vec![left])),
                    _ => None,
                }
            }
            _ => None,
        }
    }
}

/// An absolute path without `.`, `..` and double slashes; `slash` keeps one at the end.
fn canonical(path: &str, slash: bool) -> String {
    let mut steps: Vec<&str> = Vec::new();
    for step in path.split('/') {
        match step {
            "" | "." => {}
            ".." => {
                steps.pop();
            }
            _ => steps.push(step),
        }
    }
    let end = if slash { "/" } else { "" };
    format!("/{}{end}", steps.join("/"))
}

/// Prints a string as a literal.
pub fn print_string(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for (index, byte) in bytes.iter().enumerate() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'$' if bytes.get(index + 1) == Some(&b'{') => out.extend_from_slice(b"\\$"),
            _ => out.push(*byte),
        }
    }
    out.push(b'"');
}

/// Prints the name of an attribute or variable, in quotes if it is no identifier.
pub fn print_name(name: &[u8], out: &mut Vec<u8>) {
    if is_identifier(name) {
        out.extend_from_slice(name);
    } else {
        print_string(name, out);
    }
}

/// Whether a name needs no quotes. `or` needs none.
pub fn is_identifier(name: &[u8]) -> bool {
    use crate::token::Kind;
    let begins = name.first().is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'_');
    let goes_on = name.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'\'' | b'-'));
    begins && goes_on && matches!(Kind::keyword(name), None | Some(Kind::OrKeyword))
}
