//! Orders as people and programs look for them.

use serde_json::{Value, json};
use testkit::eventually;

use crate::support::{Shop, USER, USER_PATH};

fn ids(page: &Value) -> Vec<&str> {
    page["items"].as_array().unwrap().iter().map(|it| it["allegro_order_id"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_are_found_by_what_is_known_of_them() {
    let shop = Shop::open().await;
    shop.admin("POST", "/orders", &json!({ "count": 120, "seed": 11 }));
    let token_id = shop.connect().await;
    shop.until_read().await;
    let all = shop.service.get(&format!("/orders/{USER_PATH}?limit=200")).1;
    let all = all["items"].as_array().unwrap();
    assert_eq!(all.len(), 120);
    let list = |query: &str| {
        let (status, page) = shop.service.get(&format!("/orders/{USER_PATH}?limit=200&{query}"));
        assert_eq!(status, 200, "{query}: {page}");
        page
    };
    let counted = |holds: &dyn Fn(&Value) -> bool| all.iter().filter(|order| holds(order)).count();

    let sold = all.iter().find(|order| order["line_items"][0]["sku"].is_string()).unwrap();
    let (sku, buyer) = (&sold["line_items"][0]["sku"], &sold["buyer_login"]);
    let has_sku =
        |order: &Value| order["line_items"].as_array().unwrap().iter().any(|line| &line["sku"] == sku);
    let middle = all[60]["order_date"].as_str().unwrap();
    let login = buyer.as_str().unwrap().to_uppercase().replace(':', "%3A");
    for (query, expected) in [
        (format!("sku={}", sku.as_str().unwrap()), counted(&has_sku)),
        (format!("buyer={login}"), counted(&|order| &order["buyer_login"] == buyer)),
        (format!("from={middle}"), counted(&|order| order["order_date"].as_str().unwrap() >= middle)),
        (format!("to={middle}"), counted(&|order| order["order_date"].as_str().unwrap() < middle)),
        (
            format!("token_id={token_id}&status=READY_FOR_PROCESSING"),
            counted(&|order| order["status"] == "READY_FOR_PROCESSING"),
        ),
        ("stock_updated=false".to_owned(), 120),
        ("stock_updated=true".to_owned(), 0),
        ("sku=%25".to_owned(), 0),
    ] {
        assert_eq!(ids(&list(&query)).len(), expected, "{query}");
        assert!(expected > 0 || query.ends_with("true") || query.ends_with("%25"), "{query} finds something");
    }

    // Words: without accents, in capitals, by their beginning, and never by anything but letters and digits.
    let path = format!("/orders/{USER_PATH}/{}", sold["allegro_order_id"].as_str().unwrap());
    let whole = shop.service.get(&path).1;
    let street = whole["order_data"]["delivery"]["address"]["street"].as_str().unwrap();
    let street = street.split(' ').next().unwrap();
    let plain: String = street
        .chars()
        .map(|it| match it {
            'Ś' | 'ś' => 's',
            'Ż' | 'ż' | 'Ź' | 'ź' => 'z',
            'ł' | 'Ł' => 'l',
            'ó' => 'o',
            'ą' => 'a',
            'ę' => 'e',
            'ć' => 'c',
            'ń' => 'n',
            it => it,
        })
        .collect();
    let found = list(&format!("text={}", plain.to_uppercase()));
    assert!(ids(&found).contains(&sold["allegro_order_id"].as_str().unwrap()), "{plain}: {found}");
    let id = sold["allegro_order_id"].as_str().unwrap();
    assert_eq!(ids(&list(&format!("text={id}"))), [id]);
    assert_eq!(ids(&list(&format!("text=%25{}%25_", &id[..8]))), [id]);
    assert_eq!(ids(&list("text=nobodybuysthis")).len(), 0);
    // What a person wrote in Cyrillic, changed at Allegro, is found after the next event.
    shop.run(&format!(
        "UPDATE orders SET search = search || array_to_tsvector('{{елка}}') WHERE allegro_order_id = '{id}'"
    ))
    .await;
    assert_eq!(ids(&list("text=%D0%81%D0%BB%D0%BA%D0%B0")), [id]);

    for (query, pointer) in [
        ("text=ab", "text"),
        ("text=%25%25%25", "text"),
        ("from=yesterday", "from"),
        ("stock_updated=maybe", "stock_updated"),
    ] {
        let (status, body) = shop.service.get(&format!("/orders/{USER_PATH}?{query}"));
        assert_eq!((status, &body["errors"][0]["pointer"]), (400, &json!(pointer)), "{query}: {body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn earlier_contents_their_differences_and_the_journal_are_shown() {
    let shop = Shop::open().await;
    shop.connect().await;
    shop.until_read().await;
    shop.admin("POST", "/live", &json!({ "count": 3, "rate_per_second": 100 }));
    shop.until("orders", 3).await;
    shop.until_equal().await;
    let id = shop.journal()[0]["order_id"].as_str().unwrap().to_owned();
    let path = format!("/orders/{USER_PATH}/{id}");
    let first = shop.service.get(&path).1;
    shop.admin("POST", &format!("/orders/{id}/fulfill"), &json!({ "status": "SENT" }));
    // Nothing tells of it: it is asked for.
    let (status, asked) = shop.service.post(&format!("{path}/sync"), &json!({}));
    assert_eq!(status, 202, "{asked}");
    let task = format!("/sync/tasks/{}", asked["task_id"].as_str().unwrap());
    eventually("the order to be read", async || {
        (shop.service.get(&task).1["status"] == "SUCCESS").then_some(())
    })
    .await;
    let second = shop.service.get(&path).1;
    assert_eq!(second["fulfillment_status"], "SENT");
    let (old, new) = (first["version"].as_i64().unwrap(), second["version"].as_i64().unwrap());
    assert!(new > old, "{old} {new}");

    let before = shop.service.get(&format!("{path}?version={old}")).1;
    assert_eq!(before["order_data"], first["order_data"]);
    assert_eq!(before["fulfillment_status"], first["fulfillment_status"]);
    let versions = shop.service.get(&format!("{path}/versions?limit=1")).1;
    assert_eq!(
        (&versions["items"][0]["version"], &versions["items"][0]["is_current"]),
        (&json!(new), &json!(true))
    );
    let cursor = versions["next_cursor"].as_str().unwrap();
    let earlier = shop.service.get(&format!("{path}/versions?limit=200&cursor={cursor}")).1;
    let earlier = earlier["items"].as_array().unwrap();
    assert_eq!(i64::try_from(earlier.len()).unwrap(), new - 1, "{earlier:?}");
    assert!(earlier.iter().all(|it| it["source"].is_string() && it["is_current"] == false));

    let difference = shop.service.get(&format!("{path}/versions/diff?from={old}&to={new}")).1;
    let changes = difference["changes"].as_array().unwrap();
    let of = |path: &str| changes.iter().find(|change| change["path"] == path).cloned();
    let sent = of("/fulfillment/status").unwrap();
    assert_eq!((&sent["old"], &sent["new"]), (&first["fulfillment_status"], &json!("SENT")));

    let events = shop.service.get(&format!("{path}/events")).1;
    let kinds: Vec<&str> =
        events["items"].as_array().unwrap().iter().map(|it| it["type"].as_str().unwrap()).collect();
    assert!(kinds.contains(&"READY_FOR_PROCESSING"), "{kinds:?}");

    for (path, code) in [
        (format!("{path}?version=99"), "version_not_found"),
        (format!("{path}/versions/diff?from=1&to=99"), "version_not_found"),
        (format!("/orders/{USER_PATH}/none/versions"), "order_not_found"),
        (format!("/orders/someone-else/{id}/events"), "order_not_found"),
    ] {
        let (status, body) = shop.service.get(&path);
        assert_eq!((status, &body["code"]), (404, &json!(code)), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_and_sums_are_those_of_the_orders() {
    let shop = Shop::open().await;
    shop.admin("POST", "/orders", &json!({ "count": 150, "seed": 5 }));
    shop.connect().await;
    shop.until_read().await;
    let all = shop.service.get(&format!("/orders/{USER_PATH}?limit=200")).1;
    let all = all["items"].as_array().unwrap();
    let day = |order: &Value| order["order_date"].as_str().unwrap()[..10].to_owned();
    let (last, first) = (day(&all[0]), day(&all[149]));
    let minor = |order: &Value| -> i64 {
        order["total"]["amount"].as_str().map_or(0, |it| it.replace('.', "").parse().unwrap())
    };
    // Day by day as far as one answer reaches, and once more by month.
    for group_by in ["day", "month"] {
        let query = format!("time_zone=UTC&group_by={group_by}&to={last}");
        let (status, told) = shop.service.get(&format!("/orders/{USER_PATH}/statistics?{query}"));
        assert_eq!(status, 200, "{told}");
        let from = told["from"].as_str().unwrap();
        let within: Vec<&Value> =
            all.iter().filter(|order| day(order).as_str() >= from && day(order) < last).collect();
        assert_eq!(told["orders"], json!(within.len()), "{first} {told}");
        for groups in ["by_status", "by_period"] {
            let groups = told[groups].as_array().unwrap();
            let sum: i64 = groups.iter().map(minor).sum();
            assert_eq!(sum, within.iter().map(|order| minor(order)).sum::<i64>(), "{told}");
            let orders: i64 = groups.iter().map(|it| it["orders"].as_i64().unwrap()).sum();
            assert_eq!(usize::try_from(orders).unwrap(), within.len());
        }
        for group in told["by_period"].as_array().unwrap().iter().filter(|_| group_by == "day") {
            let expected = within.iter().filter(|order| group["period"] == day(order)).count();
            assert_eq!(group["orders"], json!(expected), "{group}");
        }
    }
    for query in ["from=2026-01-01&to=2028-01-01", "from=21.11.2026", "time_zone=Mars", "group_by=week"] {
        assert_eq!(shop.service.get(&format!("/orders/{USER_PATH}/statistics?{query}")).0, 400, "{query}");
    }
    assert_eq!(shop.service.get("/orders/someone-else/statistics").1["orders"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn flags_are_set_once_by_whom_they_concern() {
    let mut shop = Shop::open().await;
    shop.admin("POST", "/orders", &json!({ "count": 12 }));
    let token_id = shop.connect().await;
    shop.until_read().await;
    let id = shop.journal()[3]["order_id"].as_str().unwrap().to_owned();
    let of = |name: &str| format!("/orders/{token_id}/{id}/{name}");

    let (status, set) = shop.service.patch(&of("stock-status"), &json!({ "is_stock_updated": true }));
    assert_eq!((status, &set["is_stock_updated"]), (200, &json!(true)), "{set}");
    // Said again, nothing is written: the row keeps its place, and the moment is the first one.
    let row = format!("SELECT ctid FROM orders WHERE allegro_order_id = '{id}'");
    let written = shop.lines(&row).await;
    assert_eq!(
        shop.service.patch(&of("stock-status"), &json!({ "is_stock_updated": true })),
        (200, set.clone())
    );
    assert_eq!(shop.lines(&row).await, written);
    let list = |query: &str| shop.service.get(&format!("/orders/{USER_PATH}?{query}")).1;
    assert_eq!(ids(&list("stock_updated=true")), [id.as_str()]);
    let open = list("stock_updated=false&limit=10");
    assert_eq!((ids(&open).len(), ids(&open).contains(&id.as_str())), (10, false));
    assert_eq!(
        ids(&list(&format!("stock_updated=false&cursor={}", open["next_cursor"].as_str().unwrap()))).len(),
        1
    );

    let invoice = json!({ "has_invoice_created": true, "invoice_id": "FV/ż/1" });
    let (status, flags) = shop.service.patch(&of("invoice-status"), &invoice);
    assert_eq!(
        (status, &flags["invoice_id"], &flags["is_stock_updated"]),
        (200, &json!("FV/ż/1"), &json!(true))
    );
    assert_eq!(shop.service.get(&of("technical-flags")), (200, flags));
    let (_, flags) = shop.service.patch(&of("stock-status"), &json!({ "is_stock_updated": false }));
    assert_eq!((&flags["stock_updated_at"], &flags["has_invoice_created"]), (&json!(null), &json!(true)));
    let (_, flags) = shop.service.patch(&of("invoice-status"), &json!({ "has_invoice_created": false }));
    assert_eq!(flags["invoice_id"], json!(null));

    for (name, body, expected) in [
        ("stock-status", json!({}), 400),
        ("stock-status", json!({ "is_stock_updated": 1 }), 400),
        ("invoice-status", json!({ "has_invoice_created": false, "invoice_id": "x" }), 400),
        ("invoice-status", json!({ "has_invoice_created": true, "invoice_id": "" }), 400),
    ] {
        assert_eq!(shop.service.patch(&of(name), &body).0, expected, "{name} {body}");
    }
    let wish = json!({ "is_stock_updated": true });
    let unknown = format!("/orders/{token_id}/none/stock-status");
    assert_eq!(shop.service.patch(&unknown, &wish).1["code"], "order_not_found");
    let nobodys = format!("/orders/00000000-0000-7000-8000-000000000000/{id}/stock-status");
    assert_eq!(shop.service.patch(&nobodys, &wish).1["code"], "token_not_found");
    let both = "allegro-backup:read allegro-backup:write";
    shop.service.token = shop.service.token_of("someone-else", both);
    assert_eq!(shop.service.patch(&of("stock-status"), &wish).1["code"], "token_not_found");
    assert_eq!(shop.service.get(&of("technical-flags")).0, 404);
    shop.service.token = shop.service.token_of(USER, both);
    assert_eq!(shop.service.patch(&of("stock-status"), &wish).0, 200);
}
