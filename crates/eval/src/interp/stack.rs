//! Threads with a stack that is deep enough for lazy programs.

/// What must be left of the stack for a step of the evaluator to begin.
const RESERVE: usize = 512 << 10;

/// Stack sizes to try, largest first. The memory is only used as far as the stack grows; the largest is what a runaway
/// recursion may cost before it is stopped.
const SIZES: [usize; 3] = [1 << 30, 256 << 20, 64 << 20];

/// About where the stack pointer is.
#[inline(always)]
pub fn pointer() -> usize {
    let marker = 0u8;
    std::hint::black_box(std::ptr::from_ref(&marker)).addr()
}

/// Runs `work` on a thread with a deep stack. It is given the address below which no new step may begin.
///
/// # Panics
/// If `work` panics, or no thread can be started.
pub fn run_deep<R: Send>(work: impl FnOnce(usize) -> R + Send) -> R {
    let slot = std::sync::Mutex::new(Some(work));
    let slot = &slot;
    std::thread::scope(|scope| {
        for size in SIZES {
            let body = move || {
                let work = slot.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
                work.map(|work| work(pointer().saturating_sub(size - RESERVE)))
            };
            let builder = std::thread::Builder::new().name("evaluator".to_owned()).stack_size(size);
            let Ok(handle) = builder.spawn_scoped(scope, body) else { continue };
            match handle.join() {
                Ok(result) => return result.expect("only one thread is started"),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        panic!("no thread with a stack of {} bytes can be started", SIZES[SIZES.len() - 1])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deep_thread_knows_its_end() {
        let left = run_deep(|limit| pointer() - limit);
        assert!(left > 32 << 20);
    }
}
