//! An export that fails after its head was sent cannot be mistaken for a complete one.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use diesel_async::SimpleAsyncConnection;
use serde_json::json;

use crate::support::{Shop, USER_PATH};

/// Requests an export and returns the connection with the unread answer.
fn ask(shop: &Shop, format: &str, encoding: &str) -> TcpStream {
    let address = shop.service.url().trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    let head = format!(
        "GET /api/v1/orders/{USER_PATH}/export?format={format} HTTP/1.1\r\nHost: {address}\r\n\
         Authorization: Bearer {}\r\nAccept-Encoding: {encoding}\r\nConnection: close\r\n\r\n",
        shop.service.token
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream
}

/// Reads until the connection ends; true if the answer is complete.
fn is_whole(mut stream: TcpStream) -> bool {
    let mut seen = Vec::new();
    stream.read_to_end(&mut seen).unwrap();
    let shown = String::from_utf8_lossy(&seen);
    assert!(shown.starts_with("HTTP/1.1 200 OK"), "{shown:.200}");
    seen.ends_with(b"0\r\n\r\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_export_ends_its_connection_uncleanly() {
    let mut shop = Shop::open().await;
    shop.admin("POST", "/orders", &json!({ "count": 250, "seed": 3 }));
    shop.connect().await;
    shop.until_read().await;
    for encoding in ["identity", "gzip"] {
        for format in ["ndjson", "csv"] {
            assert!(is_whole(ask(&shop, format, encoding)), "{format}, {encoding}: nothing fails");
        }

        // The session ends while a page is read.
        let mut conn = shop.pool.get().await.unwrap();
        conn.batch_execute("BEGIN; LOCK TABLE order_versions IN ACCESS EXCLUSIVE MODE").await.unwrap();
        let stream = ask(&shop, "ndjson", encoding);
        let exports = "pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' \
                       AND query LIKE '%FROM order_versions v WHERE%'";
        shop.until(exports, 1).await;
        shop.run(&format!("SELECT pg_terminate_backend(pid) FROM {exports}")).await;
        assert!(!is_whole(stream), "{encoding}: the session was terminated");
        conn.batch_execute("ROLLBACK").await.unwrap();
        drop(conn);

        // The last order cannot be read.
        let last = "id = (SELECT id FROM orders ORDER BY order_date DESC, id DESC LIMIT 1)";
        shop.run(&format!("CREATE TABLE kept AS SELECT id, order_data FROM orders WHERE {last}")).await;
        shop.run(&format!("UPDATE orders SET order_data = '{{}}' WHERE {last}")).await;
        assert!(!is_whole(ask(&shop, "csv", encoding)), "{encoding}: an order cannot be read");
        shop.run("UPDATE orders o SET order_data = kept.order_data FROM kept WHERE kept.id = o.id").await;
        shop.run("DROP TABLE kept").await;

        // The code that reads panics.
        shop.service.kill();
        shop.service.start_to_panic_at(&["export.before_send@2"]);
        assert!(!is_whole(ask(&shop, "ndjson", encoding)), "{encoding}: a panic");
        assert!(is_whole(ask(&shop, "ndjson", encoding)), "{encoding}: the next one");
    }
    let open = "pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%'";
    shop.until(open, 0).await;
}
