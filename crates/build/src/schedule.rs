//! Working through the graph with several threads.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use rustix::pipe::{PipeFlags, pipe_with};

use crate::builder::Builder;
use crate::error::BuildError;
use crate::graph::Graph;
use crate::job;

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

/// Builds every node of the graph.
pub(crate) fn run(builder: &Builder, graph: Graph) -> Result<(), BuildError> {
    if graph.nodes.is_empty() {
        return Ok(());
    }
    let (cancelled, go_on) =
        pipe_with(PipeFlags::CLOEXEC).map_err(BuildError::file("make a pipe for", "the builds"))?;
    let state = Mutex::new(State {
        ready: (0..graph.nodes.len()).filter(|node| graph.nodes[*node].waits_for == 0).collect(),
        waits_for: graph.nodes.iter().map(|node| node.waits_for).collect(),
        running: 0,
        done: 0,
        errors: Vec::new(),
        go_on: Some(go_on),
    });
    let changed = Condvar::new();
    let threads = builder.options.jobs.get().min(graph.nodes.len());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| work(builder, &graph, &state, &changed, &cancelled));
        }
    });
    let State { mut errors, done, waits_for, .. } = state.into_inner().unwrap_or_else(PoisonError::into_inner);
    match errors.len() {
        0 if done == graph.nodes.len() => Ok(()),
        // Hashes make a cycle impossible, but not for a file that was put into the store by other means.
        0 => Err(cycle(&graph, &waits_for)),
        1 => Err(errors.remove(0)),
        _ if builder.options.keep_going => Err(BuildError::Several(errors)),
        // The others were given up because of the first.
        _ => Err(errors.remove(0)),
    }
}

fn work(builder: &Builder, graph: &Graph, state: &Mutex<State>, changed: &Condvar, cancelled: &OwnedFd) {
    let lock = || state.lock().unwrap_or_else(PoisonError::into_inner);
    while let Some(node) = next(lock(), changed) {
        let result = job::run(builder, &graph.nodes[node], cancelled);
        let mut state = lock();
        state.running -= 1;
        match result {
            Ok(()) => state.done(graph, node),
            Err(error) => {
                state.errors.push(error);
                if !builder.options.keep_going {
                    state.go_on = None;
                }
            }
        }
        changed.notify_all();
    }
}

/// Takes a node that can be built now, waiting for one if need be. `None` when nothing is left to do.
fn next(mut state: MutexGuard<'_, State>, changed: &Condvar) -> Option<usize> {
    loop {
        // When nothing runs and nothing is ready, nothing ever will be.
        if state.go_on.is_none() || (state.running == 0 && state.ready.is_empty()) {
            return None;
        }
        if let Some(node) = state.ready.pop_front() {
            state.running += 1;
            return Some(node);
        }
        state = changed.wait(state).unwrap_or_else(PoisonError::into_inner);
    }
}

impl State {
    fn done(&mut self, graph: &Graph, node: usize) {
        self.done += 1;
        for needing in &graph.nodes[node].needed_by {
            self.waits_for[*needing] -= 1;
            if self.waits_for[*needing] == 0 {
                self.ready.push_back(*needing);
            }
        }
    }
}

fn cycle(graph: &Graph, waits_for: &[usize]) -> BuildError {
    let derivation = graph.nodes.iter().zip(waits_for).find(|(_, waits_for)| **waits_for > 0);
    let derivation = derivation.map_or(&graph.nodes[0].path, |(node, _)| &node.path).clone();
    BuildError::Derivation { derivation, problem: "it depends on its own output".to_owned() }
}

/// An order in which every node comes after those that it needs.
pub(crate) fn order(graph: &mut Graph) -> Vec<usize> {
    let mut order: Vec<usize> = (0..graph.nodes.len()).filter(|node| graph.nodes[*node].waits_for == 0).collect();
    let mut position = 0;
    while let Some(node) = order.get(position).copied() {
        for needing in std::mem::take(&mut graph.nodes[node].needed_by) {
            graph.nodes[needing].waits_for -= 1;
            if graph.nodes[needing].waits_for == 0 {
                order.push(needing);
            }
        }
        position += 1;
    }
    order
}
