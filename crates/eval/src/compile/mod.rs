//! Syntax tree to code: resolves variables, folds constants, fuses what belongs together.

mod expr;
mod functions;
mod scopes;
mod sets;

use std::path::{Path, PathBuf};

use rustc_hash::FxHashMap;
use syntax::{Ast, NodeId, Span};

use crate::error::{Error, ErrorKind, Result};
use crate::heap::{self, Value};
use crate::interp::stack;
use crate::ir::{Expr, Operands};
use crate::position::{Pos, Source};
use crate::symbol::Symbol;
use scopes::Scopes;

/// What a text may refer to without defining it.
pub struct Surroundings<'a> {
    /// The values of the global names.
    pub globals: &'a FxHashMap<Symbol, Value>,
    /// Names around the text, slot for slot of the scope that it will be evaluated in (`scopedImport`, a REPL).
    pub outer: &'a [Symbol],
    /// What relative paths are relative to.
    pub base_dir: &'a Path,
    /// What `~` stands for; without it such paths are errors.
    pub home: Option<&'a Path>,
    /// Where this thread's stack ends.
    pub stack_limit: usize,
}

/// Compiles a whole tree. The code is to be evaluated in a scope with the outer names.
pub fn compile(ast: &Ast, root: NodeId, source: &'static Source, around: &Surroundings<'_>) -> Result<&'static Expr> {
    let names: Vec<Symbol> = ast.names().map(Symbol::intern).collect();
    let mut compiler = Compiler { ast, source, around, scopes: Scopes::new(names.len()), places: Vec::new(), names };
    compiler.enter_outer();
    let result = compiler.expr(root);
    source.set_places(compiler.places);
    Ok(heap::new(result?))
}

struct Compiler<'a> {
    ast: &'a Ast,
    source: &'static Source,
    around: &'a Surroundings<'a>,
    scopes: Scopes,
    places: Vec<Span>,
    /// The symbol of each name of the tree.
    names: Vec<Symbol>,
}

impl Compiler<'_> {
    fn enter_outer(&mut self) {
        self.scopes.enter_scope();
        for (slot, symbol) in self.around.outer.iter().enumerate() {
            if let Some(name) = self.ast.find_name(symbol.bytes()) {
                self.scopes.bind(name, slot as u32);
            }
        }
    }

    fn pos(&mut self, span: Span) -> Pos {
        if self.places.last() != Some(&span) {
            self.places.push(span);
        }
        self.source.pos(self.places.len() - 1)
    }

    fn node_pos(&mut self, id: NodeId) -> Pos {
        self.pos(self.ast.span(id))
    }

    fn check_stack(&mut self, id: NodeId) -> Result<()> {
        if stack::pointer() < self.around.stack_limit {
            let error = Error::new(ErrorKind::StackTooDeep, "the expression is nested too deeply");
            return Err(error.at(self.node_pos(id)));
        }
        Ok(())
    }

    fn operands(&mut self, ids: &[NodeId], span: Span) -> Result<&'static Operands> {
        let mut items = Vec::with_capacity(ids.len());
        let mut positions = Vec::with_capacity(ids.len());
        for id in ids {
            items.push(self.expr(*id)?);
            positions.push(self.node_pos(*id));
        }
        Ok(self.operands_of(items, &positions, span))
    }

    fn operands_of(&mut self, items: Vec<Expr>, positions: &[Pos], span: Span) -> &'static Operands {
        let pos = self.pos(span);
        let (items, positions) = (heap::slice_from_iter(items), heap::slice_of(positions));
        heap::new(Operands { items, positions, pos })
    }

    fn absolute(&self, path: &Path) -> PathBuf {
        self.around.base_dir.join(path)
    }
}
