//! The programs of a stack: each is one line here.

/// The application as which allegro-backup calls the sandbox.
pub(crate) const CLIENT_ID: &str = "zaplecze-demo";
pub(crate) const CLIENT_SECRET: &str = "zaplecze-demo-secret";
/// How stock-sync is known to allegro-backup: a stack listens on the loopback address only.
const STOCK_SYNC_KEY: &str = "zk_stock-sync_only-of-a-stack-on-one-machine";
/// The same, as allegro-backup is told of it.
const STOCK_SYNC_KEY_HASH: &str = "stock-sync:85075d8f90e886763792674a3aefd6569cc2dc25a507581a8e8c5d19de81445d\
    :allegro-backup:read allegro-backup:write service";

/// A service.
pub struct Service {
    /// As in `logs NAME`; also its scopes' prefix.
    pub name: &'static str,
    /// The name of its program.
    pub binary: &'static str,
    /// The role and schema in Postgres.
    pub role: &'static str,
    /// Where `target/stack/env` says how it is reached.
    pub url_variable: &'static str,
    /// What it is told beside what all are told.
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
            // What takes minutes in production is to be seen in seconds here.
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
