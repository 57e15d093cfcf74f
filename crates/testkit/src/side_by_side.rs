//! Many cases of one test, a few at once.

use std::thread;

/// Processes of a few cases keep a small machine busy without making any of them late.
const AT_ONCE: usize = 4;

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
