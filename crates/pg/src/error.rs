//! Errors of Postgres, classified by how a caller reacts to them.

use std::fmt::Display;

use diesel::result::{DatabaseErrorKind, Error as DieselError};
use domain::Panic;

use crate::Unfit;
use crate::corrupt::{self, CorruptRow};

/// Messages of an unhealthy server, which are not the statement's fault: it shuts down, is too slow, is full, or is
/// read-only.
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

/// An operation on Postgres failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The connection URL is malformed.
    #[error("the database URL is malformed")]
    Url(#[source] tokio_postgres::Error),
    /// The TLS options of the URL cannot be used.
    #[error("the TLS options of the database URL cannot be used: {0}")]
    Tls(String),
    /// The server cannot be reached.
    #[error("the database cannot be reached")]
    Connect(#[source] tokio_postgres::Error),
    /// The pool has no free connection.
    #[error("no database connection available")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// This process must not work on the database.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// The connection broke. A commit that was running may have happened.
    #[error("the database connection was lost")]
    Lost(#[source] DieselError),
    /// A unique constraint rejected the write.
    #[error("unique constraint {constraint} violated")]
    UniqueViolation {
        /// Name of the constraint.
        constraint: String,
        /// The error of Postgres.
        #[source]
        source: DieselError,
    },
    /// A reference to a missing row.
    #[error("foreign key {constraint} violated")]
    ForeignKeyViolation {
        /// Name of the constraint.
        constraint: String,
        /// The error of Postgres.
        #[source]
        source: DieselError,
    },
    /// A check constraint rejected the write.
    #[error("check constraint {constraint} violated")]
    CheckViolation {
        /// Name of the constraint.
        constraint: String,
        /// The error of Postgres.
        #[source]
        source: DieselError,
    },
    /// Two transactions collided. The same work may be retried.
    #[error("the transaction collided with another")]
    Collision(#[source] DieselError),
    /// Code that used the connection panicked. The connection is closed.
    #[error(transparent)]
    Panicked(#[from] Panic),
    /// A stored value that this program cannot read. Only repairing the row helps.
    #[error("{table} {id}: column {column} cannot be read")]
    Corrupt {
        /// The table of the row.
        table: &'static str,
        /// The primary key of the row; the parts of a composite key are joined by `/`.
        id: String,
        /// The column of the value.
        column: &'static str,
    },
    /// Any other error.
    #[error("the query failed")]
    Query(#[source] DieselError),
}

impl Error {
    /// A value that cannot be converted to the column's type.
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

    /// Other transactions changed the same rows repeatedly. The transaction must be repeated from its beginning.
    pub const fn contended() -> Self {
        Self::Collision(DieselError::RollbackTransaction)
    }

    /// A row that must exist is missing.
    pub const fn missing_row() -> Self {
        Self::Query(DieselError::NotFound)
    }

    /// Whether the database is unavailable to us. A later retry may succeed, and the work is not at fault.
    pub const fn is_unavailable(&self) -> bool {
        matches!(self, Self::Connect(_) | Self::Unavailable(_) | Self::Unfit(_) | Self::Lost(_))
    }

    /// Whether every retry of the same work fails, because a value can never be stored or a stored one cannot be read.
    /// Work from outside is then rejected at once. A violated unique or foreign key is not permanent: other rows may
    /// change.
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::CheckViolation { .. }
            | Self::Corrupt { .. }
            | Self::Query(DieselError::SerializationError(_)) => true,
            // A missing value is not permanent: a newer schema may require one that this program does not know.
            Self::Query(DieselError::DatabaseError(_, info)) => {
                UNSTORABLE.iter().any(|text| info.message().contains(text))
            }
            _ => false,
        }
    }

    /// Whether this constraint rejected the write.
    pub fn violates(&self, name: &str) -> bool {
        match self {
            Self::UniqueViolation { constraint, .. }
            | Self::ForeignKeyViolation { constraint, .. }
            | Self::CheckViolation { constraint, .. } => constraint == name,
            _ => false,
        }
    }

    /// Converts a violation of this unique constraint to a collision: another transaction wrote the same at the same
    /// time, and a repetition of the work sees its result.
    #[must_use]
    pub fn collides_at(self, name: &str) -> Self {
        match self {
            // Reported as the server reports a collision, so that it is detected inside any wrapping error.
            Self::UniqueViolation { constraint, source: DieselError::DatabaseError(_, info) }
                if constraint == name =>
            {
                Self::Collision(DieselError::DatabaseError(DatabaseErrorKind::SerializationFailure, info))
            }
            other => other,
        }
    }
}

/// Whether the server aborted the transaction in favour of another (40001, 40P01).
pub(crate) fn is_collision(error: &DieselError) -> bool {
    match error {
        DieselError::DatabaseError(DatabaseErrorKind::SerializationFailure, _) => true,
        // Diesel has no variant for it. The text is Postgres's.
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
            // Diesel has no variants for these. The texts are Postgres's (57P01 and others).
            DatabaseErrorKind::Unknown | DatabaseErrorKind::ReadOnlyTransaction
                if AILING.iter().any(|text| info.message().contains(text)) =>
            {
                Self::Lost(source)
            }
            _ => Self::Query(source),
        }
    }
}
