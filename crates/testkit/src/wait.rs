//! Waiting for a condition instead of for time to pass.

use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(20);

/// Asks until the answer is there, and returns it.
///
/// # Panics
/// When it is not there within 20 s; `what` says what was waited for.
pub async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited {LIMIT:?} in vain for: {what}");
        tokio::time::sleep(PAUSE).await;
    }
}
