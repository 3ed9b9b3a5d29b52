//! Working through the graph with several threads.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use rustix::pipe::{PipeFlags, pipe_with};

use crate::error::BuildError;
use crate::graph::Node;

/// What came of working on a node.
pub(crate) enum Attempt {
    /// It is done.
    Done,
    /// The place was of no use, and another has to be found.
    Again,
}

/// The work on a graph.
pub(crate) struct Work<'a, Seat> {
    pub nodes: &'a [Node],
    /// How many nodes are worked on at the same time at most.
    pub threads: usize,
    pub keep_going: bool,
    /// Finds a place to work on a node, given up when it is dropped. `None` if all that would do are taken; an error if
    /// there is none.
    pub seat: &'a (dyn Fn(usize) -> Result<Option<Seat>, BuildError> + Sync),
    /// Works on a node. The pipe becomes readable when the work is not wanted any more.
    pub build: &'a (dyn Fn(usize, &Seat, &OwnedFd) -> Result<Attempt, BuildError> + Sync),
}

/// Where the work stands.
struct State {
    ready: VecDeque<usize>,
    waits_for: Vec<usize>,
    running: usize,
    done: usize,
    errors: Vec<BuildError>,
    /// The writing end of the pipe by which running builds learn that they are not wanted; closing it tells them.
    go_on: Option<OwnedFd>,
}

impl<Seat> Work<'_, Seat> {
    /// Works on every node of the graph, each after those that it needs.
    pub fn run(&self) -> Result<(), BuildError> {
        if self.nodes.is_empty() {
            return Ok(());
        }
        let (cancelled, go_on) =
            pipe_with(PipeFlags::CLOEXEC).map_err(BuildError::file("make a pipe for", "the builds"))?;
        let state = Mutex::new(State {
            ready: (0..self.nodes.len()).filter(|node| self.nodes[*node].waits_for == 0).collect(),
            waits_for: self.nodes.iter().map(|node| node.waits_for).collect(),
            running: 0,
            done: 0,
            errors: Vec::new(),
            go_on: Some(go_on),
        });
        let changed = Condvar::new();
        std::thread::scope(|scope| {
            let count = self.threads.clamp(1, self.nodes.len());
            let threads: Vec<_> = (0..count).map(|_| scope.spawn(|| self.work(&state, &changed, &cancelled))).collect();
            for thread in threads {
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            }
        });
        let State { mut errors, done, waits_for, .. } = state.into_inner().unwrap_or_else(PoisonError::into_inner);
        match errors.len() {
            0 if done == self.nodes.len() => Ok(()),
            // Hashes make a cycle impossible, but not for a file that was put into the store by other means.
            0 => Err(cycle(self.nodes, &waits_for)),
            1 => Err(errors.remove(0)),
            _ if self.keep_going => Err(BuildError::Several(errors)),
            // The others were given up because of the first.
            _ => Err(errors.remove(0)),
        }
    }

    fn work(&self, state: &Mutex<State>, changed: &Condvar, cancelled: &OwnedFd) {
        let lock = || state.lock().unwrap_or_else(PoisonError::into_inner);
        let _alarm = Alarm { state, changed };
        while let Some((node, seat)) = self.next(lock(), changed) {
            let result = (self.build)(node, &seat, cancelled);
            // Free before anybody is told to look for one.
            drop(seat);
            let mut state = lock();
            state.running -= 1;
            match result {
                Ok(Attempt::Done) => state.done(self.nodes, node),
                Ok(Attempt::Again) => state.ready.push_front(node),
                Err(error) => state.fail(error, self.keep_going),
            }
            changed.notify_all();
        }
    }

    /// Takes a node that can be worked on now, waiting for one if need be. `None` when nothing is left to do.
    fn next(&self, mut state: MutexGuard<'_, State>, changed: &Condvar) -> Option<(usize, Seat)> {
        loop {
            state.go_on.as_ref()?;
            if let Some(found) = self.start(&mut state) {
                return Some(found);
            }
            // When nothing runs and nothing can be started, nothing ever will be.
            if state.go_on.is_none() || state.running == 0 {
                changed.notify_all();
                return None;
            }
            state = changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The first of the ready nodes for which there is a place.
    fn start(&self, state: &mut State) -> Option<(usize, Seat)> {
        let mut position = 0;
        while let Some(node) = state.ready.get(position).copied() {
            match (self.seat)(node) {
                Ok(Some(seat)) => {
                    state.ready.remove(position);
                    state.running += 1;
                    return Some((node, seat));
                }
                Ok(None) => position += 1,
                Err(error) => {
                    state.ready.remove(position);
                    state.fail(error, self.keep_going);
                    state.go_on.as_ref()?;
                }
            }
        }
        None
    }
}

/// Ends the work when the thread that holds this panics: the others would wait for what it was doing.
struct Alarm<'a> {
    state: &'a Mutex<State>,
    changed: &'a Condvar,
}

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.state.lock().unwrap_or_else(PoisonError::into_inner).go_on = None;
            self.changed.notify_all();
        }
    }
}

impl State {
    fn done(&mut self, nodes: &[Node], node: usize) {
        self.done += 1;
        for needing in &nodes[node].needed_by {
            self.waits_for[*needing] -= 1;
            if self.waits_for[*needing] == 0 {
                self.ready.push_back(*needing);
            }
        }
    }

    fn fail(&mut self, error: BuildError, keep_going: bool) {
        self.errors.push(error);
        if !keep_going {
            self.go_on = None;
        }
    }
}

fn cycle(nodes: &[Node], waits_for: &[usize]) -> BuildError {
    let derivation = nodes.iter().zip(waits_for).find(|(_, waits_for)| **waits_for > 0);
    let derivation = derivation.map_or(&nodes[0].path, |(node, _)| &node.path).clone();
    BuildError::Derivation { derivation, problem: "it depends on its own output".to_owned() }
}

/// An order in which every node comes after those that it needs.
pub(crate) fn order(nodes: &mut [Node]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..nodes.len()).filter(|node| nodes[*node].waits_for == 0).collect();
    let mut position = 0;
    while let Some(node) = order.get(position).copied() {
        for needing in std::mem::take(&mut nodes[node].needed_by) {
            nodes[needing].waits_for -= 1;
            if nodes[needing].waits_for == 0 {
                order.push(needing);
            }
        }
        position += 1;
    }
    order
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use nix_formats::derivation::Derivation;
    use nix_formats::store_path::StorePath;
    use rustix::event::{PollFd, PollFlags, poll};

    use super::*;

    fn node(waits_for: usize, needed_by: Vec<usize>) -> Node {
        let path = StorePath::from_base_name("0c6rn30q4frawknapgwq386zq358m8r6-x.drv").unwrap();
        let derivation = Derivation::parse("x", b"Derive([],[],[],\"s\",\"b\",[],[])").unwrap();
        Node { path, derivation, outputs: BTreeMap::new(), waits_for, needed_by }
    }

    fn wait_for(cancelled: &OwnedFd) {
        poll(&mut [PollFd::new(cancelled, PollFlags::IN)], None).unwrap();
    }

    #[test]
    fn a_panic_ends_the_work() {
        // One thread runs until it is told to stop, one waits for what the one that panics would have made ready.
        let nodes = [node(0, vec![2]), node(0, Vec::new()), node(1, Vec::new())];
        let seat = |_| Ok(Some(()));
        let build = |number: usize, (): &(), cancelled: &OwnedFd| match number {
            0 => panic!("the message"),
            1 => {
                wait_for(cancelled);
                Ok(Attempt::Done)
            }
            _ => unreachable!("what it needs was not made"),
        };
        for keep_going in [false, true] {
            let work = Work { nodes: &nodes, threads: 3, keep_going, seat: &seat, build: &build };
            let panic = catch_unwind(AssertUnwindSafe(|| work.run())).unwrap_err();
            assert_eq!(panic.downcast_ref::<&str>(), Some(&"the message"));
        }
        let taken = |number| if number == 0 { panic!("no seat") } else { Ok(Some(())) };
        let work = Work { nodes: &nodes, threads: 3, keep_going: false, seat: &taken, build: &build };
        let panic = catch_unwind(AssertUnwindSafe(|| work.run())).unwrap_err();
        assert_eq!(panic.downcast_ref::<&str>(), Some(&"no seat"));
    }
}
