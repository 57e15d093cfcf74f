//! The programs of a stack: each is one line here.

/// A service.
pub(crate) struct Service {
    /// As in `logs NAME`; also its scopes' prefix.
    pub(crate) name: &'static str,
    pub(crate) binary: &'static str,
    /// The role and schema in Postgres.
    pub(crate) role: &'static str,
    /// Where `target/stack/env` says how it is reached.
    pub(crate) url_variable: &'static str,
    /// What it is told beside what all are told.
    pub(crate) settings: &'static [(&'static str, &'static str)],
}

pub(crate) const SERVICES: &[Service] = &[
    Service {
        name: "allegro-backup",
        binary: "zaplecze-allegro-backup",
        role: "allegro_backup",
        url_variable: "ALLEGRO_BACKUP_URL",
        settings: &[
            ("ALLEGRO_CLIENT_ID", super::CLIENT_ID),
            ("ALLEGRO_CLIENT_SECRET", super::CLIENT_SECRET),
            // What takes minutes in production is to be seen in seconds here.
            ("ALLEGRO_BACKUP_EVENTS_INTERVAL_SECONDS", "1"),
            ("ALLEGRO_BACKUP_TASK_SILENCE_SECONDS", "2"),
        ],
    },
    Service {
        name: "webhook-dispatcher",
        binary: "zaplecze-webhook-dispatcher",
        role: "webhook_dispatcher",
        url_variable: "WEBHOOK_DISPATCHER_URL",
        settings: &[("WEBHOOK_ALLOWED_NETWORKS", "127.0.0.0/8"), ("WEBHOOK_ALLOW_HTTP", "true")],
    },
];
