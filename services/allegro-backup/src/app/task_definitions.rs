//! The tasks that use cases enqueue. The files of `src/tasks` say how each of them runs. Tasks of one account share a queue
//! and run one at a time.

use domain::{AuthorizationId, TaskId, TokenId};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tasks::{NewTask, Task};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::upsert::OnDuplicate;

/// Attempts of a task that talks to Allegro: it may meet trouble this often before it counts as failed.
pub(crate) const ATTEMPTS: i32 = 100;

/// The account and its user.
pub(crate) type Whose<'a> = (TokenId, &'a str);

/// The queue of an account.
pub(crate) fn queue(token_id: TokenId) -> String {
    format!("sync_{token_id}")
}

/// Any task of an account, in the account's queue.
fn of_account<T: Task>(task: &T, (token_id, user_id): Whose<'_>) -> NewTask {
    NewTask {
        max_attempts: ATTEMPTS,
        user_id: Some(user_id.to_owned()),
        ..NewTask::new(task, queue(token_id))
    }
}

/// Polls one device flow.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PollAuthorization {
    pub(crate) authorization_id: AuthorizationId,
}

impl PollAuthorization {
    /// Polls from `run_at` on.
    pub(crate) fn of(
        (authorization_id, user_id): (AuthorizationId, &str),
        run_at: OffsetDateTime,
        requested_by: Option<String>,
        correlation_id: Option<&str>,
    ) -> NewTask {
        NewTask {
            run_at: Some(run_at),
            unique_key: Some(format!("{}:{authorization_id}", Self::KIND)),
            max_attempts: ATTEMPTS,
            requested_by,
            user_id: Some(user_id.to_owned()),
            correlation_id: correlation_id.map(str::to_owned),
            ..NewTask::new(&Self { authorization_id }, format!("authorization_{authorization_id}"))
        }
    }
}

/// Reads an account's list: all of it the first time, its last days later.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct FullSync {
    pub(crate) token_id: TokenId,
    /// All of it, as after connecting the account.
    #[serde(default)]
    pub(crate) whole: bool,
}

impl FullSync {
    /// Reads all of the list, as after connecting the account.
    pub(crate) fn whole(
        whose: Whose<'_>,
        requested_by: Option<String>,
        correlation_id: Option<&str>,
    ) -> NewTask {
        NewTask {
            unique_key: Some(format!("{}:{}", Self::KIND, whose.0)),
            requested_by,
            correlation_id: correlation_id.map(str::to_owned),
            ..of_account(&Self { token_id: whose.0, whole: true }, whose)
        }
    }
}

/// Reads the part of an account's list that a person requested.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct UserSync {
    pub(crate) token_id: TokenId,
    #[serde(default, with = "domain::instant::option")]
    pub(crate) from: Option<OffsetDateTime>,
    #[serde(default, with = "domain::instant::option")]
    pub(crate) to: Option<OffsetDateTime>,
    #[serde(default)]
    pub(crate) on_duplicate: OnDuplicate,
}

impl UserSync {
    /// Reads what was bought from `from` until `to`. Two requests for the same are one task.
    pub(crate) fn of(
        whose: Whose<'_>,
        (from, to): (Option<OffsetDateTime>, Option<OffsetDateTime>),
        on_duplicate: OnDuplicate,
    ) -> NewTask {
        let written = |at: Option<OffsetDateTime>| at.and_then(|at| at.format(&Rfc3339).ok());
        let wanted = json!({ "from": written(from), "to": written(to), "on_duplicate": on_duplicate });
        NewTask {
            unique_key: Some(format!("{}:{}:{wanted}", Self::KIND, whose.0)),
            ..of_account(&Self { token_id: whose.0, from, to, on_duplicate }, whose)
        }
    }
}

/// Reads an account's whole list again, and what the journal still holds.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct FullResync {
    pub(crate) token_id: TokenId,
}

impl FullResync {
    pub(crate) fn of(whose: Whose<'_>) -> NewTask {
        NewTask {
            unique_key: Some(format!("{}:{}", Self::KIND, whose.0)),
            ..of_account(&Self { token_id: whose.0 }, whose)
        }
    }
}

/// Follows an account's journal from its cursor.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SyncOrderEvents {
    pub(crate) token_id: TokenId,
}

/// Reads an account's open orders again, which may have changed without an event.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SweepOpenOrders {
    pub(crate) token_id: TokenId,
}

/// Reads an account's journal once.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ProcessEvents {
    pub(crate) token_id: TokenId,
    /// Only what follows this event; everything when absent.
    pub(crate) event_id: Option<String>,
    /// Whether orders of known events are read too.
    pub(crate) again: bool,
}

impl ProcessEvents {
    pub(crate) fn of(whose: Whose<'_>, event_id: Option<String>, again: bool) -> NewTask {
        of_account(&Self { token_id: whose.0, event_id, again }, whose)
    }
}

/// Has the journals of a user's accounts read.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ManualEvents {
    pub(crate) token_ids: Vec<TokenId>,
    #[serde(default, with = "domain::instant::option")]
    pub(crate) from_date: Option<OffsetDateTime>,
}

impl ManualEvents {
    /// Reads from the cursors on, or from the last event before `from_date`.
    pub(crate) fn of(
        user_id: &str,
        token_ids: Vec<TokenId>,
        from_date: Option<OffsetDateTime>,
        task_id: TaskId,
    ) -> NewTask {
        NewTask {
            user_id: Some(user_id.to_owned()),
            ..NewTask::new(&Self { token_ids, from_date }, format!("{}_{task_id}", Self::KIND))
        }
    }
}

/// Reads orders again that an event showed to have changed.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct UpdateOrders {
    pub(crate) token_id: TokenId,
    #[serde(default)]
    pub(crate) order_ids: Vec<String>,
}

impl UpdateOrders {
    pub(crate) fn of(whose: Whose<'_>, order_ids: Vec<String>) -> NewTask {
        of_account(&Self { token_id: whose.0, order_ids }, whose)
    }
}

/// Reads orders that are missing, that a person requested, or whose quarantine has ended.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct MissingOrders {
    pub(crate) token_id: TokenId,
    #[serde(default)]
    pub(crate) order_ids: Vec<String>,
    /// Those of the quarantine whose time has come, instead of `order_ids`.
    #[serde(default)]
    pub(crate) are_due: bool,
    /// Whether a person requested them.
    #[serde(default)]
    pub(crate) by_hand: bool,
}

impl MissingOrders {
    /// Reads orders that are missing.
    pub(crate) fn of(whose: Whose<'_>, order_ids: Vec<String>) -> NewTask {
        let task = Self { token_id: whose.0, order_ids, are_due: false, by_hand: false };
        of_account(&task, whose)
    }

    /// Reads an order that a person requested. Two requests for one order are one task.
    pub(crate) fn requested(whose: Whose<'_>, order_id: &str) -> NewTask {
        let order_ids = vec![order_id.to_owned()];
        let task = Self { token_id: whose.0, order_ids, are_due: false, by_hand: true };
        NewTask {
            unique_key: Some(format!("{}:{}:{order_id}", Self::KIND, whose.0)),
            ..of_account(&task, whose)
        }
    }

    /// Reads the orders of the quarantine whose time has come.
    pub(crate) fn due(whose: Whose<'_>) -> NewTask {
        let task = Self { token_id: whose.0, order_ids: Vec::new(), are_due: true, by_hand: false };
        NewTask {
            unique_key: Some(format!("{}:{}", RetryFailedOrders::KIND, whose.0)),
            ..of_account(&task, whose)
        }
    }
}

/// Reads orders again that an event named a while ago: an answer right after an event can be stale.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RereadOrders {
    pub(crate) token_id: TokenId,
}

impl RereadOrders {
    /// In a queue of its own, so that it does not delay the account's events.
    pub(crate) fn of((token_id, user_id): Whose<'_>) -> NewTask {
        NewTask {
            unique_key: Some(format!("{}:{token_id}", Self::KIND)),
            max_attempts: ATTEMPTS,
            user_id: Some(user_id.to_owned()),
            ..NewTask::new(&Self { token_id }, format!("reread_{token_id}"))
        }
    }
}

/// Enqueues [`RereadOrders`] for each account with orders to be read again, and [`MissingOrders::due`] for each account with orders in quarantine whose time has come.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RetryFailedOrders {}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use serde_json::json;

    use super::{FullSync, ManualEvents, MissingOrders, ProcessEvents, UpdateOrders, UserSync};

    /// What earlier versions stored.
    #[test]
    fn payloads_stored_before_are_readable() {
        let token_id = "01890a5d-ac96-774b-bcce-b302099a8057";
        let full: FullSync = serde_json::from_value(json!({ "token_id": token_id })).unwrap();
        assert!(!full.whole);
        let user = json!({ "token_id": token_id, "from": "2026-11-01T00:00:00Z", "to": null, "on_duplicate": "skip" });
        let user: UserSync = serde_json::from_value(user).unwrap();
        assert!(user.from.is_some() && user.to.is_none());
        let events = json!({ "token_id": token_id, "event_id": null, "again": false });
        serde_json::from_value::<ProcessEvents>(events).unwrap();
        let manual = json!({ "token_ids": [token_id], "from_date": null });
        serde_json::from_value::<ManualEvents>(manual).unwrap();
        let update = json!({ "token_id": token_id, "order_ids": ["a"] });
        serde_json::from_value::<UpdateOrders>(update).unwrap();
        let due = json!({ "token_id": token_id, "are_due": true });
        let due: MissingOrders = serde_json::from_value(due).unwrap();
        assert!(due.are_due && due.order_ids.is_empty());
        let requested = json!({ "token_id": token_id, "order_ids": ["a"], "by_hand": true });
        assert!(serde_json::from_value::<MissingOrders>(requested).unwrap().by_hand);
    }
}
