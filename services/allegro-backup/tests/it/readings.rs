//! Readings that people ask for, how they go, what they came to, and the proof that nothing is missing.

use serde_json::{Value, json};
use testkit::eventually;

use crate::support::{Shop, USER, USER_PATH};

fn history(shop: &Shop) -> Vec<Value> {
    shop.service.get(&format!("/sync/history/{USER_PATH}")).1["items"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_the_list_is_read_and_known_orders_are_left_alone_where_asked() {
    let shop = Shop::open().await;
    let orders = json!({ "count": 60, "from": "2026-02-01T00:00:00Z", "to": "2026-02-28T00:00:00Z" });
    shop.admin("POST", "/orders", &orders);
    shop.admin(
        "POST",
        "/orders",
        &json!({ "count": 40, "from": "2026-05-01T00:00:00Z", "to": "2026-05-30T00:00:00Z" }),
    );
    let token_id = shop.connect().await;
    shop.until_read().await;
    shop.service.post("/sync/deactivate", &json!({ "token_id": token_id }));
    // What runs goes on.
    shop.until("task_history WHERE queue LIKE 'sync_%' AND status IN ('queued', 'running', 'retrying')", 0)
        .await;
    let manual = format!("/sync/manual/{USER_PATH}");
    let changed = shop.journal()[0]["order_id"].as_str().unwrap().to_owned();
    shop.admin("POST", &format!("/orders/{changed}/fulfill"), &json!({ "status": "SUSPENDED" }));
    shop.run(
        "DELETE FROM order_line_items; DELETE FROM order_versions; DELETE FROM orders WHERE id = ( \
        SELECT id FROM orders WHERE order_date < '2026-03-01' ORDER BY order_date DESC LIMIT 1)",
    )
    .await;

    let february =
        json!({ "from": "2026-02-01T00:00:00Z", "to": "2026-03-01T00:00:00Z", "on_duplicate": "skip" });
    let task = shop.start(&manual, &february).await;
    let result = &task["result"];
    assert_eq!((&result["orders"], &result["added"], &result["updated"]), (&json!(60), &json!(1), &json!(0)));
    assert_eq!((&task["progress"]["current"], &task["progress"]["total"]), (&json!(60), &json!(60)));
    let update = json!({ "from": "2026-02-01T00:00:00Z", "to": "2026-03-01T00:00:00Z" });
    let task = shop.start(&manual, &update).await;
    assert_eq!(task["result"]["updated"], 1, "{task}");

    let newest = &history(&shop)[0];
    assert_eq!(newest["task_id"], task["task_id"]);
    for (field, expected) in [
        ("kind", json!("manual")),
        ("sync_status", json!("completed")),
        ("orders_processed", json!(60)),
        ("orders_updated", json!(1)),
        ("sync_from_date", json!("2026-02-01T00:00:00Z")),
    ] {
        assert_eq!(newest[field], expected, "{field}: {newest}");
    }
    let told = format!(
        "outbox WHERE type = 'order_sync.completed' AND convert_from(body, 'UTF8')::jsonb #>> '{{data,task_id}}' = '{}'",
        task["task_id"].as_str().unwrap()
    );
    assert_eq!(shop.count(&told).await, 1);
    // Nothing at all in the body is a wish too: for everything.
    let bearer = format!("Bearer {}", shop.service.token);
    let path = format!("/api/v1{manual}");
    let answer = shop.service.request("POST", &path, &[("Authorization", &bearer)], b"").unwrap();
    assert_eq!(answer.status, 202);
    let task = shop.ended(answer.json()["task_id"].as_str().unwrap()).await;
    assert_eq!(task["result"]["orders"], 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reading_is_stopped_goes_on_where_it_stood_and_survives_a_kill() {
    let mut shop = Shop::open().await;
    shop.admin("POST", "/orders", &json!({ "count": 3000, "seed": 5 }));
    shop.admin("PUT", "/faults", &json!({ "delay_ms": 100 }));
    shop.connect().await;
    let read = |shop: &Shop| shop.standing()["orders_read"].as_i64().unwrap_or_default();
    eventually("some progress", async || (read(&shop) > 0).then_some(())).await;
    let task = shop.standing()["task"]["task_id"].as_str().unwrap().to_owned();
    let (status, stopped) = shop.service.post(&format!("/sync/tasks/{task}/stop"), &json!({}));
    assert_eq!((status, &stopped["status"]), (200, &json!("CANCELLED")));
    eventually("the history to tell", async || {
        (history(&shop).first()?["sync_status"] == "cancelled").then_some(())
    })
    .await;
    assert_eq!(
        shop.count("outbox WHERE type LIKE 'order_sync.%'").await,
        0,
        "a person's own will is no failure"
    );
    let stood = shop.count("orders").await;
    assert!((1..3000).contains(&stood), "{stood}");

    let (status, again) = shop.service.post(&format!("/sync/tasks/{task}/retry"), &json!({}));
    assert_eq!(status, 200, "{again}");
    eventually("more", async || (shop.count("orders").await > stood).then_some(())).await;
    shop.service.kill();
    shop.start_again().await;
    let ended = shop.ended(&task).await;
    // What was stopped is not read a second time, but for the step that was under way.
    assert!(ended["result"]["unchanged"].as_i64().unwrap() <= 1000, "{ended}");
    assert_eq!(shop.count("outbox WHERE type = 'order.created'").await, 3000);
    assert_eq!(history(&shop)[0]["sync_status"], "completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_are_followed_as_often_as_their_owner_wants() {
    let shop = Shop::open().await;
    let token_id = shop.connect().await;
    shop.until_read().await;
    let active = |shop: &Shop| shop.service.get("/sync/active").1["items"].clone();
    assert_eq!(active(&shop)[0]["interval_seconds"], 1.0);
    let wish = json!({ "token_id": token_id, "interval_minutes": 7 });
    assert_eq!(shop.service.post("/sync/activate", &wish).0, 200);
    assert_eq!(active(&shop)[0]["interval_seconds"], 420.0);
    let (status, switched) = shop.service.post("/sync/deactivate", &json!({ "token_id": token_id }));
    assert_eq!((status, &switched["is_active"]), (200, &json!(false)));
    assert_eq!(active(&shop), json!([]));
    // What its owner has stopped, nobody takes for forgotten; the interval is theirs after a new start, too.
    let mut shop = shop;
    shop.service.kill();
    shop.start_again().await;
    shop.start(&format!("/sync/events/{USER_PATH}"), &json!({})).await;
    assert_eq!(active(&shop), json!([]));
    shop.service.post("/sync/activate", &wish);
    let followed = active(&shop);
    assert_eq!((&followed[0]["user_id"], &followed[0]["interval_seconds"]), (&json!(USER), &json!(420.0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_journal_is_read_again_from_a_date() {
    let shop = Shop::open().await;
    let token_id = shop.connect().await;
    shop.until_read().await;
    shop.admin("POST", "/live", &json!({ "count": 12, "rate_per_second": 1000 }));
    shop.until("orders", 12).await;
    shop.until_equal().await;
    shop.service.post("/sync/deactivate", &json!({ "token_id": token_id }));
    // As if an answer had been stored that was wrong.
    shop.run("UPDATE orders SET status = 'BOUGHT', content_hash = '\\x00'").await;
    let day = json!({ "from_date": "2026-01-01T00:00:00Z" });
    let task = shop.start(&format!("/sync/events/{USER_PATH}"), &day).await;
    let asked = task["result"]["task_ids"][0].as_str().unwrap();
    let ended = shop.ended(asked).await;
    assert_eq!((&ended["kind"], &ended["result"]["updated"]), (&json!("process_order_events"), &json!(12)));
    shop.until_equal().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_is_green_only_when_nothing_is_missing_and_what_is_missing_is_fetched() {
    let shop = Shop::open().await;
    let token_id = shop.connect().await;
    shop.until_read().await;
    shop.admin("POST", "/live", &json!({ "count": 8, "rate_per_second": 1000 }));
    shop.until("orders", 8).await;
    shop.until_equal().await;
    // Up to the day of the newest order: one that has begun since proves nothing yet.
    let last = shop.lines("SELECT max((order_date AT TIME ZONE 'UTC')::date) FROM orders").await;
    let last = last[0].trim_matches(['(', ')']).to_owned();
    let gaps = |shop: &Shop| shop.service.get(&format!("/sync/gaps/{token_id}?to={last}")).1;
    // They may have been bought on both sides of a midnight.
    let in_all = |report: &Value, field: &str| -> i64 {
        report["days"].as_array().unwrap().iter().map(|day| day[field].as_i64().unwrap()).sum()
    };
    let report = gaps(&shop);
    assert_eq!((in_all(&report, "stored"), in_all(&report, "in_events")), (8, 8), "{report}");
    shop.service.post("/sync/deactivate", &json!({ "token_id": token_id }));
    shop.until(
        "task_history WHERE kind = 'sync_order_events' AND status IN ('queued', 'running', 'retrying')",
        0,
    )
    .await;

    // An order that an event named is lost; the newest event's own order is kept so that the list's end is not it.
    shop.run(
        "DELETE FROM order_line_items; DELETE FROM order_versions; \
        DELETE FROM orders WHERE id = (SELECT id FROM orders ORDER BY order_date LIMIT 1)",
    )
    .await;
    let report = gaps(&shop);
    let open = &report["open"][0];
    let day = report["days"].as_array().unwrap().iter().find(|day| day["day"] == open["day"]).unwrap();
    assert_eq!((&report["is_green"], &day["state"]), (&json!(false), &json!("open")), "{report}");
    assert_eq!(open["why"], "missing");
    let missing = open["order_id"].as_str().unwrap().to_owned();

    // The list does not show it either (as lists do at times): asked for by name.
    shop.run(&format!(
        "INSERT INTO failed_orders (token_id, allegro_order_id, error_class, error_text, next_retry_at) \
        VALUES ('{token_id}', '{missing}', 'not_found', 'a test', now())"
    ))
    .await;
    shop.until(&format!("orders WHERE allegro_order_id = '{missing}'"), 1).await;
    shop.start(&format!("/sync/manual/{USER_PATH}"), &json!({})).await;
    let report = gaps(&shop);
    assert_eq!((&report["is_green"], &report["open"]), (&json!(true), &json!([])), "{report}");
    assert_eq!((in_all(&report, "stored"), in_all(&report, "in_lists")), (8, 8), "{report}");
    assert!(report["days"].as_array().unwrap().iter().all(|day| day["state"] == "green"), "{report}");

    // A stored order that no list names is asked for, and found to be gone.
    shop.run("INSERT INTO orders (id, token_id, allegro_order_id, status, order_date, line_items, order_data, \
            content_hash, asked_at, created_at) \
        SELECT gen_random_uuid(), token_id, gen_random_uuid(), status, order_date, 1, order_data, content_hash, asked_at, \
            created_at - interval '1 minute' FROM orders LIMIT 1").await;
    shop.start(&format!("/sync/manual/{USER_PATH}"), &json!({})).await;
    shop.until("failed_orders WHERE error_class = 'not_found' AND status = 'pending'", 1).await;
    assert_eq!(gaps(&shop)["is_green"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_account_does_not_slow_another() {
    let shop = Shop::open().await;
    shop.admin("POST", "/orders", &json!({ "count": 50 }));
    let slow = shop.connect().await;
    shop.until_read().await;
    shop.service.post("/sync/deactivate", &json!({ "token_id": slow }));
    shop.until("task_history WHERE queue LIKE 'sync_%' AND status IN ('queued', 'running', 'retrying')", 0)
        .await;
    // Five seconds for four pages, twelve times one after the other: one try of a minute.
    shop.admin("POST", "/orders", &json!({ "count": 5000 }));
    shop.admin("PUT", "/faults", &json!({ "sellers": ["1000001"], "delay_ms": 5000 }));
    let (status, started) = shop.service.post(&format!("/sync/manual/{USER_PATH}"), &json!({}));
    assert_eq!(status, 202, "{started}");
    let task = format!("task_history WHERE id = '{}'", started["task_id"].as_str().unwrap());
    let asked = format!("{task} AND status = 'running' AND started_at < now() - interval '2 seconds'");
    shop.until(&asked, 1).await;
    let under_way = format!("SELECT status, attempt, started_at FROM {task}");
    let before = shop.lines(&under_way).await;

    let second = shop.admin("POST", "/sellers", &json!({}))["id"].as_str().unwrap().to_owned();
    shop.admin("POST", "/orders", &json!({ "count": 50, "seller_id": second }));
    let begun = shop.initialize();
    let path = format!("/authorizations/{}/approve", begun["user_code"].as_str().unwrap());
    shop.admin("POST", &path, &json!({ "seller_id": second }));
    let quick = shop.authorization(&begun).await["token_id"].as_str().unwrap().to_owned();
    let stored = format!("orders WHERE token_id = '{quick}'");
    shop.until(&stored, 50).await;
    shop.admin("POST", "/live", &json!({ "count": 5, "rate_per_second": 1000, "seller_id": second }));
    shop.until(&stored, 55).await;
    assert!(before[0].starts_with("(running,"), "{before:?}");
    assert_eq!(shop.lines(&under_way).await, before, "the other account waited for the slow one");
}

#[tokio::test(flavor = "multi_thread")]
async fn old_things_are_forgotten_but_not_what_cursor_and_proof_need() {
    let shop = Shop::open().await;
    let token_id = shop.connect().await;
    shop.until_read().await;
    shop.admin("POST", "/live", &json!({ "count": 5, "rate_per_second": 1000 }));
    shop.until("orders", 5).await;
    shop.until_equal().await;
    shop.service.post("/sync/deactivate", &json!({ "token_id": token_id }));
    shop.until(
        "task_history WHERE kind = 'sync_order_events' AND status IN ('queued', 'running', 'retrying')",
        0,
    )
    .await;
    // 1,200 events more, long ago and before the others; one of them names an order that is not stored.
    shop.run("INSERT INTO order_events (seq, token_id, event_id, allegro_order_id, type, occurred_at, is_duplicate, event_data) \
        SELECT -n, token_id, 'old-' || n, CASE n WHEN 1100 THEN 'never stored' ELSE allegro_order_id END, type, occurred_at, \
            false, event_data FROM (SELECT * FROM order_events LIMIT 1) AS e, generate_series(1, 1200) AS n").await;
    shop.run("UPDATE order_events SET received_at = now() - interval '181 days'").await;
    shop.run("UPDATE sync_history SET sync_completed_at = now() - interval '91 days'").await;
    let kept = shop.count("order_events WHERE seq > 0").await;
    shop.run_schedule("cleanup_old_order_events").await;
    shop.run_schedule("cleanup_old_sync_history").await;
    assert_eq!(shop.count("order_events WHERE seq > 0").await, kept, "overlap and cursor stay");
    assert_eq!(shop.count("order_events WHERE seq < 0").await, 1000 - kept + 1);
    assert_eq!(shop.count("order_events WHERE allegro_order_id = 'never stored'").await, 1);
    assert_eq!(shop.count("sync_history").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_whose_events_stand_all_over_a_page_is_asked_for_once() {
    const ORDERS: usize = 300;
    let mut shop = Shop::open().await;
    shop.connect().await;
    shop.until_read().await;
    shop.service.kill();
    shop.admin("POST", "/live", &json!({ "count": ORDERS, "rate_per_second": 1000 }));
    let all_ready = async || {
        let ready = shop.journal().iter().filter(|it| it["status"] == "READY_FOR_PROCESSING").count();
        (ready == ORDERS).then_some(())
    };
    eventually("every order to be ready", all_ready).await;
    let asked = |shop: &Shop| {
        shop.admin("GET", "/stats", &json!({}))["requests"]["GET order"]["200"].as_u64().unwrap_or_default()
    };
    let before = asked(&shop);
    shop.start_again().await;
    shop.until_equal().await;
    let more = usize::try_from(asked(&shop) - before).unwrap();
    let events = usize::try_from(shop.count("order_events").await).unwrap();
    assert!(events > 2 * ORDERS, "{events} events are more than a stretch holds");
    assert_eq!(more, ORDERS);
}
