//! Statements prepared once for each connection.

use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::QueryResult;
use diesel::sql_types::Untyped;

/// An SQL statement that its connection prepares once and caches; see [`prepared`].
#[derive(Debug, Clone, Copy)]
pub struct Prepared<Q>(Q);

/// Prepares a statement of [`diesel::sql_query`] once for each connection. Without it, each execution parses and plans the
/// statement again and needs another round trip. Use it for statements that run often and whose text does not vary: a
/// connection caches each text until it closes.
pub const fn prepared<Q>(query: Q) -> Prepared<Q> {
    Prepared(query)
}

impl<Q: QueryFragment<Pg>> QueryFragment<Pg> for Prepared<Q> {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.0.walk_ast(out)
    }

    fn is_safe_to_cache_prepared(&self, _backend: &Pg) -> QueryResult<bool> {
        Ok(true)
    }
}

impl<Q> QueryId for Prepared<Q> {
    type QueryId = ();

    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<Q> Query for Prepared<Q> {
    type SqlType = Untyped;
}
