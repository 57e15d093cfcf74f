//! The programs of a stack, each one entry.

/// The OAuth client of allegro-backup at the sandbox.
pub(crate) const CLIENT_ID: &str = "zaplecze-demo";
pub(crate) const CLIENT_SECRET: &str = "zaplecze-demo-secret";
/// API key of stock-sync at allegro-backup. A stack listens on the loopback address only.
const STOCK_SYNC_KEY: &str = "zk_stock-sync_only-of-a-stack-on-one-machine";
/// The same key as a setting of allegro-backup.
const STOCK_SYNC_KEY_HASH: &str = "stock-sync:85075d8f90e886763792674a3aefd6569cc2dc25a507581a8e8c5d19de81445d\
    :allegro-backup:read allegro-backup:write service";

/// A service.
pub struct Service {
    /// Its name in `logs NAME`, and the prefix of its scopes.
    pub name: &'static str,
    /// The name of its program.
    pub binary: &'static str,
    /// The role and schema in Postgres.
    pub role: &'static str,
    /// The variable of its address in `target/stack/env`.
    pub url_variable: &'static str,
    /// Its settings in addition to those of every service.
    pub settings: &'static [(&'static str, &'static str)],
}

/// The services of a stack, in the order in which they start.
pub const SERVICES: &[Service] = &[
    Service {
        name: "allegro-backup",
        binary: "zaplecze-allegro-backup",
        role: "allegro_backup",
        url_variable: "ALLEGRO_BACKUP_URL",
        settings: &[
            ("ALLEGRO_CLIENT_ID", CLIENT_ID),
            ("ALLEGRO_CLIENT_SECRET", CLIENT_SECRET),
            // Shorter intervals than in production, so that effects are visible in seconds.
            ("ALLEGRO_BACKUP_EVENTS_INTERVAL_SECONDS", "1"),
            ("ALLEGRO_BACKUP_TASK_SILENCE_SECONDS", "2"),
            ("AUTH_API_KEYS", STOCK_SYNC_KEY_HASH),
        ],
    },
    Service {
        name: "webhook-dispatcher",
        binary: "zaplecze-webhook-dispatcher",
        role: "webhook_dispatcher",
        url_variable: "WEBHOOK_DISPATCHER_URL",
        settings: &[("WEBHOOK_ALLOWED_NETWORKS", "127.0.0.0/8"), ("WEBHOOK_ALLOW_HTTP", "true")],
    },
    Service {
        name: "stock-sync",
        binary: "zaplecze-stock-sync",
        role: "stock_sync",
        url_variable: "STOCK_SYNC_URL",
        settings: &[("ALLEGRO_BACKUP_API_KEY", STOCK_SYNC_KEY)],
    },
];
