//! What can go wrong, sorted by what a caller does about it.

use std::fmt::Display;

use diesel::result::{DatabaseErrorKind, Error as DieselError};
use domain::Panic;

use crate::Unfit;
use crate::corrupt::{self, CorruptRow};

/// The server's trouble, not the statement's: it ends, is too slow now, has no room, or must not write.
const AILING: [&str; 7] = [
    "terminating connection",
    "connection closed",
    "statement timeout",
    "lock timeout",
    "No space left on device",
    "read-only transaction",
    "too many connections",
];

/// Postgres's messages about a value that can never be stored (SQLSTATE classes 22 and 54). Diesel
/// hides the SQLSTATE; as with [`AILING`], the server's messages must be in English (`lc_messages`).
const UNSTORABLE: [&str; 10] = [
    // 22021 and 22P05: U+0000 or invalid UTF-8, in text or in a JSON document.
    "invalid byte sequence for encoding",
    "unsupported Unicode escape sequence",
    // 22P02, 22001, 22003, 22008, 22012.
    "invalid input syntax for type",
    "value too long for type",
    "out of range",
    "numeric field overflow",
    "division by zero",
    // 54000: larger than the limit of an index entry or of a part of a JSON document.
    "exceeds btree version",
    "index row requires",
    "too long to represent as jsonb",
];

/// A failed conversation with Postgres.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The connection URL is malformed.
    #[error("the database URL is malformed")]
    Url(#[source] tokio_postgres::Error),
    /// What the URL says of TLS cannot be done.
    #[error("the database URL asks for TLS that cannot be had: {0}")]
    Tls(String),
    /// The server cannot be reached.
    #[error("the database cannot be reached")]
    Connect(#[source] tokio_postgres::Error),
    /// No connection could be had from the pool.
    #[error("no database connection available")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// This process must not work on the database now.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// The connection broke in the middle; whether a commit under way happened is unknown.
    #[error("the database connection was lost")]
    Lost(#[source] DieselError),
    /// A uniqueness rule refused the write.
    #[error("unique constraint {constraint} violated")]
    UniqueViolation {
        /// The rule's name in the schema.
        constraint: String,
        /// What Postgres said.
        #[source]
        source: DieselError,
    },
    /// A reference to a row that is not there.
    #[error("foreign key {constraint} violated")]
    ForeignKeyViolation {
        /// The rule's name in the schema.
        constraint: String,
        /// What Postgres said.
        #[source]
        source: DieselError,
    },
    /// A value rule refused the write.
    #[error("check constraint {constraint} violated")]
    CheckViolation {
        /// The rule's name in the schema.
        constraint: String,
        /// What Postgres said.
        #[source]
        source: DieselError,
    },
    /// Two transactions met; the same work may be tried again.
    #[error("the transaction collided with another")]
    Collision(#[source] DieselError),
    /// Code that used the connection panicked; the connection is closed.
    #[error(transparent)]
    Panicked(#[from] Panic),
    /// A stored value that this program cannot read. Only a repair of the row helps.
    #[error("{table} {id}: column {column} cannot be read")]
    Corrupt {
        /// The table of the row.
        table: &'static str,
        /// The primary key of the row; the parts of a composite key are joined by `/`.
        id: String,
        /// The column of the value.
        column: &'static str,
    },
    /// Anything else.
    #[error("the query failed")]
    Query(#[source] DieselError),
}

impl Error {
    /// A value that cannot be written as the column wants it.
    pub fn unwritable(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Query(DieselError::SerializationError(cause.into()))
    }

    /// A stored value that this program cannot read. The row is logged, counted (`db_corrupt_rows_total`) and listed for an
    /// alert ([`crate::take_corrupt_rows`]).
    pub fn corrupt(table: &'static str, id: impl Display, column: &'static str) -> Self {
        let id = id.to_string();
        corrupt::record(CorruptRow { table, id: id.clone(), column });
        Self::Corrupt { table, id, column }
    }

    /// Other transactions changed the same rows again and again: the transaction is run again from its beginning.
    pub const fn contended() -> Self {
        Self::Collision(DieselError::RollbackTransaction)
    }

    /// A row that must exist is missing.
    pub const fn missing_row() -> Self {
        Self::Query(DieselError::NotFound)
    }

    /// True when the database is not there for us now: trying later may help, the work itself is not at fault.
    pub const fn is_unavailable(&self) -> bool {
        matches!(self, Self::Connect(_) | Self::Unavailable(_) | Self::Unfit(_) | Self::Lost(_))
    }

    /// True when every retry of the same work fails, because a value can never be stored or a stored one cannot be read. Work
    /// from outside is then refused at once. A violated unique or foreign key is not permanent: other rows may change.
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::CheckViolation { .. }
            | Self::Corrupt { .. }
            | Self::Query(DieselError::SerializationError(_)) => true,
            // A missing value is not of this kind: a newer schema may ask for one that this program does not know.
            Self::Query(DieselError::DatabaseError(_, info)) => {
                UNSTORABLE.iter().any(|text| info.message().contains(text))
            }
            _ => false,
        }
    }

    /// True when this rule of the schema refused the write.
    pub fn violates(&self, name: &str) -> bool {
        match self {
            Self::UniqueViolation { constraint, .. }
            | Self::ForeignKeyViolation { constraint, .. }
            | Self::CheckViolation { constraint, .. } => constraint == name,
            _ => false,
        }
    }

    /// A violation of this unique constraint as a collision: another transaction did the same at the same moment, and what
    /// follows from that is seen when the work is done again.
    #[must_use]
    pub fn collides_at(self, name: &str) -> Self {
        match self {
            // Told as the server tells a collision: it is known by that, whatever the error is wrapped in.
            Self::UniqueViolation { constraint, source: DieselError::DatabaseError(_, info) }
                if constraint == name =>
            {
                Self::Collision(DieselError::DatabaseError(DatabaseErrorKind::SerializationFailure, info))
            }
            other => other,
        }
    }
}

/// True when the server ended the transaction in favour of another (40001, 40P01).
pub(crate) fn is_collision(error: &DieselError) -> bool {
    match error {
        DieselError::DatabaseError(DatabaseErrorKind::SerializationFailure, _) => true,
        // Diesel has no kind of its own for this; the text is Postgres's.
        DieselError::DatabaseError(DatabaseErrorKind::Unknown, info) => {
            info.message().contains("deadlock detected")
        }
        _ => false,
    }
}

impl From<DieselError> for Error {
    fn from(source: DieselError) -> Self {
        let DieselError::DatabaseError(kind, info) = &source else {
            return match source {
                DieselError::BrokenTransactionManager => Self::Lost(source),
                _ => Self::Query(source),
            };
        };
        if is_collision(&source) {
            return Self::Collision(source);
        }
        let constraint = info.constraint_name().unwrap_or_default().to_owned();
        match kind {
            DatabaseErrorKind::UniqueViolation => Self::UniqueViolation { constraint, source },
            DatabaseErrorKind::ForeignKeyViolation => Self::ForeignKeyViolation { constraint, source },
            DatabaseErrorKind::CheckViolation => Self::CheckViolation { constraint, source },
            DatabaseErrorKind::ClosedConnection | DatabaseErrorKind::UnableToSendCommand => {
                Self::Lost(source)
            }
            // Diesel has no kind of its own for these; the texts are Postgres's (57P01 and others).
            DatabaseErrorKind::Unknown | DatabaseErrorKind::ReadOnlyTransaction
                if AILING.iter().any(|text| info.message().contains(text)) =>
            {
                Self::Lost(source)
            }
            _ => Self::Query(source),
        }
    }
}
