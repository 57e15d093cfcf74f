//! The proof that nothing is missing, day by day: what events named, what lists named, and what is stored.
//!
//! A day is green when a list was read over it, and every order that an event or that list named is stored, every
//! stored one (that is not gone at Allegro) was named by that list, and none is in quarantine.

use domain::TokenId;
use time::{Date, Duration, OffsetDateTime, Time, UtcOffset};

use crate::state::State;
use crate::store::cursors::Cursor;
pub(crate) use crate::store::proof::{Day, Open};
use crate::store::{failed, proof};

/// Orders looked for after one list, at most; the next list finds the rest.
const MISSING: i64 = 1_000;
/// Orders named in a report, at most.
const NAMED: i64 = 200;

/// What is known of an account's days.
#[derive(Debug)]
pub(crate) struct Report {
    /// Each day, newest first.
    pub(crate) days: Vec<Day>,
    /// Orders that keep days from being green.
    pub(crate) open: Vec<Open>,
}

/// Compares the days from `from` to `to`.
///
/// # Errors
/// The database's.
pub(crate) async fn report(
    state: &State,
    token_id: TokenId,
    span: (Date, Date),
) -> Result<Report, pg::Error> {
    let mut conn = state.pool.get().await?;
    let days = proof::days(&mut conn, token_id, span).await?;
    let open = proof::open(&mut conn, token_id, span, NAMED).await?;
    Ok(Report { days, open })
}

/// Writes down what a list that was read to its end proves, in the transaction of its end, and returns the orders that
/// must be asked for. What is in quarantine has times of its own.
///
/// # Errors
/// The database's.
pub(crate) async fn after_list(
    conn: &mut pg::Connection,
    token_id: TokenId,
    cursor: &Cursor,
) -> Result<Vec<String>, pg::Error> {
    let Some(span) = covered(cursor) else { return Ok(Vec::new()) };
    let began_at = cursor.pass_started_at.unwrap_or(OffsetDateTime::UNIX_EPOCH);
    proof::listed(conn, token_id, span, began_at).await?;
    failed::resolve_nameless(conn, token_id, span, began_at).await?;
    let open = proof::open(conn, token_id, span, MISSING).await?;
    let mut days: Vec<Date> = open.iter().map(|it| it.day).collect();
    days.dedup();
    proof::not_green(conn, token_id, &days).await?;
    Ok(open.into_iter().filter(|it| it.why != "quarantined").map(|it| it.order_id).collect())
}

/// The days (UTC) a pass has covered wholly. The day it was begun on counts: what is bought later is another list's.
fn covered(cursor: &Cursor) -> Option<(Date, Date)> {
    let (from, until, started) = (cursor.pass_from?, cursor.pass_until?, cursor.pass_started_at?);
    let from = from.to_offset(UtcOffset::UTC);
    let first = if from.time() == Time::MIDNIGHT { from.date() } else { from.date().next_day()? };
    let last = if until >= started {
        until.to_offset(UtcOffset::UTC).date()
    } else {
        (until.to_offset(UtcOffset::UTC) + Duration::SECOND).date().previous_day()?
    };
    (first <= last).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use time::macros::{date, datetime};

    use super::covered;
    use crate::store::cursors::Cursor;

    #[test]
    fn only_whole_days_are_covered_and_the_day_of_the_reading() {
        let started = datetime!(2026-11-21 10:00 UTC);
        for (from, until, expected) in [
            (datetime!(2026-11-18 10:00 UTC), started, Some((date!(2026 - 11 - 19), date!(2026 - 11 - 21)))),
            (datetime!(2026-11-18 00:00 UTC), started, Some((date!(2026 - 11 - 18), date!(2026 - 11 - 21)))),
            (
                datetime!(2026-11-18 00:00 UTC),
                datetime!(2026-11-20 23:59:59 UTC),
                Some((date!(2026 - 11 - 18), date!(2026 - 11 - 20))),
            ),
            (
                datetime!(2026-11-18 00:00 +1),
                datetime!(2026-11-20 12:00 UTC),
                Some((date!(2026 - 11 - 18), date!(2026 - 11 - 19))),
            ),
            (datetime!(2026-11-18 01:00 UTC), datetime!(2026-11-18 20:00 UTC), None),
        ] {
            let cursor = Cursor {
                pass_started_at: Some(started),
                pass_from: Some(from),
                pass_until: Some(until),
                ..Cursor::default()
            };
            assert_eq!(covered(&cursor), expected, "{from} {until}");
        }
    }
}
