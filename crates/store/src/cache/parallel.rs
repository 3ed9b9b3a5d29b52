//! Work that brings more work, done with several threads.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

struct Queue<T, R> {
    waiting: VecDeque<T>,
    running: usize,
    results: Vec<R>,
}

/// Does `work` on every item and on those that it brings, with at most `threads` threads. The results are in no order.
pub(super) fn spread<T: Send, R: Send>(
    threads: usize,
    first: impl IntoIterator<Item = T>,
    work: impl Fn(T) -> (R, Vec<T>) + Sync,
) -> Vec<R> {
    let queue = Mutex::new(Queue { waiting: first.into_iter().collect(), running: 0, results: Vec::new() });
    let changed = Condvar::new();
    if queue.lock().unwrap_or_else(PoisonError::into_inner).waiting.is_empty() {
        return Vec::new();
    }
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                while let Some(item) = next(lock(&queue), &changed) {
                    let running = Running { queue: &queue, changed: &changed };
                    let (result, more) = work(item);
                    let mut queue = lock(&queue);
                    queue.results.push(result);
                    queue.waiting.extend(more);
                    drop(queue);
                    drop(running);
                }
            });
        }
    });
    queue.into_inner().unwrap_or_else(PoisonError::into_inner).results
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

fn lock<T, R>(queue: &Mutex<Queue<T, R>>) -> MutexGuard<'_, Queue<T, R>> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits for an item; `None` when none is left and none can come.
fn next<T, R>(mut queue: MutexGuard<'_, Queue<T, R>>, changed: &Condvar) -> Option<T> {
    loop {
        if let Some(item) = queue.waiting.pop_front() {
            queue.running += 1;
            return Some(item);
        }
        if queue.running == 0 {
            return None;
        }
        queue = changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
    }
}

/// An item being worked on. The others must not wait for one whose worker has panicked.
struct Running<'a, T, R> {
    queue: &'a Mutex<Queue<T, R>>,
    changed: &'a Condvar,
}

impl<T, R> Drop for Running<'_, T, R> {
    fn drop(&mut self) {
        lock(self.queue).running -= 1;
        self.changed.notify_all();
    }
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
