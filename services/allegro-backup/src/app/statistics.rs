//! Counts and sums of a user's orders.

use domain::{Money, TokenId};
use time::Date;

use super::orders::accounts;
use crate::domain::periods::Periods;
use crate::state::State;
use crate::store::order_statistics;

/// Counts and sums: how many orders, and what is to be paid for them where Allegro named a sum.
#[derive(Debug, Default)]
pub(crate) struct Statistics {
    /// Orders in all.
    pub(crate) orders: i64,
    /// By status and currency.
    pub(crate) by_status: Vec<(String, i64, Option<Money>)>,
    /// By the first day of a period, and currency.
    pub(crate) by_period: Vec<(Date, i64, Option<Money>)>,
}

/// Counts the orders of a user's accounts, or of one of them.
///
/// # Errors
/// The database's.
pub(crate) async fn of(
    state: &State,
    user_id: &str,
    token_id: Option<TokenId>,
    periods: &Periods,
) -> Result<Statistics, pg::Error> {
    let mut conn = state.pool.get().await?;
    let ids = accounts(&mut conn, user_id, token_id).await?;
    let groups = order_statistics::statistics(&mut conn, &ids, &periods.starts, periods.end).await?;
    let mut counted = Statistics::default();
    for group in groups {
        let total = group.total()?;
        let day = group.period.and_then(|number| usize::try_from(number - 1).ok());
        if let Some(day) = day.and_then(|index| periods.days.get(index)) {
            counted.by_period.push((*day, group.orders, total));
        } else if let Some(status) = group.status {
            counted.orders += group.orders;
            counted.by_status.push((status, group.orders, total));
        }
    }
    Ok(counted)
}
