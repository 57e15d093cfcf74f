//! Export, and what an import makes of it: whatever dies, nothing twice, nothing back.

use std::path::PathBuf;

use diesel::sql_query;
use diesel_async::RunQueryDsl;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use testkit::eventually;

use crate::support::{Shop, USER, USER_PATH};

/// A file that goes with the value.
pub(crate) struct File(PathBuf);

impl File {
    pub(crate) fn holding(content: &[u8]) -> Self {
        static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("orders-{}-{number}.ndjson", std::process::id()));
        std::fs::write(&path, content).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// What the command `export` writes.
pub(crate) fn exported(shop: &Shop) -> Vec<u8> {
    let done = shop.service.command(&["export", "--user", USER], &[]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    done.stdout
}

/// Runs `import` and returns what it says.
fn import(shop: &Shop, file: &File) -> String {
    let done = shop.service.command(&["import", file.path()], &[]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

/// The expected trailer of these lines; an existing trailer is not counted.
fn trailer(export: &[u8]) -> Value {
    let text = std::str::from_utf8(export).unwrap();
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("{\"trailer\"")).collect();
    let orders = lines.iter().filter(|line| line.starts_with("{\"order\"")).count();
    let mut hash = Sha256::new();
    for line in lines {
        hash.update(line);
        hash.update("\n");
    }
    json!({ "orders": orders, "sha256": hex::encode(hash.finalize()) })
}

/// A shop of 450 orders; some have a history, some have flags.
async fn lived_in() -> Shop {
    let shop = Shop::open().await;
    shop.admin("POST", "/orders", &json!({ "count": 450, "seed": 3 }));
    let token_id = shop.connect().await;
    shop.until_read().await;
    for order in shop.journal().iter().take(4) {
        let id = order["order_id"].as_str().unwrap();
        shop.admin("POST", &format!("/orders/{id}/change-address"), &json!({}));
        shop.service
            .patch(&format!("/orders/{token_id}/{id}/stock-status"), &json!({ "is_stock_updated": true }));
        let invoice = json!({ "has_invoice_created": true, "invoice_id": "=1+1" });
        shop.service.patch(&format!("/orders/{token_id}/{id}/invoice-status"), &invoice);
    }
    shop.until("order_versions", 4).await;
    shop
}

/// A shop of 30 orders.
async fn small() -> Shop {
    let shop = Shop::open().await;
    shop.admin("POST", "/orders", &json!({ "count": 30, "seed": 3 }));
    shop.connect().await;
    shop.until_read().await;
    shop
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_exported_comes_back_byte_for_byte_once_and_silently() {
    let shop = lived_in().await;
    let bearer = format!("Bearer {}", shop.service.token);
    let path = format!("/api/v1/orders/{USER_PATH}/export");
    let answer = shop.service.request("GET", &path, &[("Authorization", &bearer)], &[]).unwrap();
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/x-ndjson"));
    let export = exported(&shop);
    assert_eq!(answer.body, export, "the command writes what the route sends");
    let lines: Vec<Value> = export
        .split(|it| *it == b'\n')
        .filter(|it| !it.is_empty())
        .map(|it| serde_json::from_slice(it).unwrap())
        .collect();
    assert_eq!(lines.len(), 452);
    assert_eq!(lines[451]["trailer"], trailer(&export), "the count and the hash of the lines before it");
    let text = String::from_utf8(export.clone()).unwrap();
    assert!(!text.contains("access_token") && !text.contains("refresh_token"));

    let file = File::holding(&export);
    let other = Shop::open().await;
    let told = import(&other, &file);
    assert!(told.starts_with("450 orders restored"), "{told}");
    assert_eq!(exported(&other), export);
    let told = import(&other, &file);
    assert!(told.starts_with("0 orders restored, 0 brought up to date, 450 were there"), "{told}");
    assert_eq!(exported(&other), export, "twice is once");
    assert_eq!(other.count("outbox").await, 0, "nothing is told again");
    assert_eq!(other.count("order_line_items").await, shop.count("order_line_items").await);
    let list = other.service.get(&format!("/orders/{USER_PATH}?stock_updated=true&text=zurawia")).1;
    assert_eq!(list["items"].as_array().unwrap().len(), 4, "what was restored is found: {list}");

    // Its owner connects the account again: it goes on as the same one.
    let restored = lines[0]["account"]["id"].as_str().unwrap().to_owned();
    let account = other.service.get(&format!("/tokens/{restored}")).1;
    assert_eq!((&account["is_active"], &account["needs_reauthorization"]), (&json!(true), &json!(true)));
    assert_eq!(other.connect().await, restored);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_is_killed_is_run_again() {
    let shop = lived_in().await;
    let export = exported(&shop);
    let file = File::holding(&export);
    let other = Shop::open().await;
    for (point, restored) in [("pg.before_commit@2", 0), ("pg.after_commit@3", 400)] {
        let done = other.service.command(&["import", file.path()], &[("FAILPOINTS", point)]);
        assert!(!done.status.success(), "{point}");
        assert_eq!(other.count("orders").await, restored, "{point}");
    }
    let told = import(&other, &file);
    assert!(told.starts_with("50 orders restored, 0 brought up to date, 400 were there"), "{told}");
    assert_eq!(exported(&other), export);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_living_database_never_goes_back() {
    let shop = lived_in().await;
    let old = exported(&shop);
    let id = shop.journal()[9]["order_id"].as_str().unwrap().to_owned();
    let path = format!("/orders/{USER_PATH}/{id}");
    shop.admin("POST", &format!("/orders/{id}/change-address"), &json!({}));
    let newer = eventually("the new address", async || {
        let order = shop.service.get(&path).1;
        (order["version"] == 2).then_some(order)
    })
    .await;
    let flag = format!("/orders/{}/{id}/stock-status", newer["token_id"].as_str().unwrap());
    shop.service.patch(&flag, &json!({ "is_stock_updated": true }));
    let living = exported(&shop);
    let told = shop.count("outbox").await;
    let said = import(&shop, &File::holding(&old));
    assert!(
        said.starts_with(
            "0 orders restored, 0 brought up to date, 449 were there, 1 were newer here; 0 earlier"
        ),
        "{said}"
    );
    assert_eq!(exported(&shop), living, "flags, versions and contents stay");

    // The other way round: an older database is brought up to date, and keeps what it had.
    let other = Shop::open().await;
    import(&other, &File::holding(&old));
    let said = import(&other, &File::holding(&living));
    assert!(said.starts_with("0 orders restored, 1 brought up to date, 449 were there"), "{said}");
    let order = other.service.get(&path).1;
    assert_eq!((&order["version"], &order["order_data"]), (&json!(2), &newer["order_data"]));
    assert_eq!(other.count("order_versions").await, 5);
    assert_eq!((shop.count("outbox").await, other.count("outbox").await), (told, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_that_are_wrong_are_named_and_the_others_restored() {
    let shop = lived_in().await;
    let export = String::from_utf8(exported(&shop)).unwrap();
    let mut lines: Vec<String> = export.lines().map(str::to_owned).collect();
    lines.insert(0, lines[1].clone());
    lines[3] = "{\"order\":".to_owned();
    lines[4] = lines[4].replacen("\"content_hash\":\"", "\"content_hash\":\"zz", 1);
    lines[5] = lines[5].replacen("\"allegro_order_id\":\"", "\"allegro_order_id\":\"other-", 1);
    lines[6] = lines[6].replacen("{\"order\":{", "{\"order\":{\"colour\":1,", 1);
    let other = Shop::open().await;
    let file = File::holding(lines.join("\n").as_bytes());
    let done = other.service.command(&["import", file.path()], &[]);
    let said = String::from_utf8(done.stderr).unwrap();
    assert!(!done.status.success());
    for line in [
        "line 1: its account",
        "line 4: EOF",
        "line 5: content_hash",
        "line 6: is of order",
        "line 7: unknown field `colour`",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    // The first order's line stands once more at its place.
    assert_eq!(other.count("orders").await, 446);
}

/// An export's lines, behind one of another account with this field.
fn with_account(export: &str, field: &str, value: &Value) -> Vec<String> {
    let mut lines: Vec<String> = export.lines().map(str::to_owned).collect();
    let mut line: Value = serde_json::from_str(&lines[0]).unwrap();
    let account = &mut line["account"];
    account["id"] = json!(uuid::Uuid::now_v7());
    account["allegro_seller_id"] = json!("another");
    account[field] = value.clone();
    lines.insert(0, line.to_string());
    lines
}

/// Imports lines with a trailer that matches them.
fn import_complete(shop: &Shop, lines: &[String]) -> (i32, String) {
    let content = lines.join("\n");
    let trailer = json!({ "trailer": trailer(content.as_bytes()) });
    let lines: String =
        content.lines().filter(|it| !it.starts_with("{\"trailer\"")).flat_map(|it| [it, "\n"]).collect();
    import_any(shop, format!("{lines}{trailer}\n").as_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_that_cannot_be_stored_are_named() {
    let shop = small().await;
    let mut lines =
        with_account(&String::from_utf8(exported(&shop)).unwrap(), "account_name", &json!("a\0b"));
    let no_invoice = "\"has_invoice_created\":false,\"invoice_id\":null";
    assert!(lines[6].contains(no_invoice), "{}", lines[6]);
    lines[6] = lines[6].replacen(no_invoice, "\"has_invoice_created\":true,\"invoice_id\":\"\\u0000\"", 1);
    let other = Shop::open().await;
    let (code, said) = import_complete(&other, &lines);
    assert!(code == 1 && said.contains("line 1: ") && said.contains("line 7: "), "{code}: {said}");
    assert!(said.contains("29 orders restored") && said.contains("2 lines refused"), "{said}");
    assert_eq!(other.count("orders").await, 29);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_account_is_not_counted_as_an_order() {
    let shop = small().await;
    let lines = with_account(&String::from_utf8(exported(&shop)).unwrap(), "colour", &json!(1));
    let other = Shop::open().await;
    let (code, said) = import_complete(&other, &lines);
    assert!(code == 1 && said.contains("line 1: unknown field `colour`"), "{code}: {said}");
    assert!(said.contains("30 orders restored") && !said.contains("is incomplete"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_others_insert_meanwhile_is_restored() {
    let shop = small().await;
    let export = String::from_utf8(exported(&shop)).unwrap();
    let one: Vec<&str> = export.lines().take(2).collect();
    let other = Shop::open().await;
    // As where another writer inserts the order and removes it, six times in a row.
    other
        .run(
            "CREATE SEQUENCE inserts; \
             CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
                 IF nextval('inserts') <= 6 THEN RETURN NULL; END IF; RETURN NEW; END $$; \
             CREATE TRIGGER lose BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION lose()",
        )
        .await;
    let (_, said) = import_any(&other, one.join("\n").as_bytes());
    assert!(said.contains("1 orders restored") && said.contains("0 lines refused"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_is_safe_to_open_and_others_see_nothing() {
    let mut shop = lived_in().await;
    let admin = shop.service.token.clone();
    let ask = |shop: &Shop, user: &str, more: &str, encoding: &str| {
        let bearer = format!("Bearer {}", shop.service.token);
        let headers = [("Authorization", bearer.as_str()), ("Accept-Encoding", encoding)];
        shop.service.request("GET", &format!("/api/v1/orders/{user}/export?{more}"), &headers, &[]).unwrap()
    };
    let table = ask(&shop, USER_PATH, "format=csv", "");
    assert_eq!(table.header("content-type"), "text/csv; charset=utf-8");
    let text = String::from_utf8(table.body).unwrap();
    let rows: Vec<&str> = text.split_terminator("\r\n").collect();
    assert_eq!(rows.len(), 451);
    assert!(rows[0].starts_with("token_id,allegro_order_id,order_date,status,"));
    assert_eq!(rows.iter().filter(|row| row.contains(",'=1+1,")).count(), 4, "no cell is a formula");
    for format in ["csv", "ndjson"] {
        let packed = ask(&shop, USER_PATH, &format!("format={format}"), "gzip");
        assert_eq!((packed.status, packed.header("vary")), (200, "accept-encoding"), "{format}");
    }
    let day = "from=2030-01-01T00:00:00Z";
    assert_eq!(
        ask(&shop, USER_PATH, &format!("format=csv&{day}"), "").body.split(|it| *it == b'\n').count(),
        2
    );
    assert_eq!(ask(&shop, USER_PATH, "format=xlsx", "").status, 400);
    let of_nobody =
        ["ndjson", "csv"].map(|format| ask(&shop, "nobody", &format!("format={format}"), "").body);
    shop.service.token = shop.service.token_of("someone-else", "allegro-backup:read");
    let of_another =
        ["ndjson", "csv"].map(|format| ask(&shop, USER_PATH, &format!("format={format}"), "").body);
    shop.service.token = admin;
    assert_eq!(of_another, of_nobody, "the answer does not depend on whether the user exists");
    let only: Value = serde_json::from_slice(&of_nobody[0]).unwrap();
    assert_eq!(only, json!({ "trailer": trailer(b"") }));
    assert_eq!(of_nobody[1].split(|it| *it == b'\n').count(), 2, "the heading");
}

/// Runs `import`, and returns its exit code and its output.
fn import_any(shop: &Shop, content: &[u8]) -> (i32, String) {
    shop.command(&["import", File::holding(content).path()])
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lines_of_an_incomplete_file_are_restored() {
    let shop = small().await;
    let export = String::from_utf8(exported(&shop)).unwrap();
    let lines: Vec<&str> = export.lines().collect();
    let without = |left_out: usize| {
        let kept =
            lines.iter().enumerate().filter(|(at, _)| *at != left_out).map(|(_, line)| format!("{line}\n"));
        kept.collect::<String>()
    };
    let edited = export.replacen("\"has_invoice_created\":false", "\"has_invoice_created\":true", 1);
    let cut = &export[..export.len() - 300];
    let other = Shop::open().await;
    for (file, expected) in [
        (lines[..20].join("\n"), "is incomplete: it does not end with a trailer"),
        (cut.to_owned(), "is incomplete: it does not end with a trailer"),
        (without(31), "is incomplete: it does not end with a trailer"),
        (without(7), "its trailer counts 30 orders"),
        (edited, "its trailer counts 30 orders"),
        (format!("{export}{}\n", lines[0]), "is incomplete: it does not end with a trailer"),
        (format!("{}{export}", without(7)), "its trailer counts 30 orders"),
    ] {
        let (code, said) = import_any(&other, file.as_bytes());
        assert!(code == 1 && said.contains(expected), "{expected}: {code}: {said}");
        assert!(said.contains("were newer here"), "what can be read is restored: {said}");
    }
    assert_eq!(other.count("orders").await, 30);
}

#[tokio::test(flavor = "multi_thread")]
async fn import_accepts_a_byte_order_mark_and_crlf() {
    let shop = small().await;
    let export = String::from_utf8(exported(&shop)).unwrap();
    for file in [
        format!("\u{feff}{export}"),
        format!("\u{feff}{}", export.replace('\n', "\r\n")),
        format!("{export}\n\n"),
        format!("{export}{export}"),
    ] {
        let (code, said) = import_any(&shop, file.as_bytes());
        assert!(code == 0 && said.contains("0 lines refused"), "{code}: {said}");
    }
    let of_nobody = json!({ "trailer": trailer(b"") }).to_string();
    let (code, said) = import_any(&shop, of_nobody.as_bytes());
    assert!(code == 0 && said.contains("0 orders restored"), "{code}: {said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn import_names_the_format_of_a_foreign_file() {
    let shop = small().await;
    let table = shop.service.command(&["export", "--format", "csv"], &[]).stdout;
    for (content, expected) in [
        (Vec::new(), "is empty"),
        (b"\xef\xbb\xbf \r\n\n".to_vec(), "is empty"),
        ([b"\xef\xbb\xbf".as_slice(), &table].concat(), "is a table (CSV)"),
        (table, "is a table (CSV)"),
        (b"\x1f\x8b\x08\x00\x00".to_vec(), "is compressed with gzip"),
        (b"<html>\n".to_vec(), "is no export: its first line begins with \"<html>\""),
    ] {
        let (code, said) = import_any(&shop, &content);
        assert!(code == 1 && said.contains(expected), "{expected}: {code}: {said}");
    }
    assert_eq!(shop.count("orders").await, 30);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_export_leaves_no_file() {
    let shop = small().await;
    let whole = File::holding(b"as it was");
    let partial = format!("{}.partial", whole.path());
    let mut holding = shop.pool.begin().await.unwrap();
    sql_query("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE").execute(&mut *holding).await.unwrap();
    let running = shop.service.begin(&["export", "--output", whole.path()]);
    eventually("the partial file", async || std::fs::exists(&partial).unwrap().then_some(())).await;
    let done = running.interrupt();
    let said = String::from_utf8(done.stderr).unwrap();
    assert!(done.status.code() == Some(1) && said.contains("ended by SIGINT"), "{:?}: {said}", done.status);
    assert!(!std::fs::exists(&partial).unwrap(), "the partial file is removed");
    assert_eq!(std::fs::read(whole.path()).unwrap(), b"as it was");
    holding.rollback().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn quarantined_orders_are_exported_and_imported() {
    let shop = Shop::open().await;
    shop.admin("POST", "/orders", &json!({ "count": 3, "seed": 3 }));
    let nameless = shop.journal()[0]["order_id"].as_str().unwrap().to_owned();
    let no_id = json!({ "pointer": "/id", "value": null });
    shop.admin("POST", &format!("/orders/{nameless}/set"), &no_id);
    shop.connect().await;
    shop.until_read().await;
    shop.until("failed_orders WHERE status = 'pending'", 1).await;
    let export = exported(&shop);
    let file = File::holding(&export);
    let other = Shop::open().await;
    let told = import(&other, &file);
    assert!(told.starts_with("2 orders restored") && told.contains("1 orders quarantined"), "{told}");
    assert_eq!(exported(&other), export);
    let told = import(&other, &file);
    assert!(!told.contains("quarantined"), "twice is once: {told}");
    assert_eq!(exported(&other), export);
    let documents = "SELECT document FROM failed_orders";
    assert_eq!(other.lines(documents).await, shop.lines(documents).await);
}
