//! How often what is read, and how long what is kept.

use std::time::Duration;

use chassis::config::Reader;

const DAY: u64 = 86_400;

/// Settings of the sync.
#[derive(Debug, Clone)]
pub(crate) struct SyncSettings {
    events_interval: Duration,
    /// Between two sweeps of an account's open orders.
    pub(crate) sweep_interval: Duration,
    /// Between two readings of the last days of an account's list.
    pub(crate) full_sync_interval: Duration,
    /// Between two searches for orders whose quarantine has ended.
    pub(crate) retry_interval: Duration,
    /// Between two cleanups of the sync history.
    pub(crate) cleanup_history_interval: Duration,
    /// Between two cleanups of the journal.
    pub(crate) cleanup_events_interval: Duration,
    /// Events read again each time.
    pub(crate) events_overlap: u32,
    /// Days of the list that are read again.
    pub(crate) full_sync_days: u32,
    /// Open orders read again in one sweep, at most.
    pub(crate) sweep_orders: u32,
    /// Days readings are kept.
    pub(crate) history_days: u32,
    /// Days events are kept.
    pub(crate) events_days: u32,
}

impl SyncSettings {
    /// Reads the settings; mistakes are kept by the reader.
    pub(crate) fn read(reader: &mut Reader) -> Self {
        Self {
            events_interval: reader.seconds(
                "ALLEGRO_BACKUP_EVENTS_INTERVAL_SECONDS",
                180,
                1..=DAY,
                "How often each account's journal is read, unless its owner chose.",
            ),
            sweep_interval: reader.seconds(
                "ALLEGRO_BACKUP_SWEEP_INTERVAL_SECONDS",
                600,
                1..=7 * DAY,
                "How often each account's open orders of the last 3 days are read again; older ones once an hour.",
            ),
            full_sync_interval: reader.seconds(
                "ALLEGRO_BACKUP_FULL_SYNC_INTERVAL_SECONDS",
                6 * 3_600,
                1..=30 * DAY,
                "How often the last days of each account's list are read again.",
            ),
            retry_interval: reader.seconds(
                "ALLEGRO_BACKUP_RETRY_INTERVAL_SECONDS",
                60,
                1..=DAY,
                "How often orders in quarantine are looked for whose time has come.",
            ),
            cleanup_history_interval: reader.seconds(
                "ALLEGRO_BACKUP_CLEANUP_HISTORY_INTERVAL_SECONDS",
                DAY,
                1..=30 * DAY,
                "How often old readings are forgotten.",
            ),
            cleanup_events_interval: reader.seconds(
                "ALLEGRO_BACKUP_CLEANUP_EVENTS_INTERVAL_SECONDS",
                7 * DAY,
                1..=30 * DAY,
                "How often old events are forgotten.",
            ),
            events_overlap: reader.number(
                "ALLEGRO_BACKUP_EVENTS_OVERLAP",
                50,
                0..=900,
                "Events read again each time: some appear late, before others.",
            ),
            full_sync_days: reader.number(
                "ALLEGRO_BACKUP_FULL_SYNC_DAYS",
                30,
                1..=365,
                "Days of the list that are read again.",
            ),
            sweep_orders: reader.number(
                "ALLEGRO_BACKUP_SWEEP_ORDERS",
                2_000,
                1..=100_000,
                "Open orders read again in one sweep, at most; those that wait longest come first.",
            ),
            history_days: reader.number(
                "ALLEGRO_BACKUP_HISTORY_DAYS",
                90,
                1..=3_650,
                "Days ended readings are kept.",
            ),
            events_days: reader.number(
                "ALLEGRO_BACKUP_EVENTS_DAYS",
                180,
                60..=3_650,
                "Days events are kept; Allegro keeps them 60 days.",
            ),
        }
    }

    /// Between two readings of an account's journal; `chosen` is its owner's choice in seconds.
    pub(crate) fn events_interval(&self, chosen: Option<i32>) -> Duration {
        chosen.map_or(self.events_interval, |seconds| Duration::from_secs(seconds.unsigned_abs().into()))
    }
}
