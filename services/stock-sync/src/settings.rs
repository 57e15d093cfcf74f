//! What the service is told about its work, as opposed to where things are.

use std::time::Duration;

use chassis::config::Reader;
use domain::{TimeZone, WarehouseName};

use crate::domain::retry::Retry;
use crate::domain::shortage::{AfterShipment, Shortage};

/// How stock is kept.
#[derive(Debug)]
pub(crate) struct Settings {
    /// Where sales are taken from unless an account says otherwise.
    pub(crate) default_warehouse: String,
    pub(crate) shortage: Shortage,
    /// Whether a person must confirm that units of a shipped order return when it is cancelled.
    pub(crate) asks_after_shipment: bool,
    /// How often allegro-backup is asked in vain before people must look.
    pub(crate) max_retries: i32,
    /// How long it is left alone between tries.
    pub(crate) retry: Retry,
    /// Orders allegro-backup is told of in one pass, at most.
    pub(crate) batch: usize,
    pub(crate) reconcile: Reconcile,
    pub(crate) watch: Watch,
    /// Whether a closed batch of production comes onto the shelf.
    pub(crate) receipt_on_batch_close: bool,
    /// Whose day "today" is.
    pub(crate) zone: TimeZone,
}

/// How the two sides are compared.
#[derive(Debug)]
pub(crate) struct Reconcile {
    pub(crate) every: Duration,
    /// Orders of one page.
    pub(crate) page: u16,
    /// From which age differences are put right without being asked.
    pub(crate) fix_after: Duration,
    /// Of a hundred orders, how many may differ before nothing is put right.
    pub(crate) fuse_percent: i64,
}

/// When people are told.
#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) every: Duration,
    /// More operations under way than this are too many.
    pub(crate) max_pending: i64,
    /// Operations older than this are stuck.
    pub(crate) stale_after: Duration,
    /// Whether each operation that is given up is told of.
    pub(crate) tell_failed: bool,
    /// Of a hundred tries, how many may fail.
    pub(crate) failure_percent: i64,
    /// Fewer tries than this say nothing.
    pub(crate) failure_tries: i64,
    /// The tries of so long are looked at.
    pub(crate) failure_window: Duration,
}

impl Settings {
    pub(crate) fn read(reader: &mut Reader) -> Self {
        Self {
            default_warehouse: reader.parsed(
                "STOCK_SYNC_DEFAULT_WAREHOUSE",
                "text",
                "Ирина".to_owned(),
                "The warehouse sales are taken from unless an account names another.",
                |text| WarehouseName::parse(text).map(String::from).map_err(|error| error.to_string()),
            ),
            shortage: reader.parsed(
                "STOCK_SYNC_SHORTAGE",
                "reject or allow_negative",
                Shortage::Reject,
                "What becomes of an order there is too little for: `reject` takes nothing of it, `allow_negative` lets \
                 the default warehouse go below zero.",
                Shortage::read,
            ),
            asks_after_shipment: reader.parsed(
                "STOCK_SYNC_RETURN_AFTER_SHIPMENT",
                "ask or return",
                AfterShipment::Ask,
                "What becomes of the units of an order that is cancelled after it was shipped: `ask` waits for a person to \
                 confirm their return, `return` returns them at once.",
                AfterShipment::read,
            ) == AfterShipment::Ask,
            max_retries: reader.number(
                "STOCK_SYNC_RETRY_MAX_ATTEMPTS",
                5,
                1..=100,
                "How often allegro-backup may fail to take an order's mark before people must look.",
            ),
            retry: retry(reader),
            batch: reader.number(
                "STOCK_SYNC_PROCESSING_BATCH_SIZE",
                50,
                1..=500,
                "Orders allegro-backup is told of at once, at most.",
            ),
            reconcile: Reconcile::read(reader),
            watch: Watch::read(reader),
            receipt_on_batch_close: reader.flag(
                "STOCK_SYNC_RECEIPT_ON_BATCH_CLOSE",
                false,
                "Whether what was packed of a production batch comes onto the shelf when the batch is closed.",
            ),
            zone: reader.time_zone("SHOP_TIMEZONE", "The zone whose day \"today\" is, and whose morning the summary comes."),
        }
    }
}

fn retry(reader: &mut Reader) -> Retry {
    let base = |text: &str| match text.parse::<f64>() {
        Ok(base) if (1.0..=10.0).contains(&base) => Ok(base),
        _ => Err("must be a number from 1 to 10".to_owned()),
    };
    Retry {
        initial: reader.seconds(
            "STOCK_SYNC_RETRY_INITIAL_DELAY",
            60,
            1..=86_400,
            "The delay after the first failure.",
        ),
        longest: reader.seconds(
            "STOCK_SYNC_RETRY_MAX_DELAY",
            3600,
            1..=604_800,
            "The longest delay between two tries.",
        ),
        base: reader.parsed(
            "STOCK_SYNC_RETRY_EXPONENTIAL_BASE",
            "number",
            2.0,
            "By how much each delay is longer than the one before.",
            base,
        ),
        jitter: reader.flag(
            "STOCK_SYNC_RETRY_JITTER",
            true,
            "Whether delays are spread over their second half, so that not all come back at once.",
        ),
    }
}

impl Reconcile {
    fn read(reader: &mut Reader) -> Self {
        Self {
            every: minutes(reader.number(
                "STOCK_SYNC_RECONCILIATION_INTERVAL_MINUTES",
                30,
                1..=1440,
                "How often the stock is compared with allegro-backup's orders.",
            )),
            page: reader.number(
                "STOCK_SYNC_RECONCILIATION_BATCH_SIZE",
                100,
                1..=200,
                "Orders asked for at once while comparing.",
            ),
            fix_after: Duration::from_hours(reader.number(
                "STOCK_SYNC_RECONCILIATION_AUTO_FIX_THRESHOLD_HOURS",
                24,
                0..=8760,
                "Differences that were seen so long ago are put right without being asked, where that is safe.",
            )),
            fuse_percent: reader.number(
                "STOCK_SYNC_RECONCILIATION_FUSE_PERCENT",
                10,
                1..=100,
                "When more than so many of a hundred orders differ, something larger is wrong: nothing is put right.",
            ),
        }
    }
}

impl Watch {
    fn read(reader: &mut Reader) -> Self {
        Self {
            every: minutes(reader.number(
                "STOCK_SYNC_MONITORING_INTERVAL_MINUTES",
                30,
                1..=1440,
                "How often what is under way is looked over.",
            )),
            max_pending: reader.number(
                "STOCK_SYNC_MONITORING_MAX_PENDING_OPERATIONS",
                1000,
                1..=1_000_000,
                "More operations under way than this are told of.",
            ),
            stale_after: Duration::from_hours(reader.number(
                "STOCK_SYNC_MONITORING_STALE_OPERATION_HOURS",
                6,
                1..=8760,
                "Operations under way for longer are told of.",
            )),
            tell_failed: reader.flag(
                "STOCK_SYNC_MONITORING_ALERT_ON_FAILED_RETRIES",
                true,
                "Whether each order whose operations are given up is told of.",
            ),
            failure_percent: reader.number(
                "STOCK_SYNC_MONITORING_FAILURE_RATE_PERCENT",
                20,
                1..=100,
                "When more than so many of a hundred tries at allegro-backup fail, it is told of.",
            ),
            failure_tries: reader.number(
                "STOCK_SYNC_MONITORING_FAILURE_RATE_MIN_TRIES",
                20,
                1..=1_000_000,
                "Fewer tries than this say nothing about the rate.",
            ),
            failure_window: minutes(reader.number(
                "STOCK_SYNC_MONITORING_FAILURE_RATE_WINDOW_MINUTES",
                30,
                1..=1440,
                "The tries of so many minutes are looked at.",
            )),
        }
    }
}

const fn minutes(number: u64) -> Duration {
    Duration::from_mins(number)
}
