//! The process dies at each commit, publish, confirm and end of a task, on an order's way from Allegro to RabbitMQ, and
//! nothing is lost or announced twice: counted at the sandbox and at a consumer outside.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};
use testkit::{eventually_within, side_by_side, tell};

use crate::support::{Shop, USER};

const OLD: usize = 30;
const LIVE: usize = 10;
/// A queue outside the service that is told everything.
const OUTSIDE: &str = "outside";
/// A task that failed may wait for half a minute before it is tried again.
const PATIENCE: Duration = Duration::from_mins(2);

/// How far the seller has come.
#[derive(Default)]
struct Seller {
    begun: Option<Value>,
    is_live: bool,
}

impl Seller {
    /// Does the next thing. The service may be dead or dying: then nothing is done, and it is done later.
    async fn go_on(&mut self, shop: &Shop) {
        // Tokens that came while the process died are nowhere: the owner is told so, and connects again.
        if shop.count("authorizations WHERE status = 'failed'").await > 0
            && shop.count("user_tokens").await + shop.count("authorizations WHERE status = 'pending'").await
                == 0
        {
            self.begun = None;
        }
        if self.begun.is_none() {
            let wish = json!({ "user_id": USER }).to_string();
            let bearer = format!("Bearer {}", shop.service.token);
            let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
            let path = "/api/v1/tokens/auth/initialize";
            let answer = shop.service.request("POST", path, &headers, wish.as_bytes());
            let Some(begun) = answer.ok().filter(|it| it.status == 202).map(|it| it.json()) else { return };
            let code = begun["user_code"].as_str().unwrap().to_owned();
            shop.admin("POST", &format!("/authorizations/{code}/approve"), &json!({}));
            self.begun = Some(begun);
        } else if !self.is_live && shop.count("orders").await >= 30 {
            shop.admin("POST", "/live", &json!({ "count": LIVE, "rate_per_second": 100 }));
            self.is_live = true;
        }
    }
}

/// Returns a line of the table.
async fn die_at(point: &'static str) -> String {
    let mut shop = Shop::open().await;
    shop.vhost.listen(OUTSIDE);
    shop.admin("POST", "/orders", &json!({ "count": OLD }));
    // A good try ends in the transaction of its effects; one that fails ends by itself.
    shop.admin(
        "PUT",
        "/faults",
        &json!({ "error_rate": 0.4, "status": 502, "routes": ["events"], "seed": 3 }),
    );
    shop.service.kill();
    shop.start_to_die_at(point).await;
    let mut seller = Seller::default();
    eventually_within(PATIENCE, &format!("the death at {point}"), async || {
        if shop.service.has_died_at(point) {
            return Some(());
        }
        seller.go_on(&shop).await;
        None
    })
    .await;
    shop.admin("DELETE", "/faults", &json!({}));
    shop.start_again().await;
    eventually_within(PATIENCE, &format!("the backup to hold what Allegro has, {point}"), async || {
        seller.go_on(&shop).await;
        let (source, stored) = shop.compare().await;
        (source.len() == OLD + LIVE && source == stored && shop.count("outbox").await == 0).then_some(())
    })
    .await;

    let told: Vec<Value> =
        shop.vhost.take(OUTSIDE).iter().map(|fact| serde_json::from_str(fact).unwrap()).collect();
    let ids: BTreeSet<&str> = told.iter().map(|fact| fact["id"].as_str().unwrap()).collect();
    // An order's creation is one fact, however often it was told.
    let mut created: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for fact in told.iter().filter(|fact| fact["type"] == "order.created") {
        created.entry(fact["subject"].as_str().unwrap()).or_default().insert(fact["id"].as_str().unwrap());
    }
    let orders: BTreeSet<String> =
        shop.journal().iter().map(|order| order["order_id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(created.keys().copied().collect::<Vec<_>>(), orders.iter().collect::<Vec<_>>(), "{point}");
    assert!(created.values().all(|facts| facts.len() == 1), "{point}: announced twice: {created:?}");
    let again = told.len() - ids.len();
    // The relay works beside everything else: what the broker had and the relay had not yet deleted when the process
    // died is told again, whatever it died of, and once.
    let most = ids.iter().map(|id| told.iter().filter(|fact| fact["id"] == **id).count()).max();
    assert!(most <= Some(2), "{point}: a fact was told {most:?} times");
    format!(
        "{point:<30} died, {} of {} orders announced, {again} facts told again",
        created.len(),
        OLD + LIVE
    )
}

fn die_at_each(points: &[&'static str]) {
    tell(&side_by_side(points, die_at).join("\n"));
}

#[test]
fn a_death_before_any_commit_loses_nothing() {
    die_at_each(&[
        "pg.before_commit@1",
        "pg.before_commit@3",
        "pg.before_commit@6",
        "pg.before_commit@9",
        "pg.before_commit@12",
        "pg.before_commit@16",
        "outbox.after_push@1",
        "outbox.after_push@2",
    ]);
}

#[test]
fn a_death_after_any_commit_loses_nothing() {
    die_at_each(&[
        "pg.after_commit@1",
        "pg.after_commit@3",
        "pg.after_commit@6",
        "pg.after_commit@9",
        "pg.after_commit@12",
        "pg.after_commit@16",
        "tasks.after_claim@1",
        "tasks.after_claim@3",
    ]);
}

#[test]
fn a_death_while_facts_are_told_or_tasks_end_loses_nothing() {
    die_at_each(&[
        "relay.before_publish",
        "relay.after_publish",
        "relay.after_confirm",
        "relay.after_delete",
        "tasks.before_end",
        "tasks.after_end",
    ]);
}
