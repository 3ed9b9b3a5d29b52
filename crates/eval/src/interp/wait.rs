//! Waiting for a thunk that another thread computes.

use parking_lot::{Condvar, Mutex};
use rustc_hash::{FxBuildHasher, FxHashMap};

use crate::error::{Error, ErrorKind, Result};
use crate::heap::Thunk;

/// For each thread that waits, the thread it waits for.
static WAITING: Mutex<FxHashMap<u32, u32>> = Mutex::new(FxHashMap::with_hasher(FxBuildHasher));
static FINISHED: Condvar = Condvar::new();

/// Sleeps until `thunk` may be done. Threads that wait for each other in a circle are an infinite recursion, which the
/// last one to join the circle reports.
#[cold]
pub fn wait(thunk: &Thunk, me: u32) -> Result<()> {
    let mut waiting = WAITING.lock();
    // The owner is read under the lock that `wake` takes, so no wake-up is missed.
    let Some(owner) = thunk.announce_waiter() else { return Ok(()) };
    let mut next = Some(owner);
    while let Some(thread) = next {
        if thread == me {
            return Err(infinite_recursion());
        }
        next = waiting.get(&thread).copied();
    }
    waiting.insert(me, owner);
    FINISHED.wait(&mut waiting);
    waiting.remove(&me);
    Ok(())
}

/// Wakes the threads that wait for a thunk which just finished or was given back.
#[cold]
pub fn wake() {
    let _waiting = WAITING.lock();
    FINISHED.notify_all();
}

#[cold]
pub fn infinite_recursion() -> Box<Error> {
    Error::new(ErrorKind::InfiniteRecursion, "infinite recursion: this value is needed to compute itself")
}
