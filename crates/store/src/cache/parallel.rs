//! Work that brings more work, done with several threads.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Scope;

struct Pool<T, R, F> {
    queue: Mutex<Queue<T, R>>,
    changed: Condvar,
    work: F,
    most_threads: usize,
}

struct Queue<T, R> {
    waiting: VecDeque<T>,
    running: usize,
    threads: usize,
    results: Vec<R>,
}

/// Does `work` on every item and on those that it brings, with at most `most_threads` threads, of which no more are
/// started than there is work for. The results are in no order.
pub(super) fn spread<T: Send, R: Send>(
    most_threads: usize,
    first: impl IntoIterator<Item = T>,
    work: impl Fn(T) -> (R, Vec<T>) + Sync,
) -> Vec<R> {
    let waiting = first.into_iter().collect();
    let queue = Queue { waiting, running: 0, threads: 0, results: Vec::new() };
    let most_threads = most_threads.max(1);
    let pool = Pool { queue: Mutex::new(queue), changed: Condvar::new(), work, most_threads };
    std::thread::scope(|scope| pool.grow(scope));
    pool.queue.into_inner().unwrap_or_else(PoisonError::into_inner).results
}

impl<T: Send, R: Send, F: Fn(T) -> (R, Vec<T>) + Sync> Pool<T, R, F> {
    /// Starts a thread for each item that no thread is free for.
    fn grow<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>) {
        let mut queue = self.lock();
        let free = queue.threads - queue.running;
        let new = queue.waiting.len().saturating_sub(free).min(self.most_threads - queue.threads);
        queue.threads += new;
        drop(queue);
        for _ in 0..new {
            scope.spawn(|| self.run(scope));
        }
    }

    fn run<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>) {
        while let Some(item) = self.next() {
            let running = Running(self);
            let (result, more) = (self.work)(item);
            let mut queue = self.lock();
            queue.results.push(result);
            queue.waiting.extend(more);
            drop(queue);
            self.grow(scope);
            drop(running);
        }
    }

    /// Waits for an item; `None` when none is left and none can come.
    fn next(&self) -> Option<T> {
        let mut queue = self.lock();
        loop {
            if let Some(item) = queue.waiting.pop_front() {
                queue.running += 1;
                return Some(item);
            }
            if queue.running == 0 {
                return None;
            }
            queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl<T, R, F> Pool<T, R, F> {
    fn lock(&self) -> MutexGuard<'_, Queue<T, R>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An item being worked on. The others must not wait for one whose worker has panicked.
struct Running<'a, T, R, F>(&'a Pool<T, R, F>);

impl<T, R, F> Drop for Running<'_, T, R, F> {
    fn drop(&mut self) {
        self.0.lock().running -= 1;
        self.0.changed.notify_all();
    }
}

/// Works on the nodes of a graph, each after those that it needs. What needs, directly or not, a node for which `work`
/// says `false` is left out, and so are nodes that need each other in a circle.
pub(super) fn in_order(threads: usize, needs: &[Vec<usize>], work: impl Fn(usize) -> bool + Sync) {
    let mut needed_by = vec![Vec::new(); needs.len()];
    for (node, needs) in needs.iter().enumerate() {
        needs.iter().for_each(|needed| needed_by[*needed].push(node));
    }
    let waits_for: Vec<AtomicUsize> = needs.iter().map(|needs| AtomicUsize::new(needs.len())).collect();
    let first = (0..needs.len()).filter(|node| needs[*node].is_empty());
    spread(threads.min(needs.len()), first, |node| {
        let mut ready = Vec::new();
        if work(node) {
            ready.extend(needed_by[node].iter().filter(|other| waits_for[**other].fetch_sub(1, Ordering::AcqRel) == 1));
        }
        ((), ready)
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_worked_on_once() {
        let mut sizes = spread(4, [3_u32, 5], |size| (size, (0..size).collect()));
        sizes.sort_unstable();
        // 2^3 + 2^5 items, as each brings all smaller ones.
        assert_eq!(sizes.len(), 40);
        assert_eq!(spread(4, [], |(): ()| ((), Vec::new())), []);
    }

    #[test]
    fn what_is_needed_comes_first_and_circles_are_left_out() {
        // 3 needs 1 and 2, which need 0; 4 fails, so 5 is left out; 6 and 7 need each other.
        let needs = [vec![], vec![0], vec![0], vec![1, 2], vec![], vec![4, 3], vec![7], vec![6]];
        let done = Mutex::new(Vec::new());
        in_order(4, &needs, |node| {
            let mut done = done.lock().unwrap();
            assert!(needs[node].iter().all(|needed| done.contains(needed)));
            done.push(node);
            node != 4
        });
        let mut done = done.into_inner().unwrap();
        done.sort_unstable();
        assert_eq!(done, [0, 1, 2, 3, 4]);
    }
}
