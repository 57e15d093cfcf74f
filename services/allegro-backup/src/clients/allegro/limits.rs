//! Allegro's limit of requests a minute, for all replicas with one client id together.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use deadpool_redis::CreatePoolError;
use quota::{Bucket, Policy, REST, Shared, TIMEOUT, Verdict};
use secrecy::SecretString;

use super::AllegroError;
use super::pause::{Halt, Scope};
use super::route::{Group, Route};

/// Requests that may still be made at once, as far as this replica knows, by `limit`.
const HEADROOM: &str = "allegro_limit_headroom";

/// Requests a minute; 0 is no limit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Quotas {
    /// All together.
    pub(crate) all: u32,
    /// One order, the account, the journal's end.
    pub(crate) general: u32,
    /// Pages of the list.
    pub(crate) orders: u32,
    /// Pages of the journal.
    pub(crate) events: u32,
    /// The device flow.
    pub(crate) device: u32,
}

/// Admits requests. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Limits(Arc<Inner>);

struct Inner {
    shared: Shared,
    limits: Vec<Limit>,
}

struct Limit {
    /// None: all routes.
    group: Option<Group>,
    name: &'static str,
    key: String,
    policy: Policy,
    bucket: Bucket,
}

impl fmt::Debug for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.limits.iter().map(|limit| limit.name)).finish()
    }
}

impl Limits {
    /// The limits of one client id; nothing is opened yet.
    ///
    /// # Errors
    /// When Redis's URL is malformed.
    pub(crate) fn new(
        redis_url: &SecretString,
        client_id: &str,
        quotas: Quotas,
    ) -> Result<Self, CreatePoolError> {
        let Quotas { all, general, orders, events, device } = quotas;
        let wanted = [
            (Some(Group::General), "general", general),
            (Some(Group::Orders), "orders", orders),
            (Some(Group::Events), "events", events),
            (Some(Group::Device), "device", device),
            (None, "all", all),
        ];
        let limits = wanted.into_iter().filter_map(|(group, name, per_minute)| {
            let policy = Policy::strict(per_minute)?;
            let key = format!("{client_id}:{name}");
            Some(Limit { group, name, key, policy, bucket: Bucket::new(Instant::now()) })
        });
        let limits = limits.collect();
        let shared = Shared::new("allegro:limit:", redis_url, TIMEOUT, REST)?;
        Ok(Self(Arc::new(Inner { shared, limits })))
    }

    /// Waits for a place within every limit of the route, no longer than `patience`.
    ///
    /// # Errors
    /// [`AllegroError::Paused`] when it would take longer.
    pub(super) async fn admit(&self, route: Route, patience: Duration) -> Result<(), AllegroError> {
        let Inner { shared, limits } = &*self.0;
        let deadline = Instant::now() + patience;
        for limit in limits.iter().filter(|it| it.group.is_none() || it.group == route.group()) {
            loop {
                match quota::take(&limit.bucket, limit.policy, shared, &limit.key).await {
                    Verdict::Admitted { left } => {
                        metrics::gauge!(HEADROOM, "limit" => limit.name).set(left);
                        break;
                    }
                    Verdict::Refused { wait } if Instant::now() + wait <= deadline => {
                        metrics::gauge!(HEADROOM, "limit" => limit.name).set(0);
                        tokio::time::sleep(wait).await;
                    }
                    Verdict::Refused { wait } => {
                        return Err(AllegroError::Paused(Halt {
                            wait,
                            scope: Scope::Everyone,
                            is_alone: false,
                        }));
                    }
                }
            }
        }
        Ok(())
    }
}
