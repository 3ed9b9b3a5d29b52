//! Waiting for a value that another thread computes.

use std::sync::atomic::AtomicU64;

use parking_lot::{Condvar, Mutex};
use rustc_hash::{FxBuildHasher, FxHashMap};

use crate::error::{Cycle, Error, ErrorKind, Result};
use crate::heap::{self, Deferred};
use crate::position::Pos;

/// For each thread that waits, the thread it waits for.
static WAITING: Mutex<FxHashMap<u32, u32>> = Mutex::new(FxHashMap::with_hasher(FxBuildHasher));
static FINISHED: Condvar = Condvar::new();

/// Sleeps until the computation that `state` tells of may be done. Threads that wait for each other in a circle are an infinite recursion, which the
/// last one to join the circle reports.
#[cold]
pub fn wait(state: &AtomicU64, me: u32) -> Result<()> {
    let mut waiting = WAITING.lock();
    // The owner is read under the lock that `wake` takes, so no wake-up is missed.
    let Some(owner) = heap::announce_waiter(state) else { return Ok(()) };
    let mut next = Some(owner);
    while let Some(thread) = next {
        if thread == me {
            return Err(infinite_recursion(None));
        }
        next = waiting.get(&thread).copied();
    }
    waiting.insert(me, owner);
    FINISHED.wait(&mut waiting);
    waiting.remove(&me);
    Ok(())
}

/// Wakes the threads that wait for a value which just finished or was given back.
#[cold]
pub fn wake() {
    let _waiting = WAITING.lock();
    FINISHED.notify_all();
}

/// The error of a value that is met while it is computed, `state` telling of it; `None` if other threads are part of the
/// circle.
#[cold]
pub fn infinite_recursion(state: Option<&AtomicU64>) -> Box<Error> {
    let open_at = state.map(|state| std::ptr::from_ref(state).addr());
    let cycle = Cycle { values: Vec::new(), open_at };
    Error::new(ErrorKind::InfiniteRecursion(cycle), "infinite recursion: this value is needed to compute itself")
}

/// Where what a thunk computes is written.
pub fn place(deferred: &Deferred) -> Pos {
    match deferred {
        Deferred::Expr(expr, _) => expr.pos(),
        Deferred::Select(name, _) => name.pos,
        Deferred::Apply(..) | Deferred::Apply2(..) => Pos::NONE,
    }
}

/// Notes, on an error's way out of the computation that `state` tells of, that it is part of the error's circle.
#[cold]
pub fn note_cycle(error: &mut Error, state: &AtomicU64, pos: Pos) {
    let ErrorKind::InfiniteRecursion(cycle) = &mut error.kind else { return };
    let Some(open_at) = cycle.open_at else { return };
    if pos.is_some() {
        cycle.values.push(pos);
    }
    if open_at == std::ptr::from_ref(state).addr() {
        cycle.open_at = None;
        if pos.is_some() {
            error.pos = pos;
        }
    }
}
