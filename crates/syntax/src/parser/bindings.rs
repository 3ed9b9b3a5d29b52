//! The bindings of sets and `let`: reading, merging nested paths as Nix does, and going on after an error.

use super::{Parsed, Parser, Piece, Stop};
use crate::ast::{Attr, AttrSet, AttrValue, DynamicAttr, Key, KeyName, Name, Node, NodeId, Run, SetId, Span};
use crate::error::SyntaxError;
use crate::token::Kind;

/// Sets larger than this have their attributes in the parser's index.
const FEW: usize = 8;

impl Parser<'_> {
    /// Reads bindings up to what cannot begin one; `open` is the bracket or `let` before them.
    pub(super) fn bindings(&mut self, recursive: bool, open: Span) -> Parsed<SetId> {
        let set = self.new_set(recursive);
        loop {
            let result = match self.token.kind {
                Kind::RightBrace | Kind::In | Kind::End => return Ok(set),
                Kind::Inherit => self.inherit(set),
                Kind::Ident | Kind::OrKeyword | Kind::Quote | Kind::Dollar => self.binding(set),
                _ => {
                    let error = self.expected("a binding").label(open, "in the bindings that begin here");
                    Err(self.fail(error))
                }
            };
            if let Err(Stop) = result {
                self.skip_binding()?;
            }
        }
    }

    fn new_set(&mut self, recursive: bool) -> SetId {
        let id = SetId(self.ast.sets.len() as u32);
        self.ast.sets.push(AttrSet { recursive, ..AttrSet::default() });
        id
    }

    /// Goes on after the `;` of a binding that could not be read, or before the bracket that ends the set.
    fn skip_binding(&mut self) -> Parsed<()> {
        let mut depth = 0_u32;
        while !self.fatal {
            match self.token.kind {
                Kind::End => return Ok(()),
                Kind::OpenComment => break,
                Kind::Semicolon if depth == 0 => {
                    self.bump();
                    return Ok(());
                }
                Kind::RightBrace | Kind::In if depth == 0 => return Ok(()),
                Kind::LeftBrace | Kind::LeftBracket | Kind::LeftParen | Kind::Dollar => depth += 1,
                Kind::RightBrace | Kind::RightBracket | Kind::RightParen => depth = depth.saturating_sub(1),
                Kind::Quote => {
                    // Read for its end; what is wrong inside it is reported like anywhere else.
                    let _ = self.string();
                    continue;
                }
                Kind::IndentedQuote => {
                    let _ = self.indented_string();
                    continue;
                }
                _ => {}
            }
            self.bump();
        }
        Err(Stop)
    }

    /// `a.b = e;`
    fn binding(&mut self, set: SetId) -> Parsed<()> {
        let start = self.token.span;
        let path = self.attr_path()?;
        let span = Span::new(start.start, self.previous_end);
        if !self.at(Kind::Assign) {
            let error = self.expected("'=' or '.'").label(span, "after this name");
            let error = match self.token.kind {
                Kind::Comma | Kind::Question | Kind::Colon => {
                    error.help("if this is the pattern of a function, the function needs parentheses: ({ a, b }: …)")
                }
                _ => error,
            };
            return Err(self.fail(error));
        }
        self.bump();
        let value = self.expression()?;
        self.add(set, path, span, value)?;
        if self.at(Kind::Assign)
            && let Some(gap) = self.gap_before_binding(value)
        {
            return Err(self.missing_semicolon(gap));
        }
        self.semicolon("after the value")
    }

    /// Where the `;` lacks if the value ran into the next binding: `a = f` on one line and `b = …` on the next look
    /// like `a = f b` up to the second `=`.
    fn gap_before_binding(&self, value: Piece) -> Option<(Span, Span)> {
        let mut last = value.id;
        while let Node::Binary(_, _, right) = self.ast.node(last) {
            last = right;
        }
        let Node::Call(function, arguments) = self.ast.node(last) else {
            return None;
        };
        let (next, before) = self.ast.ids(arguments).split_last()?;
        let (before, next) = (self.ast.span(*before.last().unwrap_or(&function)), self.ast.span(*next));
        let between = &self.source[before.end as usize..next.start as usize];
        between.contains(&b'\n').then_some((Span::new(before.end, before.end), next))
    }

    /// Records that the `;` between a value and the next binding lacks.
    fn missing_semicolon(&mut self, (gap, next): (Span, Span)) -> Stop {
        let error = SyntaxError::new("expected ';' after the value, found another binding", gap)
            .label(next, "the next binding begins here");
        self.fail(error)
    }

    /// `inherit a b;` or `inherit (e) a b;`
    fn inherit(&mut self, set: SetId) -> Parsed<()> {
        self.bump();
        let mut source = None;
        if self.at(Kind::LeftParen) {
            let open = self.token.span;
            self.bump();
            let from = self.expression()?;
            self.close(Kind::RightParen, "an operator or ')'", open)?;
            let sources = &mut self.ast.sets[set.0 as usize].inherit_from;
            source = Some(sources.len() as u32);
            sources.push(from.id);
        }
        while matches!(self.token.kind, Kind::Ident | Kind::OrKeyword | Kind::Quote | Kind::Dollar) {
            let key = self.key()?;
            let KeyName::Static(name) = key.name else {
                let error = SyntaxError::new("the name after 'inherit' must be written out", key.span);
                self.fail(error);
                continue;
            };
            let value = match source {
                Some(source) => AttrValue::InheritFrom(source),
                None => AttrValue::Inherit(self.node(Node::Var(name), key.span)),
            };
            match self.find(set, name) {
                Some(first) => self.duplicate(&[name], key.span, first.span),
                None => self.push(set, Attr { name, span: key.span, value }),
            }
        }
        self.semicolon("or a name after 'inherit'")
    }

    /// Adds the value at a path to a set, making the sets between.
    fn add(&mut self, set: SetId, path: Run, span: Span, value: Piece) -> Parsed<()> {
        let mut set = set;
        let last = path.len() - 1;
        for step in 0..last {
            let key = self.ast.path(path)[step];
            set = match key.name {
                KeyName::Static(name) => match self.find(set, name) {
                    Some(attr) => match self.literal_set(attr.value) {
                        Some(nested) => nested,
                        None => {
                            self.duplicate(&self.static_names(path, step + 1), span, attr.span);
                            return Ok(());
                        }
                    },
                    None => {
                        let (nested, node) = self.implied_set(span);
                        self.push(set, Attr { name, span, value: AttrValue::Expr(node) });
                        nested
                    }
                },
                KeyName::Dynamic(name) => {
                    let (nested, value) = self.implied_set(span);
                    self.ast.sets[set.0 as usize].dynamic.push(DynamicAttr { name, value, span });
                    nested
                }
            };
        }
        let Key { name, .. } = self.ast.path(path)[last];
        match name {
            KeyName::Static(name) => {
                let attr = Attr { name, span, value: AttrValue::Expr(value.id) };
                let mut names = self.static_names(path, last);
                self.insert(set, &mut names, attr)
            }
            KeyName::Dynamic(name) => {
                let attr = DynamicAttr { name, value: value.id, span };
                self.ast.sets[set.0 as usize].dynamic.push(attr);
                Ok(())
            }
        }
    }

    fn implied_set(&mut self, span: Span) -> (SetId, NodeId) {
        let set = self.new_set(false);
        (set, self.node(Node::Attrs(set), span))
    }

    /// The first names of a path, for a message.
    fn static_names(&self, path: Run, count: usize) -> Vec<Name> {
        let keys = self.ast.path(path)[..count].iter();
        keys.filter_map(|key| match key.name {
            KeyName::Static(name) => Some(name),
            KeyName::Dynamic(_) => None,
        })
        .collect()
    }

    /// The set that an attribute's value is, if it is written as one.
    fn literal_set(&self, value: AttrValue) -> Option<SetId> {
        match value {
            AttrValue::Expr(node) => match self.ast.node(node) {
                Node::Attrs(set) => Some(set),
                _ => None,
            },
            _ => None,
        }
    }

    /// Adds an attribute; if there is one of that name and both are written as sets, the new set's attributes go to
    /// the old one (which alone decides whether they see each other as variables). `above` are the names on the way.
    fn insert(&mut self, set: SetId, above: &mut Vec<Name>, attr: Attr) -> Parsed<()> {
        let Some(first) = self.find(set, attr.name) else {
            self.push(set, attr);
            return Ok(());
        };
        above.push(attr.name);
        match (self.literal_set(first.value), self.literal_set(attr.value)) {
            (Some(old), Some(new)) => self.nested(|parser| parser.merge(old, new, above))?,
            _ => self.duplicate(above, attr.span, first.span),
        }
        above.pop();
        Ok(())
    }

    fn merge(&mut self, old: SetId, new: SetId, above: &mut Vec<Name>) -> Parsed<()> {
        let moved = std::mem::take(&mut self.ast.sets[new.0 as usize]);
        let shift = self.ast.sets[old.0 as usize].inherit_from.len() as u32;
        for mut attr in moved.attrs {
            if let AttrValue::InheritFrom(source) = &mut attr.value {
                *source += shift;
            }
            self.insert(old, above, attr)?;
        }
        let old = &mut self.ast.sets[old.0 as usize];
        old.dynamic.extend(moved.dynamic);
        old.inherit_from.extend(moved.inherit_from);
        Ok(())
    }

    fn find(&self, set: SetId, name: Name) -> Option<Attr> {
        let attrs = &self.ast.sets[set.0 as usize].attrs;
        if attrs.len() <= FEW {
            return attrs.iter().find(|attr| attr.name == name).copied();
        }
        self.attr_index.get(&(set, name)).map(|index| attrs[*index as usize])
    }

    /// Adds an attribute whose name is new to the set.
    fn push(&mut self, set: SetId, attr: Attr) {
        if let AttrValue::Expr(node) = attr.value {
            self.name_function(node, attr.name);
        }
        let attrs = &mut self.ast.sets[set.0 as usize].attrs;
        attrs.push(attr);
        let first_indexed = match attrs.len() {
            0..=FEW => return,
            len if len == FEW + 1 => 0,
            len => len - 1,
        };
        for (index, attr) in attrs.iter().enumerate().skip(first_indexed) {
            self.attr_index.insert((set, attr.name), index as u32);
        }
    }

    /// Tells a function, and those it returns at once, what it is bound to.
    fn name_function(&mut self, node: NodeId, name: Name) {
        let mut node = node;
        while let Node::Lambda(id) = self.ast.node(node) {
            let lambda = &mut self.ast.lambdas[id.0 as usize];
            lambda.name = Some(name);
            node = lambda.body;
        }
    }

    fn duplicate(&mut self, names: &[Name], second: Span, first: Span) {
        let names: Vec<_> = names.iter().map(|name| String::from_utf8_lossy(self.ast.name(*name))).collect();
        let error = SyntaxError::new(format!("the attribute '{}' is defined twice", names.join(".")), second)
            .label(first, "first defined here");
        self.fail(error);
    }
}
