//! Counts and sums of a user's orders.

use actix_web::HttpResponse;
use actix_web::web::Data;
use domain::{Money, TimeZone, TokenId, UserId};
use serde::{Deserialize, Serialize};
use time::macros::format_description;
use time::{Date, Duration};
use utoipa::{IntoParams, ToSchema};
use web::problem::INVALID_PARAMETER;
use web::{ApiPath, ApiQuery, Caller, Problem};

use crate::app::statistics::{self, Statistics};
use crate::domain::periods::{Length, Periods};
use crate::state::State;

/// Where Allegro's day begins and ends.
const HOME: &str = "Europe/Warsaw";
/// Unless told otherwise, so many days up to today.
const DAYS: i64 = 30;
/// Days at once, at most.
const MOST_DAYS: i64 = 366;

/// How long a period is.
#[derive(Debug, Clone, Copy, Default, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum GroupBy {
    /// A day.
    #[default]
    Day,
    /// A calendar month; the first and the last may be cut off.
    Month,
}

/// Which orders, and how they are grouped.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Asked {
    /// Only of this account.
    #[param(example = "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398f")]
    token_id: Option<TokenId>,
    /// The first day; 30 days before `to` unless told. At most 366 days are told of at once.
    #[param(
        format = Date, pattern = r"^(19[7-9][0-9]|[2-8][0-9]{3})-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$", example = "2026-11-01",
    )]
    from: Option<String>,
    /// The day after the last one; tomorrow unless told.
    #[param(
        format = Date, pattern = r"^(19[7-9][0-9]|[2-8][0-9]{3})-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$", example = "2026-12-01",
    )]
    to: Option<String>,
    /// Where days begin and end, by its IANA name; `Europe/Warsaw` unless told.
    #[param(example = "Europe/Warsaw")]
    time_zone: Option<String>,
    /// Periods are days or months.
    #[serde(default)]
    #[param(inline, example = "day")]
    group_by: GroupBy,
}

/// Orders of one status in one currency.
#[derive(Serialize, ToSchema)]
pub(crate) struct StatusGroup {
    #[schema(example = "READY_FOR_PROCESSING")]
    status: String,
    #[schema(example = 17)]
    orders: i64,
    /// What is to be paid for all of them; null where Allegro named no sum.
    total: Option<Money>,
}

/// Orders bought in one period in one currency.
#[derive(Serialize, ToSchema)]
pub(crate) struct PeriodGroup {
    /// The period's first day.
    #[schema(example = "2026-11-01")]
    period: String,
    #[schema(example = 17)]
    orders: i64,
    /// What is to be paid for all of them; null where Allegro named no sum.
    total: Option<Money>,
}

/// Counts and sums.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "from": "2026-11-01", "to": "2026-12-01", "time_zone": "Europe/Warsaw", "group_by": "month", "orders": 2,
    "by_status": [{ "status": "READY_FOR_PROCESSING", "orders": 2, "total": { "amount": "246.90", "currency": "PLN" } }],
    "by_period": [{ "period": "2026-11-01", "orders": 2, "total": { "amount": "246.90", "currency": "PLN" } }],
}))]
pub(crate) struct StatisticsView {
    from: String,
    to: String,
    time_zone: String,
    group_by: GroupBy,
    /// Orders in all.
    orders: i64,
    by_status: Vec<StatusGroup>,
    /// Periods without orders are left out.
    by_period: Vec<PeriodGroup>,
}

fn refused(name: &str, code: &str, message: &str) -> Problem {
    Problem::new(&INVALID_PARAMETER).error(name, code, message)
}

fn day(name: &str, text: &str) -> Result<Date, Problem> {
    let day = Date::parse(text, format_description!("[year]-[month]-[day]"));
    // Nobody bought anything before, and the database cannot represent the ends of the calendar.
    day.ok()
        .filter(|day| (1970..9000).contains(&day.year()))
        .ok_or_else(|| refused(name, "invalid_date", "must be a day such as 2026-11-21"))
}

/// Counts and sums of a user's orders by status, and by day or month, each by currency. Orders that were merged into
/// another count there.
#[utoipa::path(get, path = "/api/v1/orders/{user_id}/statistics", tag = "orders",
    operation_id = "get_order_statistics",
    params(("user_id" = inline(UserId), Path, description = "The user whose accounts are meant", example = "sklep-zielony"), Asked),
    responses((status = 200, description = "Counts and sums", body = StatisticsView)))]
pub(crate) async fn get(
    state: Data<State>,
    caller: Caller,
    user_id: ApiPath<UserId>,
    ApiQuery(asked): ApiQuery<Asked>,
) -> Result<HttpResponse, Problem> {
    let zone: TimeZone =
        asked.time_zone.as_deref().unwrap_or(HOME).parse().map_err(|error: domain::NoTimeZone| {
            refused("time_zone", "invalid_time_zone", &error.to_string())
        })?;
    let to = match &asked.to {
        Some(text) => day("to", text)?,
        None => zone.local(state.now()).date().saturating_add(Duration::DAY),
    };
    let from = match &asked.from {
        Some(text) => day("from", text)?,
        None => to.saturating_sub(Duration::days(DAYS)),
    };
    let days = (to - from).whole_days();
    if !(1..=MOST_DAYS).contains(&days) {
        return Err(refused("to", "invalid_range", "must be 1 to 366 days after `from`"));
    }
    let length = match asked.group_by {
        GroupBy::Day => Length::Day,
        GroupBy::Month => Length::Month,
    };
    let periods = Periods::between(from, to, length, &zone)
        .ok_or_else(|| refused("to", "invalid_range", "must be a day of our era"))?;
    let counted = if caller.may_see(Some(&user_id)) {
        let counted = statistics::of(&state, &user_id, asked.token_id, &periods).await;
        counted.map_err(|error| Problem::database(&error))?
    } else {
        Statistics::default()
    };
    Ok(HttpResponse::Ok().json(StatisticsView {
        from: from.to_string(),
        to: to.to_string(),
        time_zone: zone.to_string(),
        group_by: asked.group_by,
        orders: counted.orders,
        by_status: counted
            .by_status
            .into_iter()
            .map(|(status, orders, total)| StatusGroup { status, orders, total })
            .collect(),
        by_period: counted
            .by_period
            .into_iter()
            .map(|(period, orders, total)| PeriodGroup { period: period.to_string(), orders, total })
            .collect(),
    }))
}
