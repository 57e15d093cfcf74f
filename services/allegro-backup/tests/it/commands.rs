//! What an operator does at the command line.

use serde_json::json;

use crate::support::{Shop, USER};

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_reads_and_compares_by_command() {
    let shop = Shop::open().await;
    shop.admin("POST", "/orders", &json!({ "count": 320 }));
    let token_id = shop.connect().await;
    shop.until_read().await;
    let (code, told) = shop.command(&["sync", "--user", USER, "--from", "2020-01-01"]);
    assert!(
        code == 0 && told.contains("320 orders read: 0 new, 0 changed, 320 as they were"),
        "{code}: {told}"
    );
    for (arguments, expected) in [
        (vec!["sync", "--user", "nobody"], (1, "the user \"nobody\" has no such connected account")),
        (vec!["sync", "--user", USER, "--to", "2001-01-01"], (1, "--to is within the last twelve months")),
        (vec!["sync", "--user", USER, "--from", "1.11.2026"], (2, "a day like 2026-11-01")),
        (vec!["sync", "--user", USER, "--full", "--from", "2026-11-01"], (2, "cannot be used with")),
        (vec!["sync", "--help"], (0, "the command prints its id, and how to follow and stop it")),
        (vec!["verify", "--help"], (0, "missing  Allegro has it, and it is not stored")),
        (vec!["export", "--help"], (0, "export --user sklep-zielony --output orders.ndjson")),
        (vec!["import", "--help"], (0, "An order that is newer here stays")),
        (vec!["export", "--user", "nobody"], (1, "has no account")),
    ] {
        let (code, told) = shop.command(&arguments);
        assert!(code == expected.0 && told.contains(expected.1), "{arguments:?}: {code}: {told}");
    }

    let verify = ["verify", "--token", &token_id];
    let (code, told) = shop.command(&verify);
    assert!(code == 0 && told.contains("320 orders compared, 0 differ"), "{code}: {told}");
    shop.service.post("/sync/deactivate", &json!({ "token_id": token_id }));
    let [missing, stale] = [0, 1].map(|at| shop.journal()[at]["order_id"].as_str().unwrap().to_owned());
    shop.run(&format!("DELETE FROM order_line_items; DELETE FROM orders WHERE allegro_order_id = '{missing}'; \
        UPDATE orders SET content_hash = '\\x00' WHERE allegro_order_id = '{stale}'; \
        INSERT INTO orders (id, token_id, allegro_order_id, status, order_date, line_items, order_data, content_hash, asked_at) \
        SELECT id, token_id, '00000000-0000-7000-8000-000000000000', 'BOUGHT', now(), 0, '{{}}', '', now() FROM \
            (SELECT gen_random_uuid() AS id, token_id FROM orders LIMIT 1) AS o")).await;
    let (code, told) = shop.command(&verify);
    assert_eq!(code, 1, "{told}");
    for line in [
        format!("missing {missing}"),
        format!("stale {stale}"),
        "extra 00000000-0000-7000-8000-000000000000".to_owned(),
    ] {
        assert!(told.lines().any(|it| it == line), "{line}: {told}");
    }
    assert!(told.contains("320 orders compared, 3 differ"), "{told}");
    assert!(told.contains("1 are missing, 1 are stale, 1 are extra"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_sync_names_its_unfinished_task() {
    let mut shop = Shop::open().await;
    shop.connect().await;
    shop.until_read().await;
    // The task stays queued, because the service is down.
    shop.service.kill();
    let queued = "task_history WHERE kind = 'sync_user_orders' AND status = 'queued'";
    let running = shop.service.begin(&["sync", "--user", USER]);
    shop.until(queued, 1).await;
    let done = running.interrupt();
    let said = String::from_utf8(done.stderr).unwrap();
    assert!(done.status.code() == Some(1) && said.contains("ended by SIGINT; tasks left: 1"), "{said}");
    let task = shop.lines(&format!("SELECT id FROM {queued}")).await;
    let id = task[0].trim_matches(['(', ')']);
    for path in [format!("GET /api/v1/sync/tasks/{id},"), format!("POST /api/v1/sync/tasks/{id}/stop")] {
        assert!(said.contains(&path), "{path}: {said}");
    }
    assert_eq!(shop.count(queued).await, 1, "the task stays queued");
}
