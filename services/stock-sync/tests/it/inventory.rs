//! The shelf as people count, correct and fill it.

use serde_json::{Value, json};

use crate::support::{Desk, order, ready};

#[tokio::test(flavor = "multi_thread")]
async fn levels_are_set_corrected_and_explained_by_their_movements() {
    let desk = Desk::open().await;
    let place = "/stock/wosk/%D0%98%D1%80%D0%B8%D0%BD%D0%B0";
    let (status, level) =
        desk.service.put(place, &json!({ "on_hand": 12, "low_threshold": 5, "note": "counted" }));
    assert_eq!((status, &level["version"]), (200, &json!(1)), "{level}");
    let bearer = format!("Bearer {}", desk.service.token);
    let set = |seen: &str| {
        let headers =
            [("Authorization", bearer.as_str()), ("Content-Type", "application/json"), ("If-Match", seen)];
        let body = json!({ "on_hand": 12 }).to_string();
        desk.service.request("PUT", &format!("/api/v1{place}"), &headers, body.as_bytes()).unwrap().status
    };
    assert_eq!((set("\"7\""), set("\"1\""), set("x")), (409, 200, 400));
    let receipt = json!({ "sku": "wosk", "delta": 3, "kind": "receipt", "note": "a box" });
    assert_eq!(desk.service.post("/stock/adjustments", &receipt).1["on_hand"], 15);
    desk.tell(&[ready(order("sold", &[("wosk", 11)]))]).await;
    desk.until("sold", &[("deduction", "completed")]).await;
    let (status, problem) = desk.service.post("/stock/adjustments", &json!({ "sku": "wosk", "delta": -5 }));
    assert_eq!((status, &problem["code"]), (409, &json!("too_few_units")));
    for (body, pointer) in [
        (json!({ "sku": " ", "delta": 1 }), "/sku"),
        (json!({ "sku": "wosk", "delta": 0 }), "/delta"),
        (json!({ "sku": "wosk", "delta": 1, "kind": "sale" }), "/kind"),
    ] {
        let (status, problem) = desk.service.post("/stock/adjustments", &body);
        assert_eq!((status, &problem["errors"][0]["pointer"]), (400, &json!(pointer)), "{problem}");
    }
    let elsewhere = json!({ "sku": "wosk", "warehouse": "nowhere", "delta": 1 });
    assert_eq!(desk.service.post("/stock/adjustments", &elsewhere).0, 404);

    let (_, explained) = desk.service.get("/stock/wosk");
    let level = &explained["levels"][0];
    assert_eq!((&level["on_hand"], &level["is_low"]), (&json!(4), &json!(true)));
    let moved: Vec<(Value, Value, Value)> = explained["movements"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| (it["kind"].clone(), it["delta"].clone(), it["on_hand"].clone()))
        .collect();
    let expected = [("sale", -11, 4), ("receipt", 3, 15), ("adjustment", 12, 12)];
    assert_eq!(moved, expected.map(|(kind, delta, left)| (json!(kind), json!(delta), json!(left))));
    let (_, sales) = desk.service.get("/stock/movements?kind=sale&order_id=sold");
    assert_eq!(sales["items"][0]["delta"], -11);
    assert_eq!(desk.service.get("/stock?below=5").1["items"].as_array().unwrap().len(), 1);
    assert_eq!(desk.service.get("/stock?below=4").1["items"], json!([]));
    assert_eq!(desk.service.run(&["verify"]).trim(), "1 levels, 0 are not the sum of their movements");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_imported_whole_or_without_its_bad_rows() {
    let desk = Desk::open().await;
    let file = "sku;on_hand;warehouse\nwosk;7;\nknot;x;\nwosk;8;\nolej;3;nowhere\n";
    let import = |query: &str, text: &str| {
        desk.service.post_raw(&format!("/stock/import{query}"), "text/csv", text.as_bytes())
    };
    let (status, problem) = import("", file);
    assert_eq!((status, &problem["code"]), (400, &json!("import_refused")), "{problem}");
    assert_eq!(problem["errors"][0]["pointer"], "/2/on_hand");
    assert_eq!(desk.count("stock_levels").await, 0);
    let (status, done) = import("?mode=skip_bad", file);
    assert_eq!(status, 200, "{done}");
    assert_eq!((&done["imported"], &done["skipped"]), (&json!(1), &json!(3)));
    let codes: Vec<(&Value, &Value)> =
        done["errors"].as_array().unwrap().iter().map(|it| (&it["row"], &it["code"])).collect();
    let expected = [(2, "not_a_number"), (3, "duplicate"), (4, "unknown_warehouse")]
        .map(|(row, code)| (json!(row), json!(code)));
    assert_eq!(codes, expected.iter().map(|(row, code)| (row, code)).collect::<Vec<_>>());
    assert_eq!(desk.on_hand("wosk"), 7);
    let many: Vec<String> = (0..3_000).map(|number| format!("rzecz-{number},{}", number % 7)).collect();
    let many = many.join("\n");
    for movements in [1 + 2_571, 1 + 2_571] {
        let (status, done) = import("", &format!("sku,on_hand\n{many}"));
        assert_eq!((status, &done["imported"]), (200, &json!(3_000)));
        assert_eq!(desk.count("stock_movements").await, movements, "the same file moves nothing twice");
    }
    assert_eq!(desk.service.post_raw("/stock/import", "application/json", b"{}").0, 415);
    assert_eq!(import("?mode=skip_bad", "quantity\n1").0, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_and_dot_only_warehouse_names_are_refused() {
    let desk = Desk::open().await;
    let pointer = |(status, problem): (u16, Value)| (status, problem["errors"][0]["pointer"].clone());
    for name in ["", " \t", ".", "..", " ... "] {
        let good = json!({ "nomenclature": "Болт", "ekn_code": "E", "sku": "bolt", "warehouse": name });
        let account = "/stock-sync/accounts/0190c5a4-6f7e-7cc3-98c4-dc0c0c07398f";
        for (answer, expected) in [
            (desk.service.post("/warehouses", &json!({ "name": name })), "/name"),
            (
                desk.service
                    .post("/stock/adjustments", &json!({ "sku": "wosk", "delta": 1, "warehouse": name })),
                "/warehouse",
            ),
            (desk.service.post("/stock-sync/goods", &good), "/warehouse"),
            (desk.service.patch(account, &json!({ "warehouse": name })), "/warehouse"),
        ] {
            assert_eq!(pointer(answer), (400, json!(expected)), "{name:?}");
        }
    }
    for name in ["%20", "%2E", "%2E%2E", "%20.%20"] {
        for (answer, expected) in [
            (desk.service.put(&format!("/stock/wosk/{name}"), &json!({ "on_hand": 1 })), "warehouse"),
            (desk.service.patch(&format!("/warehouses/{name}"), &json!({ "is_active": true })), "name"),
            (desk.service.get(&format!("/stock?warehouse={name}")), "warehouse"),
            (desk.service.get(&format!("/stock/movements?warehouse={name}")), "warehouse"),
        ] {
            assert_eq!(pointer(answer), (400, json!(expected)), "{name}");
        }
        assert_eq!(desk.service.delete(&format!("/warehouses/{name}")).0, 400, "{name}");
    }
    let file = desk.service.post_raw("/stock/import", "text/csv", b"sku,on_hand,warehouse\nwosk,7,..\n");
    assert_eq!(pointer(file), (400, json!("/1/warehouse")));
    let refused = desk.service.command(&["config", "check"], &[("STOCK_SYNC_DEFAULT_WAREHOUSE", "..")]);
    assert!(!refused.status.success(), "{refused:?}");

    let (status, added) = desk.service.post("/warehouses", &json!({ "name": "  Łódź\t" }));
    assert_eq!((status, &added["name"]), (201, &json!("Łódź")), "{added}");
    let (status, level) = desk.service.put("/stock/wosk/%20%C5%81%C3%B3d%C5%BA%20", &json!({ "on_hand": 3 }));
    assert_eq!((status, &level["warehouse"]), (200, &json!("Łódź")), "{level}");
    let file = "\u{feff}sku,on_hand,warehouse\nwosk,4, Łódź \n";
    let (status, done) = desk.service.post_raw("/stock/import", "text/csv", file.as_bytes());
    assert_eq!((status, &done["imported"]), (200, &json!(1)), "{done}");
}

#[tokio::test(flavor = "multi_thread")]
async fn warehouses_are_added_put_out_of_use_and_removed_while_nothing_needs_them() {
    let desk = Desk::open().await;
    let listed = |it: Value| -> Vec<Value> {
        it["items"].as_array().unwrap().iter().map(|it| it["name"].clone()).collect()
    };
    assert_eq!(listed(desk.service.get("/warehouses").1), ["Ирина"]);
    assert_eq!(desk.service.post("/warehouses", &json!({ "name": "Lodz", "allows_negative": true })).0, 201);
    assert_eq!(desk.service.post("/warehouses", &json!({ "name": "Lodz" })).0, 409);
    assert_eq!(desk.service.post("/warehouses", &json!({ "name": "  " })).0, 400);
    let sell = |units: i64| desk.service.put("/stock/wosk/Lodz", &json!({ "on_hand": units })).0;
    assert_eq!(sell(-2), 200, "its levels may go below zero");
    let change = |body: Value| desk.service.patch("/warehouses/Lodz", &body).0;
    assert_eq!(change(json!({ "allows_negative": false })), 409);
    assert_eq!(sell(2), 200);
    assert_eq!(change(json!({ "allows_negative": false })), 200);
    assert_eq!(sell(-1), 409);
    assert_eq!(desk.service.delete("/warehouses/Lodz").0, 409, "things were in it");
    assert_eq!(change(json!({ "is_active": false })), 200);
    assert_eq!(sell(3), 404, "it is out of use");
    assert_eq!(desk.service.post("/warehouses", &json!({ "name": "Empty" })).0, 201);
    assert_eq!(desk.service.delete("/warehouses/Empty").0, 204);
    assert_eq!(desk.service.delete("/warehouses/Empty").0, 404);
    assert_eq!(desk.service.delete("/warehouses/%D0%98%D1%80%D0%B8%D0%BD%D0%B0").0, 409);
}
