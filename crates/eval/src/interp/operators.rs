//! Operators of two operands.

use super::{Coercion, Interp, access, paths};
use crate::error::{Error, Result};
use crate::heap::{Context, ContextBuilder, Env, Kind, Str, Value};
use crate::ir::{Expr, Operands, Operator, Pair};

impl Interp {
    #[inline(never)]
    pub(super) fn binary(&self, operator: Operator, pair: &'static Pair, env: &'static Env) -> Result<Value> {
        let truth = |expr| self.eval_bool(expr, env, pair.pos);
        match operator {
            Operator::And => return Ok(Value::bool(truth(&pair.left)? && truth(&pair.right)?)),
            Operator::Or => return Ok(Value::bool(truth(&pair.left)? || truth(&pair.right)?)),
            Operator::Implies => return Ok(Value::bool(!truth(&pair.left)? || truth(&pair.right)?)),
            _ => {}
        }
        if operator == Operator::Add && matches!(pair.left, Expr::Binary(Operator::Add, _)) {
            return self.sum(pair, env);
        }
        let left = self.eval(&pair.left, env)?;
        if operator == Operator::Add && is_coerced(left) {
            return self.append_to_coerced(left, pair, env);
        }
        let right = self.eval(&pair.right, env)?;
        if let (Some(a), Some(b)) = (left.as_small_int(), right.as_small_int()) {
            return small_integers(operator, a, b).map_err(|error| error.at(pair.pos));
        }
        let result = match operator {
            Operator::Equal => self.equal(left, right).map(Value::bool),
            Operator::NotEqual => self.equal(left, right).map(|equal| Value::bool(!equal)),
            Operator::Less => self.less(left, right).map(Value::bool),
            Operator::LessOrEqual => self.less(right, left).map(|greater| Value::bool(!greater)),
            Operator::Greater => self.less(right, left).map(Value::bool),
            Operator::GreaterOrEqual => self.less(left, right).map(|less| Value::bool(!less)),
            Operator::Add => self.plus(left, right),
            _ => self.arithmetic(operator, left, right),
        };
        result.map_err(|error| error.at(pair.pos))
    }

    /// `a + b + c`: once the sum so far is a string, the others are appended to it all at once.
    #[inline(never)]
    fn sum(&self, last: &'static Pair, env: &'static Env) -> Result<Value> {
        let mut pairs = smallvec::SmallVec::<[&'static Pair; 8]>::from_slice(&[last]);
        let mut first = &last.left;
        while let Expr::Binary(Operator::Add, pair) = first {
            pairs.push(pair);
            first = &pair.left;
        }
        let mut sum = self.eval(first, env)?;
        while let Some(pair) = pairs.pop() {
            if let Kind::String(string) = sum.kind() {
                pairs.push(pair);
                return self.append_all(string, &pairs, env);
            }
            if is_coerced(sum) {
                sum = self.append_to_coerced(sum, pair, env)?;
                continue;
            }
            let right = self.eval(&pair.right, env)?;
            sum = self.plus(sum, right).map_err(|error| error.at(pair.pos))?;
        }
        Ok(sum)
    }

    /// The string with the right sides of `pairs`, the last of them first.
    fn append_all(&self, string: &'static Str, pairs: &[&'static Pair], env: &'static Env) -> Result<Value> {
        let mut parts = smallvec::SmallVec::<[&[u8]; 8]>::new();
        let mut context = ContextBuilder::default();
        context.add(string.context());
        for pair in pairs.iter().rev() {
            let right = self.eval(&pair.right, env)?;
            let right = match right.kind() {
                Kind::String(right) => right,
                _ => self.coerce_to_string(right, Coercion::STRING).map_err(|error| error.at(pair.pos))?,
            };
            parts.push(right.bytes());
            context.add(right.context());
        }
        Ok(string.append(&parts, context.finish()).into())
    }

    /// `-`, `*`, `/`, or `+` of numbers. The operands are evaluated.
    pub fn arithmetic(&self, operator: Operator, left: Value, right: Value) -> Result<Value> {
        if let (Kind::Int(a), Kind::Int(b)) = (left.kind(), right.kind()) {
            return integer_arithmetic(operator, a, b);
        }
        let (a, b) = (self.number(left)?, self.number(right)?);
        Ok(Value::float(match operator {
            Operator::Add => a + b,
            Operator::Sub => a - b,
            Operator::Mul => a * b,
            _ if b == 0.0 => return Err(division_by_zero()),
            _ => a / b,
        }))
    }

    fn number(&self, value: Value) -> Result<f64> {
        match value.kind() {
            Kind::Int(int) => Ok(int as f64),
            Kind::Float(float) => Ok(float),
            _ => Err(access::expected("a number", value)),
        }
    }

    /// `+`: numbers, strings, or something appended to a path.
    fn plus(&self, left: Value, right: Value) -> Result<Value> {
        match (left.kind(), right.kind()) {
            (Kind::Int(_) | Kind::Float(_), Kind::Int(_) | Kind::Float(_)) => {
                self.arithmetic(Operator::Add, left, right)
            }
            (Kind::Int(_), _) => Err(Error::type_error(format!("cannot add {} to an integer", access::show(right)))),
            (Kind::Float(_), _) => Err(Error::type_error(format!("cannot add {} to a float", access::show(right)))),
            (Kind::String(a), Kind::String(b)) => Ok(a.append(&[b.bytes()], union(a, b)).into()),
            (Kind::Path(path), _) => {
                let tail = self.coerce_to_string(right, Coercion::PATH_PART)?;
                self.append_to_path(crate::embedded::plain(path.bytes()), &[tail])
            }
            _ => {
                let a = self.coerce_to_string(left, Coercion::STRING)?;
                let b = self.coerce_to_string(right, Coercion::STRING)?;
                Ok(a.append(&[b.bytes()], union(a, b)).into())
            }
        }
    }

    /// `+` of what stands for a string: it has to be one before the right side is evaluated.
    #[cold]
    fn append_to_coerced(&self, left: Value, pair: &'static Pair, env: &'static Env) -> Result<Value> {
        let coerce = |value| self.coerce_to_string(value, Coercion::PATH_PART).map_err(|error| error.at(pair.pos));
        let a = coerce(left)?;
        let b = coerce(self.eval(&pair.right, env)?)?;
        Ok(a.append(&[b.bytes()], union(a, b)).into())
    }

    #[inline(never)]
    pub(super) fn interpolate(&self, operands: &'static Operands, env: &'static Env) -> Result<Value> {
        let mut first = None;
        let mut parts = smallvec::SmallVec::<[&[u8]; 8]>::new();
        let mut context = ContextBuilder::default();
        for (item, pos) in operands.items.iter().zip(operands.positions) {
            let value = self.eval(item, env)?;
            let string = match value.kind() {
                Kind::String(string) => string,
                _ => self.coerce_to_string(value, Coercion::STRING).map_err(|error| error.at(*pos))?,
            };
            context.add(string.context());
            match first {
                None => first = Some(string),
                Some(_) => parts.push(string.bytes()),
            }
        }
        let context = context.finish();
        Ok(match first {
            Some(first) => first.append(&parts, context).into(),
            None => Str::concat(&parts, context).into(),
        })
    }

    #[inline(never)]
    pub(super) fn interpolate_path(&self, operands: &'static Operands, env: &'static Env) -> Result<Value> {
        let mut parts = Vec::with_capacity(operands.items.len());
        for (item, pos) in operands.items.iter().zip(operands.positions) {
            let value = self.eval(item, env)?;
            parts.push(self.coerce_to_string(value, Coercion::PATH_PART).map_err(|error| error.at(*pos))?);
        }
        self.append_to_path(b"", &parts).map_err(|error| error.at(operands.pos))
    }

    fn append_to_path(&self, path: &[u8], parts: &[&'static Str]) -> Result<Value> {
        if parts.iter().any(|part| part.context().is_some()) {
            return Err(Error::other("a string that refers to a store path cannot be appended to a path"));
        }
        let mut bytes = path.to_vec();
        parts.iter().for_each(|part| bytes.extend_from_slice(part.bytes()));
        Ok(Value::path(paths::canonical(&bytes)))
    }
}

/// Whether a value is neither a number nor a string nor a path.
#[inline]
fn is_coerced(value: Value) -> bool {
    value.as_small_int().is_none()
        && !matches!(value.kind(), Kind::Int(_) | Kind::Float(_) | Kind::String(_) | Kind::Path(_))
}

fn union(a: &'static Str, b: &'static Str) -> Option<&'static Context> {
    Context::union(a.context(), b.context())
}

/// An operator other than the logical ones, for integers that are most likely small.
#[inline]
fn small_integers(operator: Operator, a: i64, b: i64) -> Result<Value> {
    Ok(Value::bool(match operator {
        Operator::Equal => a == b,
        Operator::NotEqual => a != b,
        Operator::Less => a < b,
        Operator::LessOrEqual => a <= b,
        Operator::Greater => a > b,
        Operator::GreaterOrEqual => a >= b,
        // Sums of two numbers of 61 bits do not overflow.
        Operator::Add => return Ok(Value::int(a + b)),
        Operator::Sub => return Ok(Value::int(a - b)),
        _ => return integer_arithmetic(operator, a, b),
    }))
}

fn integer_arithmetic(operator: Operator, a: i64, b: i64) -> Result<Value> {
    let (result, doing) = match operator {
        Operator::Add => (a.checked_add(b), "adding"),
        Operator::Sub => (a.checked_sub(b), "subtracting"),
        Operator::Mul => (a.checked_mul(b), "multiplying"),
        _ if b == 0 => return Err(division_by_zero()),
        _ => (a.checked_div(b), "dividing"),
    };
    let sign = match operator {
        Operator::Add => '+',
        Operator::Sub => '-',
        Operator::Mul => '*',
        _ => '/',
    };
    result.map(Value::int).ok_or_else(|| Error::other(format!("integer overflow in {doing} {a} {sign} {b}")))
}

#[cold]
fn division_by_zero() -> Box<Error> {
    Error::other("division by zero")
}
