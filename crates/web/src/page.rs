//! Lists, newest first, with an opaque keyset cursor: rows that are inserted meanwhile cause no repetition and no gap.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::Instant;
use domain::instant::are_in_order;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::problem::{INVALID_CURSOR, INVALID_PARAMETER, Problem};

/// The last row of a page. The next page begins after it in `(time, id)` order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// The row's time, with the microsecond precision of Postgres.
    pub time: OffsetDateTime,
    /// The row's id, which orders rows of the same microsecond.
    pub id: Uuid,
}

/// The content of a cursor. A later version can recognise this one by `v`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Inside {
    v: u8,
    /// Microseconds since 1970.
    t: i64,
    i: Uuid,
}

const VERSION: u8 = 1;

impl Cursor {
    /// Encodes the cursor as opaque, URL-safe text.
    pub fn encode(&self) -> String {
        let micros = self.time.unix_timestamp_nanos().div_euclid(1_000);
        // `time` allows the years ±9999, which fit into an i64 of microseconds.
        let inside = Inside { v: VERSION, t: i64::try_from(micros).unwrap_or(i64::MAX), i: self.id };
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(&inside).unwrap_or_default())
    }

    /// # Errors
    /// `invalid_cursor` for text that [`Cursor::encode`] did not produce.
    pub fn decode(text: &str) -> Result<Self, Problem> {
        Self::read(text).ok_or_else(|| {
            Problem::new(&INVALID_CURSOR).error(
                "cursor",
                "invalid_cursor",
                "must be a `next_cursor` given by the same list",
            )
        })
    }

    /// Time and id of the row after which a page begins, if the request has a cursor.
    ///
    /// # Errors
    /// As [`Cursor::decode`].
    pub fn after(text: Option<&str>) -> Result<Option<(OffsetDateTime, Uuid)>, Problem> {
        Ok(text.map(Self::decode).transpose()?.map(|it| (it.time, it.id)))
    }

    fn read(text: &str) -> Option<Self> {
        let inside: Inside = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(inside.t) * 1_000).ok()?;
        let time = Instant::try_from(time).ok()?.into();
        (inside.v == VERSION).then_some(Self { time, id: inside.i })
    }
}

/// Rejects the query parameters `from` and `to` of a list unless `from` is before `to`.
///
/// # Errors
/// `invalid_parameter` with the pointer `from`.
pub fn check_span(from: Option<OffsetDateTime>, to: Option<OffsetDateTime>) -> Result<(), Problem> {
    if are_in_order(from, to) {
        return Ok(());
    }
    Err(Problem::new(&INVALID_PARAMETER).error("from", "invalid_range", "must be before `to`"))
}

/// Items per page: 1 to 200, 50 by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(try_from = "u64")]
#[schema(value_type = u16, minimum = 1, maximum = 200, default = 50)]
pub struct Limit(u16);

impl Limit {
    /// Number of items on a page.
    pub fn get(self) -> u16 {
        self.0
    }

    /// Number of rows to fetch: one more than a page holds shows whether there is a next page.
    pub fn with_probe(self) -> i64 {
        i64::from(self.0) + 1
    }
}

impl Default for Limit {
    fn default() -> Self {
        Self(50)
    }
}

impl TryFrom<u64> for Limit {
    type Error = &'static str;

    fn try_from(number: u64) -> Result<Self, Self::Error> {
        u16::try_from(number)
            .ok()
            .filter(|limit| (1..=200).contains(limit))
            .map(Self)
            .ok_or("must be a whole number from 1 to 200")
    }
}

/// The query parameters of a list without filters.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Paging {
    /// Maximum number of items, 1 to 200.
    #[serde(default)]
    #[param(value_type = Option<u16>, default = 50, minimum = 1, maximum = 200)]
    pub limit: Limit,
    /// `next_cursor` of the previous page.
    #[param(
        example = "eyJ2IjoxLCJ0IjoxNzk1MjQ4MDAwMDAwMDAwLCJpIjoiMDE5MGM1YTQtNmY3ZS03Y2MzLTk4YzQtZGMwYzBjMDczOThmIn0"
    )]
    pub cursor: Option<String>,
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Page<T> {
    /// Newest first.
    pub items: Vec<T>,
    /// Cursor of the next page; null on the last page.
    pub next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// A page of rows that were fetched with [`Limit::with_probe`]. `cursor` returns the position of a row.
    pub fn new(mut rows: Vec<T>, limit: Limit, cursor: impl FnOnce(&T) -> Cursor) -> Self {
        let size = usize::from(limit.get());
        let more = rows.len() > size;
        rows.truncate(size);
        let next_cursor = rows.last().filter(|_| more).map(|last| cursor(last).encode());
        Self { items: rows, next_cursor }
    }

    /// Converts the items.
    pub fn map<U>(self, change: impl FnMut(T) -> U) -> Page<U> {
        Page { items: self.items.into_iter().map(change).collect(), next_cursor: self.next_cursor }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;

    #[test]
    fn only_an_encoded_cursor_is_decoded() {
        let cursor = Cursor {
            time: OffsetDateTime::from_unix_timestamp_nanos(-1_234_567_000).unwrap(),
            id: Uuid::now_v7(),
        };
        assert_eq!(Cursor::decode(&cursor.encode()).unwrap(), cursor);

        let id = Uuid::nil();
        for inside in [
            String::new(),
            "null".to_owned(),
            format!(r#"{{"v":2,"t":0,"i":"{id}"}}"#),
            format!(r#"{{"v":1,"t":"0","i":"{id}"}}"#),
            format!(r#"{{"v":1,"t":{},"i":"{id}"}}"#, i64::MAX),
            format!(r#"{{"v":1,"t":0,"i":"{id}","x":1}}"#),
            r#"{"v":1,"t":0,"i":"1"}"#.to_owned(),
        ] {
            let problem = Cursor::decode(&URL_SAFE_NO_PAD.encode(&inside)).unwrap_err();
            assert_eq!(problem.code(), &INVALID_CURSOR, "{inside}");
        }
        assert!(Cursor::decode("not base64!").is_err());
    }

    #[test]
    fn only_a_full_page_with_more_rows_has_a_next_one() {
        let limit = Limit::try_from(2).unwrap();
        let place = |n: &u8| Cursor { time: OffsetDateTime::UNIX_EPOCH, id: Uuid::from_u128(u128::from(*n)) };

        let page = Page::new(vec![9, 8, 7], limit, place);
        assert_eq!(page.items, [9, 8]);
        assert_eq!(Cursor::decode(&page.next_cursor.unwrap()).unwrap().id, Uuid::from_u128(8));
        assert_eq!(Page::new(vec![9, 8], limit, place).next_cursor, None);
        assert_eq!(Page::new(vec![], limit, place).next_cursor, None);
    }
}
