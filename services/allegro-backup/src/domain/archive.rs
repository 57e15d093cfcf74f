//! The lines of an NDJSON export: a line for each account, followed by a line for each of its orders and each of its quarantined
//! orders, and a trailer at the end.
//!
//! Documented for operators in docs/guides/export-and-restore.md. Invariant: what is written can be read back without loss, and written
//! again from there it is the same, byte for byte.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use time::{Date, OffsetDateTime};
use uuid::Uuid;

/// The format written, and the only one read.
pub(crate) const FORMAT: u8 = 1;

/// A line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Line {
    /// An account; the orders after it are its.
    Account(AccountLine),
    /// An order.
    Order(Box<OrderLine>),
    /// A quarantined order.
    Quarantined(Box<QuarantinedLine>),
    /// The end.
    Trailer(Trailer),
}

/// The last line. A file without it, or with other lines than it counts, is incomplete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Trailer {
    /// Lines of orders before it.
    pub(crate) orders: u64,
    /// The SHA-256 of the lines before it, each with its line feed, in hex.
    pub(crate) sha256: String,
}

/// The counts for the trailer, of the lines so far.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    orders: u64,
    hash: Sha256,
}

impl Tally {
    /// Adds a line, without its line feed.
    pub(crate) fn add(&mut self, line: &[u8], is_order: bool) {
        self.orders += u64::from(is_order);
        self.hash.update(line);
        self.hash.update(b"\n");
    }

    /// The trailer of these lines.
    pub(crate) fn trailer(self) -> Trailer {
        Trailer { orders: self.orders, sha256: hex::encode(self.hash.finalize()) }
    }
}

/// The format of a file that does not begin as an NDJSON export; `None` for an NDJSON export.
pub(crate) fn foreign_format(first_line: &[u8]) -> Option<String> {
    const KINDS: [(&[u8], &str); 6] = [
        (b"token_id,", "a table (CSV), which holds too little to restore; use `export --format ndjson`"),
        (b"\x1f\x8b", "compressed with gzip; decompress it first"),
        (b"\x28\xb5\x2f\xfd", "compressed with zstd; decompress it first"),
        (b"\xff\xfe", "UTF-16 text; convert it to UTF-8"),
        (b"\xfe\xff", "UTF-16 text; convert it to UTF-8"),
        (b"[", "a JSON array; an export has one JSON object on each line"),
    ];
    if first_line.starts_with(b"{") {
        return None;
    }
    let known = KINDS.iter().find(|(beginning, _)| first_line.starts_with(beginning));
    Some(known.map_or_else(
        || {
            let beginning: String = String::from_utf8_lossy(first_line).chars().take(40).collect();
            format!("no export: its first line begins with {beginning:?}, not with a JSON object")
        },
        |(_, kind)| (*kind).to_owned(),
    ))
}

/// An account, without its tokens: they never leave the database.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AccountLine {
    /// [`FORMAT`].
    pub(crate) format: u8,
    /// Our id of it.
    pub(crate) id: Uuid,
    /// Its user.
    pub(crate) user_id: String,
    /// How the user calls it.
    pub(crate) account_name: Option<String>,
    /// Allegro's id of the seller.
    pub(crate) allegro_seller_id: String,
    /// The seller's login.
    pub(crate) allegro_login: String,
    /// When it was connected first.
    #[serde(with = "domain::instant")]
    pub(crate) connected_at: OffsetDateTime,
    /// False once its user has removed it.
    pub(crate) is_active: bool,
}

/// An order with everything known of it.
#[derive(Debug, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each says something of its own, as the columns do")]
#[serde(deny_unknown_fields)]
pub(crate) struct OrderLine {
    /// Our id of it.
    pub(crate) id: Uuid,
    /// Its account.
    pub(crate) token_id: Uuid,
    /// Allegro's id.
    pub(crate) allegro_order_id: String,
    /// The current content's number.
    pub(crate) version: i64,
    /// When the request that brought the current content was started.
    #[serde(with = "domain::instant")]
    pub(crate) seen_at: OffsetDateTime,
    /// How it came.
    pub(crate) source: String,
    /// Some content said less than the one before.
    pub(crate) lost_data: bool,
    /// `order.ready` was told.
    pub(crate) ready_announced: bool,
    /// `order.cancelled` was told.
    pub(crate) cancel_announced: bool,
    /// Merged or vanished.
    pub(crate) is_deleted: bool,
    /// Into which order.
    pub(crate) merged_into: Option<String>,
    /// Its pieces have left the stock.
    pub(crate) is_stock_updated: bool,
    /// Since when.
    #[serde(with = "domain::instant::option")]
    pub(crate) stock_updated_at: Option<OffsetDateTime>,
    /// An invoice was made.
    pub(crate) has_invoice_created: bool,
    /// Which.
    pub(crate) invoice_id: Option<String>,
    /// When it was first stored.
    #[serde(with = "domain::instant")]
    pub(crate) created_at: OffsetDateTime,
    /// When it last changed.
    #[serde(with = "domain::instant")]
    pub(crate) updated_at: OffsetDateTime,
    /// The current content's hash, in hex: of the answer as it came, whose numbers may have been written otherwise.
    pub(crate) content_hash: String,
    /// The current content.
    pub(crate) order_data: Box<RawValue>,
    /// The contents before: a list of [`VersionLine`].
    pub(crate) versions: Box<RawValue>,
}

/// A quarantined order: it could not be stored.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct QuarantinedLine {
    /// Its account.
    pub(crate) token_id: Uuid,
    /// Allegro's id, or a name made of the document's hash.
    pub(crate) order_id: String,
    /// A stable word for the reason.
    pub(crate) class: String,
    /// The reason.
    pub(crate) reason: String,
    /// Failed attempts.
    pub(crate) attempts: i32,
    /// The day (UTC) of its purchase, as far as it is known.
    #[serde(with = "day")]
    pub(crate) day: Option<Date>,
    /// A list contained it.
    pub(crate) in_list: bool,
    /// When it failed first.
    #[serde(with = "domain::instant")]
    pub(crate) first_failed_at: OffsetDateTime,
    /// The document as Allegro sent it, if it sent one.
    pub(crate) document: Option<String>,
}

mod day {
    time::serde::format_description!(format, Date, "[year]-[month]-[day]");
    pub(super) use format::option::{deserialize, serialize};
}

/// A content of an order that was replaced, or came too late.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct VersionLine {
    /// Its number; none for one that came too late.
    pub(crate) version: Option<i64>,
    /// Allegro's version mark.
    pub(crate) revision: Option<String>,
    /// When the request that brought it was started.
    #[serde(with = "domain::instant")]
    pub(crate) seen_at: OffsetDateTime,
    /// How it came.
    pub(crate) source: String,
    /// Its hash, in hex.
    pub(crate) content_hash: String,
    /// The content.
    pub(crate) order_data: Box<RawValue>,
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::{Line, Tally, foreign_format};

    #[test]
    fn a_trailer_counts_orders_and_hashes_all_lines() {
        let trailer = Tally::default().trailer();
        assert_eq!(
            serde_json::to_string(&Line::Trailer(trailer)).unwrap(),
            "{\"trailer\":{\"orders\":0,\
             \"sha256\":\"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\"}}"
        );
        let mut tally = Tally::default();
        tally.add(b"abc", false);
        tally.add(b"def", true);
        let trailer = tally.trailer();
        assert_eq!(trailer.orders, 1);
        // printf 'abc\ndef\n' | sha256sum
        assert_eq!(trailer.sha256, "924d391c158a46409fdff363063d718ea0bc00b14556f129984942af91233bbe");
    }

    #[test]
    fn a_foreign_file_is_named() {
        for (first_line, expected) in [
            (b"{\"account\":{}}".as_slice(), None),
            (b"token_id,allegro_order_id,order_date".as_slice(), Some("a table (CSV)")),
            (b"\x1f\x8b\x08\x00".as_slice(), Some("gzip")),
            (b"\x28\xb5\x2f\xfd\x04".as_slice(), Some("zstd")),
            (b"\xff\xfe{\x00".as_slice(), Some("UTF-16")),
            (b"[{\"order\":1}]".as_slice(), Some("a JSON array")),
            (b"<html>".as_slice(), Some("begins with \"<html>\"")),
        ] {
            let found = foreign_format(first_line);
            assert_eq!(found.is_some(), expected.is_some(), "{found:?}");
            assert!(found.unwrap_or_default().contains(expected.unwrap_or_default()), "{expected:?}");
        }
    }
}
