//! Calling functions.

use smallvec::SmallVec;

use super::{Interp, access};
use crate::builtins::Builtin;
use crate::error::{Error, ErrorKind, Result};
use crate::heap::{Attrs, Closure, Env, Kind, Value};
use crate::ir::{Call, Formal, Lambda, Pattern};
use crate::position::Pos;
use crate::report::near_names;
use crate::stats::count;
use crate::symbol::Symbol;

type Args = SmallVec<[Value; 6]>;

impl Interp {
    #[inline(never)]
    pub(super) fn eval_call(&self, call: &'static Call, env: &'static Env) -> Result<Value> {
        let function = self.eval(&call.function, env)?;
        if let Some(closure) = function.as_closure()
            && closure.lambda.arity() == call.args.len()
        {
            let scope = Env::new(Some(closure.env), closure.lambda.slots as usize);
            let (plain, last) = call.args.split_at(closure.lambda.plain as usize);
            for (slot, arg) in (0..).zip(plain) {
                scope.set(slot, self.delay_argument(arg, env));
            }
            // The argument of a pattern is needed at once.
            let last = match last.first() {
                Some(arg) => Some(self.eval(arg, env)?),
                None => None,
            };
            return self.enter(closure.lambda, scope, last, call.pos);
        }
        if let Kind::Builtin(builtin) = function.kind()
            && usize::from(builtin.arity) == call.args.len()
        {
            let mut args: [Value; 4] = [Value::NULL; 4];
            for (index, arg) in call.args.iter().enumerate() {
                let strict = builtin.strict & (1 << index) != 0;
                args[index] = match strict {
                    false => self.delay_argument(arg, env),
                    true => match self.eval(arg, env) {
                        Ok(value) => value,
                        Err(error) => {
                            let rest = call.args.iter().skip(index).map(|arg| self.suspend(arg, env));
                            args[index..call.args.len()].iter_mut().zip(rest).for_each(|(arg, value)| *arg = value);
                            return self.failed_argument(builtin, &mut args[..call.args.len()], index, error, call.pos);
                        }
                    },
                };
            }
            return self.run_builtin(builtin, &args[..call.args.len()], call.pos);
        }
        let args: Args = call.args.iter().map(|arg| self.delay_argument(arg, env)).collect();
        self.apply(function, &args, call.pos)
    }

    /// Applies a function, which may be a thunk, to arguments one after the other.
    #[inline]
    pub fn call(&self, function: Value, args: &[Value]) -> Result<Value> {
        let function = self.force(function)?;
        if let Some(closure) = function.as_closure()
            && closure.lambda.arity() == args.len()
        {
            return self.call_closure(closure, args, Pos::NONE);
        }
        self.apply(function, args, Pos::NONE)
    }

    fn apply(&self, function: Value, args: &[Value], pos: Pos) -> Result<Value> {
        self.check_stack()?;
        let mut function = function;
        let mut args = Args::from_slice(args);
        while !args.is_empty() {
            let arity = match function.kind() {
                Kind::Lambda(closure) => closure.lambda.arity(),
                Kind::Builtin(builtin) => builtin.arity.into(),
                Kind::Partial(partial) => {
                    args.insert_from_slice(0, partial.args);
                    function = partial.function;
                    continue;
                }
                Kind::Attrs(attrs) => {
                    function = self.functor(attrs, function, pos)?;
                    continue;
                }
                _ => return Err(not_a_function(function).at(pos)),
            };
            if args.len() < arity {
                return Ok(Value::partial(function, crate::heap::slice_of(&args)));
            }
            let rest = args.split_off_front(arity);
            function = match function.kind() {
                Kind::Lambda(closure) => self.call_closure(closure, &rest, pos)?,
                Kind::Builtin(builtin) => self.call_builtin(builtin, rest, pos)?,
                _ => return Err(not_a_function(function).at(pos)),
            };
        }
        Ok(function)
    }

    /// The function that a set with `__functor` stands for.
    fn functor(&self, attrs: &'static Attrs, set: Value, pos: Pos) -> Result<Value> {
        let _depth = self.deeper()?;
        let functor = attrs.get(Symbol::FUNCTOR).ok_or_else(|| not_a_function(set).at(pos))?;
        let functor = self.force(functor)?;
        self.apply(functor, &[set], pos)
    }

    fn call_closure(&self, closure: &'static Closure, args: &[Value], pos: Pos) -> Result<Value> {
        let lambda = closure.lambda;
        let scope = Env::new(Some(closure.env), lambda.slots as usize);
        let (plain, last) = args.split_at(lambda.plain as usize);
        for (slot, arg) in (0..).zip(plain) {
            scope.set(slot, *arg);
        }
        let last = last.first().map(|arg| self.force(*arg)).transpose()?;
        self.enter(lambda, scope, last, pos)
    }

    /// Evaluates a body. `last`, evaluated, is the argument of the pattern, if there is one.
    fn enter(&self, lambda: &'static Lambda, scope: &'static Env, last: Option<Value>, pos: Pos) -> Result<Value> {
        let _depth = self.deeper().map_err(|error| error.at(pos))?;
        count(|counters| &counters.calls, 1);
        if let (Some(pattern), Some(arg)) = (&lambda.pattern, last) {
            self.bind_pattern(lambda, pattern, arg, scope).map_err(|error| called_from(error, lambda, pos))?;
        }
        self.eval(&lambda.body, scope).map_err(|error| called_from(error, lambda, pos))
    }

    fn bind_pattern(
        &self,
        lambda: &'static Lambda,
        pattern: &'static Pattern,
        arg: Value,
        scope: &'static Env,
    ) -> Result<()> {
        let Some(attrs) = arg.as_attrs() else {
            return Err(access::expected("a set as the argument of a function", arg));
        };
        if let Some(slot) = pattern.whole {
            scope.set(slot, arg);
        }
        let mut matched = 0;
        for formal in pattern.formals {
            match attrs.get(formal.name) {
                Some(value) => {
                    scope.set(formal.slot, value);
                    matched += 1;
                }
                None if formal.default.is_some() => {}
                None => return Err(missing_argument(lambda, pattern, formal, attrs)),
            }
        }
        if !pattern.ellipsis && matched != attrs.len() {
            return Err(unexpected_argument(lambda, pattern, attrs));
        }
        if matched < pattern.formals.len() {
            self.bind_defaults(pattern, attrs, scope);
        }
        Ok(())
    }

    /// Defaults see all arguments, so a default that is just another variable must not be looked up before all are set.
    fn bind_defaults(&self, pattern: &'static Pattern, attrs: &'static Attrs, scope: &'static Env) {
        for formal in pattern.formals {
            if let Some(default) = &formal.default
                && attrs.get(formal.name).is_none()
            {
                scope.set(formal.slot, self.delay(default, scope));
            }
        }
    }

    fn call_builtin(&self, builtin: &'static Builtin, mut args: Args, pos: Pos) -> Result<Value> {
        for (index, arg) in args.iter_mut().enumerate() {
            if builtin.strict & (1 << index) != 0 {
                match self.force(*arg) {
                    Ok(value) => *arg = value,
                    Err(error) => return self.failed_argument(builtin, &mut args, index, error, pos),
                }
            }
        }
        self.run_builtin(builtin, &args, pos)
    }

    /// What a builtin gives of whose arguments the one at `index`, still a thunk, has failed. C++ Nix looks at each
    /// argument once it is evaluated, so one of a wrong type before it is the error, and that cannot be caught.
    #[cold]
    fn failed_argument(
        &self,
        builtin: &'static Builtin,
        args: &mut [Value],
        index: usize,
        error: Box<Error>,
        pos: Pos,
    ) -> Result<Value> {
        static AGAIN: Builtin = Builtin::new("again", 1, 0, |interp, args| interp.fail_again(args[0]));
        // These evaluate both of their arguments first.
        let all_first = matches!(builtin.name, "add" | "sub" | "mul" | "div" | "lessThan");
        if all_first || builtin.strict.count_ones() < 2 || !error.is_catchable() {
            return Err(error);
        }
        let failed = args[index];
        args[index] = self.defer_call(crate::heap::new(Value::builtin(&AGAIN)), failed);
        self.failed.borrow_mut().push((failed, false));
        let result = (builtin.run)(self, args);
        match (self.failed.borrow_mut().pop(), result) {
            (Some((_, true)), Err(_)) => Err(error),
            (_, result) => result.and_then(|value| self.force(value)).map_err(|error| error.at(pos)),
        }
    }

    /// Fails for an argument that has failed already, so that it is not evaluated a second time.
    fn fail_again(&self, argument: Value) -> Result<Value> {
        let mut failed = self.failed.borrow_mut();
        match failed.iter_mut().rfind(|(failed, _)| *failed == argument) {
            Some((_, asked)) => {
                *asked = true;
                Err(Error::other("an argument has failed"))
            }
            None => {
                drop(failed);
                self.force(argument)
            }
        }
    }

    fn run_builtin(&self, builtin: &'static Builtin, args: &[Value], pos: Pos) -> Result<Value> {
        let _depth = self.deeper().map_err(|error| error.at(pos))?;
        count(|counters| &counters.builtin_calls, 1);
        match (builtin.run)(self, args) {
            Ok(value) if !value.is_thunk() => Ok(value),
            Ok(value) => self.force(value),
            // What it adds to the trace says more than its own name.
            Err(error) if builtin.name == "addErrorContext" => Err(error),
            Err(error) if error.pos.is_some() => {
                Err(error.within(format!("while calling the built-in function '{}'", builtin.name), pos))
            }
            Err(error) => Err(error.at(pos)),
        }
    }

    /// A function of the program's arguments as `--arg` gives them: a function with a pattern is called with those of
    /// `args` that it names (all of them after `...`), anything else is returned as it is.
    pub fn auto_call(&self, value: Value, args: &'static Attrs) -> Result<Value> {
        let value = self.force(value)?;
        let (lambda, plain_given) = match value.kind() {
            Kind::Attrs(attrs) if attrs.get(Symbol::FUNCTOR).is_some() => {
                let functor = self.functor(attrs, value, Pos::NONE)?;
                return self.auto_call(functor, args);
            }
            Kind::Lambda(closure) => (closure.lambda, 0),
            Kind::Partial(partial) => match partial.function.kind() {
                Kind::Lambda(closure) => (closure.lambda, partial.args.len()),
                _ => return Ok(value),
            },
            _ => return Ok(value),
        };
        let Some(pattern) = lambda.pattern.as_ref().filter(|_| lambda.plain as usize == plain_given) else {
            return Ok(value);
        };
        if pattern.ellipsis {
            return self.call(value, &[args.into()]);
        }
        let given = args.without(|name| !pattern.formals.iter().any(|formal| formal.name == name));
        self.call(value, &[given.into()])
    }
}

/// Takes the first `count` arguments off, leaving the rest.
trait SplitFront {
    fn split_off_front(&mut self, count: usize) -> Args;
}

impl SplitFront for Args {
    fn split_off_front(&mut self, count: usize) -> Args {
        if self.len() == count {
            return std::mem::take(self);
        }
        self.drain(..count).collect()
    }
}

#[cold]
fn called_from(error: Box<Error>, lambda: &Lambda, pos: Pos) -> Box<Error> {
    if !pos.is_some() {
        return error;
    }
    let what = match lambda.name {
        Some(name) => format!("while calling the function '{name}'"),
        None => "while calling a function".to_owned(),
    };
    error.within(what, pos)
}

#[cold]
fn not_a_function(value: Value) -> Box<Error> {
    let hint = match value.kind() {
        Kind::Attrs(_) => "; a set can be called only if it has the attribute '__functor'",
        _ => "",
    };
    Error::type_error(format!("cannot call {} as if it were a function{hint}", access::show(value)))
}

fn names(pattern: &Pattern) -> Vec<Symbol> {
    pattern.formals.iter().map(|formal| formal.name).collect()
}

fn describe(lambda: &Lambda) -> String {
    lambda.name.map_or("the function".to_owned(), |name| format!("function '{name}'"))
}

#[cold]
fn missing_argument(lambda: &Lambda, pattern: &Pattern, formal: &Formal, attrs: &'static Attrs) -> Box<Error> {
    let kind = ErrorKind::WrongArgument { name: formal.name, candidates: names(pattern), definition: lambda.pos() };
    let mut message = format!("{} is called without the required argument '{}'", describe(lambda), formal.name);
    let others: Vec<Symbol> =
        attrs.by_name().map(|attr| attr.name).filter(|name| pattern.shape.slot(*name).is_none()).collect();
    // Most often it is there, misspelt.
    if let Some(near) = near_names(formal.name, &others).first() {
        message.push_str(&format!(", but with {near}"));
    }
    Error::new(kind, message)
}

#[cold]
fn unexpected_argument(lambda: &Lambda, pattern: &Pattern, attrs: &'static Attrs) -> Box<Error> {
    let unknown = attrs.by_name().find(|attr| pattern.shape.slot(attr.name).is_none());
    let name = unknown.map_or(Symbol::NAME, |attr| attr.name);
    let kind = ErrorKind::WrongArgument { name, candidates: names(pattern), definition: lambda.pos() };
    Error::new(kind, format!("{} is called with the unexpected argument '{name}'", describe(lambda)))
}
