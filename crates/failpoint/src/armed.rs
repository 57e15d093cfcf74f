//! Dying where the environment says.

use std::io::Write;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// Names the points, see the crate.
const VARIABLE: &str = "FAILPOINTS";

struct Armed {
    point: String,
    /// Visits left until the process dies there.
    left: AtomicU32,
}

pub(crate) fn hit(point: &str) {
    static ARMED: OnceLock<Vec<Armed>> = OnceLock::new();
    let armed = ARMED.get_or_init(|| read(&std::env::var(VARIABLE).unwrap_or_default()));
    for it in armed.iter().filter(|it| it.point == point) {
        if it.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            // With stderr gone the signal still tells.
            let _unheard = writeln!(std::io::stderr(), "failpoint: {point}");
            std::process::abort();
        }
    }
}

fn read(text: &str) -> Vec<Armed> {
    let named = text.split(',').map(str::trim).filter(|it| !it.is_empty());
    named
        .map(|it| {
            let (point, visit) = it.split_once('@').unwrap_or((it, "1"));
            // A wrong number is the first visit: a test that dies too early is seen.
            Armed { point: point.to_owned(), left: AtomicU32::new(visit.parse().unwrap_or(1)) }
        })
        .collect()
}
