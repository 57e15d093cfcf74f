//! How an endpoint is doing, and whether it is sent anything.

use time::{Duration, OffsetDateTime};

/// Failures in a row that open the circuit.
pub(crate) const OPENS_AFTER: i32 = 10;
/// How long it stays open the first time; twice as long each time after that, but not for ever.
const FIRST_OPEN: Duration = Duration::seconds(10);
const LONGEST_OPEN: Duration = Duration::minutes(5);
/// The shortest pause of an endpoint that throttles. It doubles each time while no delivery succeeds in between, up to
/// [`LONGEST_OPEN`].
const FIRST_PAUSE: Duration = Duration::seconds(1);
/// A success that changes nothing is noted no more often than that.
const NOTED_EVERY: Duration = Duration::seconds(10);
/// An endpoint that only failed for so long is sent nothing any more.
const GIVEN_UP_AFTER: Duration = Duration::days(5);

/// Whether an endpoint is sent anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Circuit {
    Closed,
    /// Nothing is sent until then.
    Open(OffsetDateTime),
    /// One delivery is being tried, or was until then.
    HalfOpen(OffsetDateTime),
}

/// The kind of a [`Circuit`], stored and public.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CircuitState {
    Closed,
    Open,
    HalfOpen,
}

impl CircuitState {
    const ALL: [Self; 3] = [Self::Closed, Self::Open, Self::HalfOpen];

    /// Parses the stored and public name.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }

    /// The stored and public name.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

impl Circuit {
    pub(crate) const fn state(self) -> CircuitState {
        match self {
            Self::Closed => CircuitState::Closed,
            Self::Open(_) => CircuitState::Open,
            Self::HalfOpen(_) => CircuitState::HalfOpen,
        }
    }

    /// The end of the present state, unless it is closed.
    pub(crate) const fn until(self) -> Option<OffsetDateTime> {
        match self {
            Self::Closed => None,
            Self::Open(until) | Self::HalfOpen(until) => Some(until),
        }
    }
}

/// Why a subscription is sent nothing any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DisabledFor {
    /// Its receiver answered 410.
    Gone,
    /// Nothing but failures came for [`GIVEN_UP_AFTER`].
    OnlyFailures,
}

impl DisabledFor {
    /// The word programs are told.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::OnlyFailures => "only_failures",
        }
    }

    /// What its owner reads.
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Gone => "the receiver answered 410 Gone",
            Self::OnlyFailures => "the receiver has only failed for five days",
        }
    }
}

/// What is known of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Health {
    pub(crate) circuit: Circuit,
    /// How often it opened since it was closed.
    pub(crate) openings: i32,
    pub(crate) consecutive_failures: i32,
    pub(crate) last_success_at: Option<OffsetDateTime>,
    /// Since the last success.
    pub(crate) first_failure_at: Option<OffsetDateTime>,
}

/// What a set of attempts says about one endpoint.
#[derive(Debug, Clone, Default)]
pub(crate) struct Course {
    pub(crate) succeeded_at: Option<OffsetDateTime>,
    /// Since the last success among them, or all.
    pub(crate) failures: i32,
    first_failure_at: Option<OffsetDateTime>,
    /// The longest time a receiver asked to be left alone for.
    pause: Option<Duration>,
    is_throttled: bool,
    /// Whether a claimed delivery was released without an attempt.
    is_released: bool,
}

impl Course {
    /// Adds a success, which resets the count of failures. A requested pause remains, because concurrent answers arrive in any
    /// order.
    pub(crate) fn succeeded(&mut self, at: OffsetDateTime) {
        let Self { pause, is_throttled, is_released, .. } = *self;
        *self = Self { succeeded_at: Some(at), pause, is_throttled, is_released, ..Self::default() };
    }

    /// Adds a delivery that was claimed and released without an attempt.
    pub(crate) fn released(&mut self) {
        self.is_released = true;
    }

    fn has_attempts(&self) -> bool {
        self.succeeded_at.is_some() || self.failures > 0 || self.is_throttled
    }

    /// Adds an answer that throttles, which is not a failure.
    pub(crate) fn throttled(&mut self, pause: Duration) {
        self.is_throttled = true;
        self.pause = self.pause.max(Some(pause));
    }

    /// Adds a failure.
    pub(crate) fn failed(&mut self, at: OffsetDateTime, pause: Option<Duration>) {
        self.failures += 1;
        self.first_failure_at.get_or_insert(at);
        self.pause = self.pause.max(pause);
    }
}

impl Health {
    /// Whether this course of events has anything to say that is worth writing down.
    pub(crate) fn is_moved_by(&self, course: &Course) -> bool {
        if !course.has_attempts() {
            return course.is_released && matches!(self.circuit, Circuit::HalfOpen(_));
        }
        let is_noted = |at| self.last_success_at.is_some_and(|last| last + NOTED_EVERY > at);
        course.failures > 0
            || course.pause.is_some()
            || self.consecutive_failures > 0
            || self.circuit != Circuit::Closed
            || !course.succeeded_at.is_some_and(is_noted)
    }

    /// How it is doing after this. While a circuit is open, what was under way before can only make it last longer. A
    /// half-open try that was released without an attempt leaves the circuit half open, and free for another try at once.
    pub(crate) fn after(&self, course: &Course, now: OffsetDateTime) -> Self {
        if !course.has_attempts() {
            let is_free = course.is_released && matches!(self.circuit, Circuit::HalfOpen(_));
            let circuit = if is_free { Circuit::HalfOpen(now) } else { self.circuit };
            return Self { circuit, ..self.clone() };
        }
        let earlier = if course.succeeded_at.is_some() { 0 } else { self.consecutive_failures };
        let failed_before = if course.succeeded_at.is_some() { None } else { self.first_failure_at };
        let mut after = Self {
            consecutive_failures: earlier.saturating_add(course.failures),
            last_success_at: self.last_success_at.max(course.succeeded_at),
            first_failure_at: failed_before.or(course.first_failure_at),
            ..self.clone()
        };
        if course.succeeded_at.is_some() {
            after.openings = 0;
        }
        let asked = course.pause.map(|pause| now + pause);
        if let Circuit::Open(until) = self.circuit
            && until > now
        {
            after.circuit = Circuit::Open(asked.map_or(until, |asked| asked.max(until)));
            return after;
        }
        let doubled = |first: Duration| {
            now + (first * 2_i32.saturating_pow(after.openings.unsigned_abs().min(10))).min(LONGEST_OPEN)
        };
        let is_broken = course.failures > 0 && after.consecutive_failures >= OPENS_AFTER;
        let broken = is_broken.then(|| doubled(FIRST_OPEN));
        let throttled = course.is_throttled.then(|| doubled(FIRST_PAUSE));
        match broken.max(throttled).max(asked) {
            Some(until) => {
                after.circuit = Circuit::Open(until);
                after.openings = after.openings.saturating_add(1);
            }
            None => after.circuit = Circuit::Closed,
        }
        after
    }

    /// Whether nothing but failures came for so long that nobody is expected to come back.
    pub(crate) fn is_given_up(&self, now: OffsetDateTime) -> bool {
        self.consecutive_failures > 0
            && self.first_failure_at.is_some_and(|first| first + GIVEN_UP_AFTER <= now)
    }
}

#[cfg(test)]
mod tests {
    use time::{Duration, OffsetDateTime};

    use super::{Circuit, Course, Health};

    const START: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;
    const FINE: Health = Health {
        circuit: Circuit::Closed,
        openings: 0,
        consecutive_failures: 0,
        last_success_at: Some(START),
        first_failure_at: None,
    };

    fn failures(number: i32, at: OffsetDateTime, pause: Option<i64>) -> Course {
        let mut course = Course::default();
        (0..number).for_each(|_| course.failed(at, pause.map(Duration::seconds)));
        course
    }

    fn success(at: OffsetDateTime) -> Course {
        let mut course = failures(3, at, None);
        course.succeeded(at);
        course
    }

    fn second(number: i64) -> OffsetDateTime {
        START + Duration::seconds(number)
    }

    #[test]
    fn ten_failures_in_a_row_open_it_and_each_failed_try_keeps_it_open_for_longer() {
        let nearly = FINE.after(&failures(9, START, None), START);
        assert_eq!((nearly.circuit, nearly.consecutive_failures), (Circuit::Closed, 9));
        let mut health = nearly.after(&failures(1, START, None), START);
        assert_eq!(health.circuit, Circuit::Open(second(10)));
        let later = health.after(&failures(8, START, None), second(1));
        assert_eq!(later.circuit, health.circuit, "what was under way changes nothing");
        let early = health.after(&success(second(2)), second(2));
        assert_eq!((early.circuit, early.consecutive_failures), (health.circuit, 0), "nor does its success");
        for expected in [20, 40, 80, 160, 300, 300] {
            health.circuit = Circuit::HalfOpen(second(1000));
            health = health.after(&failures(1, START, None), START);
            assert_eq!(health.circuit, Circuit::Open(second(expected)));
        }
        health.circuit = Circuit::HalfOpen(second(1000));
        assert_eq!(
            health.after(&success(second(9)), second(9)),
            Health { last_success_at: Some(second(9)), ..FINE }
        );
    }

    fn throttled(at: OffsetDateTime, successes: bool) -> Course {
        let mut course = Course::default();
        course.throttled(Duration::seconds(1));
        if successes {
            course.succeeded(at);
        }
        course
    }

    #[test]
    fn throttling_is_no_failure() {
        let mut health = FINE;
        for _ in 0..20 {
            assert!(health.is_moved_by(&throttled(START, true)));
            health = health.after(&throttled(START, true), START);
            assert_eq!((health.circuit, health.openings), (Circuit::Open(second(1)), 1));
            health.circuit = Circuit::HalfOpen(second(100));
        }
        assert_eq!((health.consecutive_failures, health.first_failure_at), (0, None));
    }

    #[test]
    fn pauses_grow_while_nothing_arrives_in_between() {
        let mut health = FINE;
        for expected in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300] {
            health = health.after(&throttled(START, false), START);
            assert_eq!(health.circuit, Circuit::Open(second(expected)));
            health.circuit = Circuit::HalfOpen(second(1000));
        }
        health.circuit = Circuit::Open(second(300));
        let late = health.after(&success(second(1)), second(1));
        assert_eq!((late.circuit, late.openings), (health.circuit, 0));
    }

    #[test]
    fn a_failure_after_a_pause_closes_the_circuit_again() {
        let paused = Health { circuit: Circuit::HalfOpen(second(9)), openings: 1, ..FINE };
        let after = paused.after(&failures(1, START, None), START);
        assert_eq!((after.circuit, after.consecutive_failures), (Circuit::Closed, 1));
    }

    #[test]
    fn an_endpoint_that_asks_to_be_left_alone_is_left_alone_for_so_long() {
        let paused = FINE.after(&failures(1, START, Some(60)), START);
        assert_eq!(paused.circuit, Circuit::Open(second(60)));
        let longer = paused.after(&failures(1, START, Some(60)), second(5));
        assert_eq!(longer.circuit, Circuit::Open(second(65)));
        assert_eq!(paused.after(&failures(1, START, Some(1)), second(5)).circuit, paused.circuit);
    }

    #[test]
    fn five_days_of_nothing_but_failures_are_enough() {
        let begun = FINE.after(&failures(1, START, None), START);
        let day = |number| START + Duration::days(number);
        let later = begun.after(&failures(1, day(4), None), day(4));
        assert!(!later.is_given_up(day(4)) && later.is_given_up(day(5)));
        let between = later.after(&success(day(4)), day(4));
        assert!(!between.after(&failures(1, day(5), None), day(5)).is_given_up(day(5)));
    }

    #[test]
    fn a_success_among_many_is_written_down_now_and_then() {
        assert!(!FINE.is_moved_by(&success(second(9))) && FINE.is_moved_by(&success(second(10))));
        let failing = FINE.after(&failures(1, START, None), START);
        assert!(failing.is_moved_by(&success(second(1))) && FINE.is_moved_by(&failures(1, START, None)));
    }
}
