//! Waiting for a condition instead of for time to pass.

use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(20);
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// Asks until the answer is there, and returns it.
///
/// # Panics
/// When it is not there within 20 s; `what` says what was waited for.
pub async fn eventually<T>(what: &str, ask: impl AsyncFnMut() -> Option<T>) -> T {
    eventually_within(LIMIT, what, ask).await
}

/// The same for what takes longer.
///
/// # Panics
/// When it is not there within `limit`.
pub async fn eventually_within<T>(limit: Duration, what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        let waited = start.elapsed();
        assert!(waited < limit, "waited {limit:?} in vain for: {what}");
        tokio::time::sleep(pause(waited)).await;
    }
}

/// Asks until the answer is there, in a test without a runtime, and returns it.
///
/// # Panics
/// When it is not there within 20 s; `what` says what was waited for.
pub fn wait_for<T>(what: &str, ask: impl FnMut() -> Option<T>) -> T {
    until(LIMIT, ask).unwrap_or_else(|| panic!("waited {LIMIT:?} in vain for: {what}"))
}

/// Asks until the answer is there, without a runtime; none when it is not there in time.
pub(crate) fn until<T>(limit: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        let waited = start.elapsed();
        if waited > limit {
            return None;
        }
        std::thread::sleep(pause(waited));
    }
}

/// The pause before the next query. It grows with the time waited, because each query costs the service CPU time. It
/// adds at most an eighth to the wait.
fn pause(waited: Duration) -> Duration {
    (waited / 8).clamp(SHORTEST_PAUSE, LONGEST_PAUSE)
}
