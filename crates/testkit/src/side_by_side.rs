//! What goes on at once: a request and what happens meanwhile, and many cases of one test, a few at a time.

use std::thread;

use tokio::runtime::Handle;
use tokio::task::block_in_place;

/// Processes of a few cases keep a small machine busy without making any of them late.
const AT_ONCE: usize = 4;

/// Asks on a thread of its own while `meanwhile` goes on, and returns the answer when both have ended. For tests whose
/// runtime has several threads.
///
/// # Panics
/// When one of the two does, or the runtime has one thread.
pub fn while_asking<T: Send>(ask: impl FnOnce() -> T + Send, meanwhile: impl Future<Output = ()>) -> T {
    block_in_place(|| {
        thread::scope(|scope| {
            let asked = scope.spawn(ask);
            Handle::current().block_on(meanwhile);
            asked.join().expect("an answer")
        })
    })
}

/// Runs a case for each item, and returns what they returned in the order of the items.
///
/// # Panics
/// When a case does.
pub fn side_by_side<T: Copy + Send + Sync, R: Send, F: Future<Output = R>>(
    items: &[T],
    case: fn(T) -> F,
) -> Vec<R> {
    let run = |item: T| {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(case(item))
    };
    let mut results = Vec::with_capacity(items.len());
    for group in items.chunks(AT_ONCE) {
        results.extend(thread::scope(|scope| {
            let cases: Vec<_> = group.iter().map(|item| scope.spawn(|| run(*item))).collect();
            // The case's own panic was printed by its thread.
            cases.into_iter().map(|case| case.join().expect("the case")).collect::<Vec<_>>()
        }));
    }
    results
}
