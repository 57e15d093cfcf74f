//! Bundles are set by request and by file, and leave a warehouse as their components.

use serde_json::{Value, json};

use crate::support::{Desk, cancelled, order, ready};

fn components(parts: &[(&str, i64)]) -> Value {
    let parts: Vec<Value> =
        parts.iter().map(|(sku, units)| json!({ "sku": sku, "quantity": units })).collect();
    json!({ "components": parts })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_leaves_and_returns_as_its_components() {
    let desk = Desk::open().await;
    desk.put("wosk", 10);
    desk.put("knot", 10);
    let (status, body) = desk.service.put("/bundles/zestaw", &components(&[("wosk", 2), ("knot", 1)]));
    assert_eq!((status, &body["sku"]), (200, &json!("zestaw")), "{body}");
    let sold = order("sold", &[("zestaw", 2), ("wosk", 1)]);
    desk.tell(&[ready(sold.clone())]).await;
    desk.until("sold", &[("deduction", "completed"); 2]).await;
    assert_eq!((desk.on_hand("wosk"), desk.on_hand("knot")), (5, 8));
    let operation = desk.operations("sold").remove(0);
    assert_eq!((&operation["sku"], &operation["quantity"]), (&json!("zestaw"), &json!(2)));
    let moved = desk.service.get("/stock/movements?order_id=sold").1;
    let moved = moved["items"].as_array().unwrap().iter().map(|it| it["sku"].as_str().unwrap().to_owned());
    let mut moved: Vec<String> = moved.collect();
    moved.sort();
    assert_eq!(moved, ["knot", "wosk", "wosk"]);

    assert_eq!(desk.service.delete("/bundles/zestaw").0, 204);
    desk.tell_until_taken(&[cancelled(sold)]).await;
    assert_eq!((desk.on_hand("wosk"), desk.on_hand("knot")), (10, 10), "as it left");
    assert_eq!(desk.service.delete("/bundles/zestaw").0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_bundles_are_refused_by_field_and_rule() {
    let desk = Desk::open().await;
    let refused = |parts: &[(&str, i64)]| {
        let (status, body) = desk.service.put("/bundles/zestaw", &components(parts));
        (status, body["errors"][0]["pointer"].as_str().unwrap_or_default().to_owned())
    };
    for (parts, pointer) in [
        (vec![], "/components"),
        (vec![("wosk", 0)], "/components/0/quantity"),
        (vec![("", 1)], "/components/0/sku"),
        (vec![("zestaw", 1)], "/components/0/sku"),
        (vec![("wosk", 1), ("wosk", 2)], "/components/1/sku"),
    ] {
        assert_eq!(refused(&parts), (400, pointer.to_owned()), "{parts:?}");
    }
    assert_eq!(refused(&[("wosk", 1)]).0, 200);
    let (status, problem) = desk.service.put("/bundles/wiekszy", &components(&[("zestaw", 2)]));
    assert_eq!((status, &problem["code"]), (409, &json!("bundle_nested")));
}

#[tokio::test(flavor = "multi_thread")]
async fn bundles_are_imported_from_a_file_and_listed_by_page() {
    let desk = Desk::open().await;
    let import = |text: &str| desk.service.post_raw("/bundles/import", "text/csv", text.as_bytes());
    let (status, body) = import("sku;component;quantity\nset-a;wosk;2\nset-a;knot;1\nset-b;wosk;3\n");
    assert_eq!((status, &body["imported"]), (200, &json!(2)), "{body}");
    let (status, body) = import("sku,component,quantity\nset-a,wosk,0\n");
    assert_eq!(
        (status, &body["code"], &body["errors"][0]["pointer"]),
        (400, &json!("import_refused"), &json!("/1/quantity"))
    );
    let (_, page) = desk.service.get("/bundles?limit=1");
    assert_eq!(page["items"][0]["components"], components(&[("knot", 1), ("wosk", 2)])["components"]);
    let (_, rest) = desk.service.get("/bundles?limit=1&cursor=set-a");
    assert_eq!((&rest["items"][0]["sku"], &rest["next_cursor"]), (&json!("set-b"), &Value::Null));
}
