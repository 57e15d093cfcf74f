//! While many orders wait to be taken from the shelf, telling allegro-backup of those that were taken waits: a unit that
//! stands on the shelf may be sold twice, a mark that comes seconds later harms nobody.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Facts in one transaction that show that many wait.
const MANY: usize = 100;
/// How long after such a transaction many may still wait.
const FRESH: Duration = Duration::from_millis(200);
/// How long telling waits at most: if orders come for ever faster than all can be done, marks still come.
const LONGEST: Duration = Duration::from_secs(5);

/// Whether there is such a rush: when it began, and when it was seen last.
#[derive(Debug, Default)]
pub(crate) struct Rush(Mutex<Option<(Instant, Instant)>>);

impl Rush {
    /// So many facts are about to be taken in together.
    pub(crate) fn note(&self, facts: usize, now: Instant) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if facts < MANY {
            *seen = None;
            return;
        }
        let began =
            seen.filter(|(_, last)| now.duration_since(*last) < FRESH).map_or(now, |(began, _)| began);
        *seen = Some((began, now));
    }

    /// Whether everything else is to wait for it.
    pub(crate) fn is_on(&self, now: Instant) -> bool {
        let seen = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.is_some_and(|(began, last)| {
            now.duration_since(last) < FRESH && now.duration_since(began) < LONGEST
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{FRESH, LONGEST, MANY, Rush};

    #[test]
    fn others_wait_for_a_crowd_and_not_for_ever() {
        let (rush, begun, step) = (Rush::default(), Instant::now(), Duration::from_millis(100));
        rush.note(MANY - 1, begun);
        assert!(!rush.is_on(begun), "few are no crowd");
        let mut now = begun;
        while now < begun + LONGEST {
            rush.note(MANY, now);
            assert!(rush.is_on(now), "{:?} after its beginning", now - begun);
            now += step;
        }
        rush.note(MANY, now);
        assert!(!rush.is_on(now), "it has lasted too long");
        now += FRESH;
        rush.note(MANY, now);
        assert!(rush.is_on(now), "another one");
        assert!(!rush.is_on(now + FRESH), "which is over");
        rush.note(1, now);
        assert!(!rush.is_on(now), "as soon as few come");
    }
}
