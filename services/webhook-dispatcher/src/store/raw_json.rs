//! JSON in its written form: Postgres's `json` keeps the text, and `jsonb` does not.

use std::io::Write;

use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::expression::AsExpression;
use diesel::pg::{Pg, PgValue};
use diesel::serialize::{self, IsNull, Output, ToSql};
use diesel::sql_types::Json;
use serde_json::value::RawValue;

/// A value of a column of type `json`.
#[derive(Debug, Clone, FromSqlRow, AsExpression)]
#[diesel(sql_type = Json)]
pub(crate) struct RawJson(pub(crate) Box<RawValue>);

impl FromSql<Json, Pg> for RawJson {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        Ok(Self(serde_json::from_slice(value.as_bytes())?))
    }
}

impl ToSql<Json, Pg> for RawJson {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        out.write_all(self.0.get().as_bytes())?;
        Ok(IsNull::No)
    }
}
