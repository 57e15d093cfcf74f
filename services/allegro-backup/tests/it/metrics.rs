//! The measures an operator looks at.

use serde_json::json;
use testkit::eventually;

use crate::support::Shop;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_promised_is_measured() {
    let mut shop = Shop::open().await;
    shop.admin("POST", "/orders", &json!({ "count": 40 }));
    let token_id = shop.connect().await;
    shop.until_read().await;
    let dead = shop.admin("POST", "/sellers", &json!({}))["id"].as_str().unwrap().to_owned();
    let begun = shop.initialize();
    let path = format!("/authorizations/{}/approve", begun["user_code"].as_str().unwrap());
    shop.admin("POST", &path, &json!({ "seller_id": dead }));
    shop.authorization(&begun).await;
    shop.admin("POST", &format!("/sellers/{dead}/revoke"), &json!({}));
    shop.until("user_tokens WHERE needs_reauthorization", 1).await;
    for (status, at) in [("pending", "now() + interval '1 hour'"), ("abandoned", "now() + interval '1 day'")]
    {
        shop.run(&format!(
            "INSERT INTO failed_orders (token_id, allegro_order_id, error_class, error_text, next_retry_at, status) \
             VALUES ('{token_id}', '{status}', 'refused', 'a test', {at}, '{status}')"
        ))
        .await;
    }
    shop.run_schedule(&format!("full_sync_all_orders:{token_id}")).await;
    let days = shop.count("proven_days WHERE is_green").await;
    assert!(days > 300, "{days}");
    // States are measured at the start, and every minute.
    shop.service.kill();
    shop.start_again().await;
    shop.run_schedule(&format!("sweep_open_orders:{token_id}")).await;
    shop.run_schedule(&format!("full_sync_all_orders:{token_id}")).await;
    for line in [
        r#"allegro_accounts{state="active"} 1"#.to_owned(),
        r#"allegro_accounts{state="needs_reauthorization"} 1"#.to_owned(),
        r#"allegro_accounts{state="removed"} 0"#.to_owned(),
        r#"sync_runs_total{kind="sync_order_events",status="completed"}"#.to_owned(),
        r#"sync_runs_total{kind="sweep_open_orders",status="completed"} 1"#.to_owned(),
        r#"sync_runs_total{kind="full_sync_all_orders",status="completed"} 1"#.to_owned(),
        r#"sync_lag_seconds{kind="events"}"#.to_owned(),
        r#"sync_lag_seconds{kind="list"}"#.to_owned(),
        r#"sync_lag_seconds{kind="sweep"}"#.to_owned(),
        r#"quarantine_orders{status="pending"} 1"#.to_owned(),
        r#"quarantine_orders{status="abandoned"} 1"#.to_owned(),
        r#"completeness_days{green="false"}"#.to_owned(),
        r#"allegro_requests_total{route="orders",status="200"}"#.to_owned(),
        r#"allegro_requests_total{route="events",status="200"}"#.to_owned(),
        r#"allegro_limit_headroom{limit="all"}"#.to_owned(),
    ] {
        eventually(&line, async || shop.service.metrics().contains(&line).then_some(())).await;
    }
    // Counted at the start: before the list was read again, and since midnight it may prove a day more.
    let days = [days, shop.count("proven_days WHERE is_green").await];
    let lines = days.map(|days| format!("completeness_days{{green=\"true\"}} {days}\n"));
    eventually(&lines[0], async || {
        let told = shop.service.metrics();
        lines.iter().any(|line| told.contains(line)).then_some(())
    })
    .await;
}
