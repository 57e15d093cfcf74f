//! Whether Allegro answers, as far as this replica has seen.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// An answer is news for so long; then, if nothing else was asked, Allegro is asked for nothing in particular.
const NEWS: Duration = Duration::from_mins(1);
/// The same while Allegro does not answer.
const BAD_NEWS: Duration = Duration::from_secs(5);

/// What was seen last. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Reach(Arc<Mutex<Option<(Instant, bool)>>>);

impl Reach {
    /// Remembers whether there was an answer, of whatever kind.
    pub(super) fn saw(&self, has_answered: bool) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), has_answered));
    }

    /// False when the last request had no answer.
    pub(super) fn is_up(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_none_or(|(_, has_answered)| has_answered)
    }

    /// Bad news may come any time, and is news for less long.
    pub(super) fn look_again_in(&self) -> Duration {
        self.is_news_for().min(BAD_NEWS)
    }

    /// How long what was seen last is still news.
    pub(super) fn is_news_for(&self) -> Duration {
        let seen = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.map_or(Duration::ZERO, |(at, has_answered)| {
            if has_answered { NEWS } else { BAD_NEWS }.saturating_sub(at.elapsed())
        })
    }
}
