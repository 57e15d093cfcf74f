//! Restoring an export, into an empty database or a living one.
//!
//! Invariants: an order that is there never goes back (the rule of [`decide`] holds for files too); its flags are left
//! alone, because the file cannot know what was done since; a batch is one transaction, so that a process that dies can
//! be run again, and what was restored before is found to be there. Nothing is told: whoever listens was told of these
//! orders by the service that exported them (docs/adr/0053).

use std::collections::HashMap;

use domain::{IdSource, OrderId, TokenId, UserId};
use pg::sealed::Keyring;
use uuid::Uuid;

use crate::domain::archive::{AccountLine, FORMAT, OrderLine, QuarantinedLine, VersionLine};
use crate::domain::order::Order;
use crate::domain::readiness;
use crate::domain::replace::{Decision, decide};
use crate::store::order_import::{self, Earlier};
use crate::store::orders::{self, Content};
use crate::store::quarantine;
use crate::store::tokens::TokenStoreError;

/// How contents came that a file brought to an order that is there; of others it says itself.
const SOURCE: &str = "import";
/// Where another writer inserted the same orders meanwhile, they are looked at once more, so often at most.
const ROUNDS: usize = 3;

/// What became of a file's orders.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Were not there.
    pub(crate) added: usize,
    /// Were there with an older content.
    pub(crate) updated: usize,
    /// Were there so.
    pub(crate) unchanged: usize,
    /// Were there with a newer content.
    pub(crate) late: usize,
    /// Earlier contents that were not there.
    pub(crate) versions: usize,
}

impl Counts {
    /// Adds others.
    pub(crate) fn add(&mut self, other: Self) {
        self.added += other.added;
        self.updated += other.updated;
        self.unchanged += other.unchanged;
        self.late += other.late;
        self.versions += other.versions;
    }
}

/// An order of a file, read.
#[derive(Debug)]
pub(crate) struct Restored {
    line: OrderLine,
    order: Order,
    versions: Vec<(Vec<u8>, VersionLine)>,
}

/// Reads an order's line, or says what is wrong with it.
///
/// # Errors
/// What is wrong.
pub(crate) fn read(line: OrderLine) -> Result<Restored, String> {
    let mut order = Order::read(line.order_data.get()).map_err(|error| error.to_string())?;
    if order.id.as_str() != line.allegro_order_id {
        return Err(format!("is of order {}, its content of {}", line.allegro_order_id, order.id.as_str()));
    }
    if line.version < 1 || line.is_stock_updated != line.stock_updated_at.is_some() {
        return Err("version, is_stock_updated and stock_updated_at do not go together".to_owned());
    }
    if line.invoice_id.is_some() && !line.has_invoice_created {
        return Err("has an invoice's id and no invoice".to_owned());
    }
    // The stored document writes numbers its own way: the hash of what Allegro answered is not made of it.
    order.content_hash = hash(&line.content_hash)?;
    let versions: Vec<VersionLine> =
        serde_json::from_str(line.versions.get()).map_err(|error| format!("versions: {error}"))?;
    let versions = versions
        .into_iter()
        .map(|version| {
            Order::read(version.order_data.get()).map_err(|error| format!("a version: {error}"))?;
            Ok((hash(&version.content_hash)?.to_vec(), version))
        })
        .collect::<Result<Vec<_>, String>>()?;
    Ok(Restored { line, order, versions })
}

fn hash(hex: &str) -> Result<[u8; 32], String> {
    let mut hash = [0; 32];
    hex::decode_to_slice(hex, &mut hash).map_err(|error| format!("content_hash: {error}"))?;
    Ok(hash)
}

/// Finds or makes the account a file speaks of, and returns our id of it, or says why its orders cannot be restored.
///
/// # Errors
/// The database's or the keys'.
pub(crate) async fn account(
    pool: &pg::Pool,
    keyring: &Keyring,
    line: &AccountLine,
) -> Result<Result<TokenId, String>, TokenStoreError> {
    if line.format != FORMAT {
        return Ok(Err(format!("format {} is not known here", line.format)));
    }
    let user_id = match UserId::parse(&line.user_id) {
        Ok(user_id) => String::from(user_id),
        Err(error) => return Ok(Err(format!("user_id {error}"))),
    };
    let line = AccountLine { user_id, ..line.clone() };
    let found = pool.transaction(async |conn| order_import::account(conn, keyring, &line).await).await?;
    Ok(found.ok_or_else(|| format!("{} is another account's id here", line.id)))
}

/// Quarantines an order of a file; false when it is stored or quarantined here.
///
/// # Errors
/// The database's.
pub(crate) async fn quarantine(
    pool: &pg::Pool,
    token_id: TokenId,
    line: &QuarantinedLine,
) -> Result<bool, pg::Error> {
    pool.transaction(async |conn| quarantine::restore(conn, token_id, line).await).await
}

/// Restores orders of an account in one transaction; their ids differ.
///
/// # Errors
/// The database's.
pub(crate) async fn restore(
    pool: &pg::Pool,
    source: &dyn IdSource,
    token_id: TokenId,
    batch: &[Restored],
) -> Result<Counts, pg::Error> {
    pool.transaction(async |conn| {
        let mut counts = Counts::default();
        let mut waiting: Waiting<'_> =
            batch.iter().map(|restored| (restored.order.id.as_str(), restored)).collect();
        for _ in 0..ROUNDS {
            merge(conn, token_id, &mut waiting, &mut counts).await?;
            insert(conn, source, token_id, &mut waiting, &mut counts).await?;
            if waiting.is_empty() {
                return Ok(counts);
            }
        }
        Err(pg::Error::contended())
    })
    .await
}

type Waiting<'a> = HashMap<&'a str, &'a Restored>;

/// Orders that are there: what is newer replaces, what is older is kept as a version.
async fn merge(
    conn: &mut pg::Connection,
    token_id: TokenId,
    waiting: &mut Waiting<'_>,
    counts: &mut Counts,
) -> Result<(), pg::Error> {
    let mut ids: Vec<&str> = waiting.keys().copied().collect();
    ids.sort_unstable();
    let (mut replaced, mut late, mut there) = (Vec::new(), Vec::new(), Vec::new());
    for existing in orders::lock(conn, token_id, &ids).await? {
        let Some(restored) = waiting.remove(existing.allegro_order_id.as_str()) else { continue };
        there.push((existing.id.as_uuid(), restored));
        match decide(&existing.stored, &restored.order, restored.line.seen_at) {
            Decision::Unchanged => counts.unchanged += 1,
            Decision::Late | Decision::Older { .. } => {
                counts.late += 1;
                late.push(Earlier {
                    order_id: existing.id.as_uuid(),
                    version: None,
                    is_fresh: false,
                    revision: restored.order.form.revision.as_deref(),
                    seen_at: restored.line.seen_at,
                    source: SOURCE,
                    content_hash: &restored.order.content_hash,
                    order_data: restored.line.order_data.get(),
                });
            }
            Decision::Replace { loses_data } => {
                counts.updated += 1;
                let mut content = content(existing.id, restored);
                content.lost_data |= loses_data;
                content.ready_at = existing.ready_at.or(content.ready_at);
                content.was_shipped |= existing.was_shipped;
                replaced.push(content);
            }
        }
    }
    orders::replace(conn, token_id, &replaced, SOURCE).await?;
    orders::write_lines(conn, &replaced).await?;
    let mut earlier = earlier(&there, false);
    earlier.extend(late);
    counts.versions += order_import::keep(conn, &earlier).await?;
    Ok(())
}

/// Orders that are not there.
async fn insert(
    conn: &mut pg::Connection,
    source: &dyn IdSource,
    token_id: TokenId,
    waiting: &mut Waiting<'_>,
    counts: &mut Counts,
) -> Result<(), pg::Error> {
    let ids: Vec<Uuid> = waiting.values().map(|restored| restored.line.id).collect();
    // An id that is taken is another order's: of the same file restored for another user, say.
    let taken = order_import::taken(conn, &ids).await?;
    let id = |line: &OrderLine| if taken.contains(&line.id) { source.next_id() } else { line.id };
    let mut fresh: Vec<Content<'_>> =
        waiting.values().copied().map(|restored| content(id(&restored.line).into(), restored)).collect();
    let inserted = orders::insert(conn, token_id, &fresh, (SOURCE, false)).await?;
    fresh.retain(|content| inserted.iter().any(|row| row.allegro_order_id == content.order.id.as_str()));
    orders::write_lines(conn, &fresh).await?;
    let there: Vec<(Uuid, &Restored)> = fresh
        .iter()
        .filter_map(|content| Some((content.id.as_uuid(), waiting.remove(content.order.id.as_str())?)))
        .collect();
    let lines: Vec<(Uuid, &OrderLine)> = there.iter().map(|(id, restored)| (*id, &restored.line)).collect();
    order_import::complete(conn, &lines).await?;
    counts.added += there.len();
    order_import::keep(conn, &earlier(&there, true)).await?;
    Ok(())
}

/// The contents before the current ones.
fn earlier<'a>(there: &[(Uuid, &'a Restored)], is_fresh: bool) -> Vec<Earlier<'a>> {
    let of_each =
        there.iter().flat_map(|(id, restored)| restored.versions.iter().map(|version| (*id, version)));
    let earlier = of_each.map(|(order_id, (content_hash, line))| Earlier {
        order_id,
        version: line.version.filter(|_| is_fresh),
        is_fresh,
        revision: line.revision.as_deref(),
        seen_at: line.seen_at,
        source: &line.source,
        content_hash,
        order_data: line.order_data.get(),
    });
    earlier.collect()
}

/// The current content of a file's order. What the file says was told is told; what is ready or cancelled is never told
/// again because of a file.
fn content(id: OrderId, restored: &Restored) -> Content<'_> {
    Content {
        id,
        order: &restored.order,
        asked_at: restored.line.seen_at,
        lost_data: restored.line.lost_data,
        ready_announced: restored.order.form.is_ready(),
        cancel_announced: !restored.order.form.is_ready()
            && (restored.order.form.is_cancelled() || restored.line.cancel_announced),
        ready_at: readiness::ready_at(&restored.order, None, None, restored.line.seen_at),
        was_shipped: restored.order.form.is_shipped(),
    }
}

impl Restored {
    /// Allegro's id of it.
    pub(crate) fn order_id(&self) -> &str {
        self.order.id.as_str()
    }
}
