//! The tables. Plain SQL, because every guard is one statement.

pub(crate) mod causes;
pub(crate) mod claims;
pub(crate) mod notices;
mod schema;
pub(crate) mod upkeep;
