//! Statements prepared once for each connection.

use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::QueryResult;
use diesel::sql_types::Untyped;

/// A statement in SQL that its connection prepares once and keeps; see [`kept`].
#[derive(Debug, Clone, Copy)]
pub struct Kept<Q>(Q);

/// Lets a connection keep a statement of [`diesel::sql_query`] prepared, which is otherwise parsed and planned each time, at
/// the price of another round trip. For statements that are run often and whose text does not vary: each text is kept for
/// as long as its connection.
pub const fn kept<Q>(query: Q) -> Kept<Q> {
    Kept(query)
}

impl<Q: QueryFragment<Pg>> QueryFragment<Pg> for Kept<Q> {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.0.walk_ast(out)
    }

    fn is_safe_to_cache_prepared(&self, _backend: &Pg) -> QueryResult<bool> {
        Ok(true)
    }
}

impl<Q> QueryId for Kept<Q> {
    type QueryId = ();

    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<Q> Query for Kept<Q> {
    type SqlType = Untyped;
}
