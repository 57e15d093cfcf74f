//! Aborts or panics at the failpoints named in the environment.

use std::io::Write;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// The variable that names the points, see the crate.
const VARIABLE: &str = "FAILPOINTS";

#[derive(Clone, Copy)]
enum Action {
    Abort,
    Panic,
}

struct Armed {
    point: String,
    action: Action,
    /// Remaining visits until the action.
    left: AtomicU32,
}

pub(crate) fn hit(point: &str) {
    static ARMED: OnceLock<Vec<Armed>> = OnceLock::new();
    let armed = ARMED.get_or_init(|| read(&std::env::var(VARIABLE).unwrap_or_default()));
    for it in armed.iter().filter(|it| it.point == point) {
        if it.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            act(it.action, point);
        }
    }
}

fn act(action: Action, point: &str) {
    match action {
        Action::Panic => panic!("failpoint {point}"),
        Action::Abort => {
            // A closed stderr is ignored. The signal reports the abort.
            let _unheard = writeln!(std::io::stderr(), "failpoint: {point}");
            std::process::abort();
        }
    }
}

fn read(text: &str) -> Vec<Armed> {
    let named = text.split(',').map(str::trim).filter(|it| !it.is_empty());
    named
        .map(|it| {
            let (what, visit) = it.split_once('@').unwrap_or((it, "1"));
            let (point, action) = match what.split_once('=') {
                Some((point, "panic")) => (point, Action::Panic),
                Some((point, _)) => (point, Action::Abort),
                None => (what, Action::Abort),
            };
            // An invalid number means the first visit: a test that dies too early is noticed.
            let left = AtomicU32::new(visit.parse().unwrap_or(1));
            Armed { point: point.to_owned(), action, left }
        })
        .collect()
}
