//! The tables. Plain SQL where a guard and its effect are one statement.

pub(crate) mod causes;
pub(crate) mod claims;
pub(crate) mod notices;
mod schema;
pub(crate) mod upkeep;
