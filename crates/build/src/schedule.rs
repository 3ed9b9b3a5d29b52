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
            for _ in 0..self.threads.clamp(1, self.nodes.len()) {
                scope.spawn(|| self.work(&state, &changed, &cancelled));
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
