//! What every service does the same way.

use testkit::conformance::{Subject, check};

#[tokio::test(flavor = "multi_thread")]
async fn it_keeps_the_conventions() {
    check(Subject {
        binary: env!("CARGO_BIN_EXE_zaplecze-stock-sync"),
        name: "stock-sync",
        schema: "stock_sync",
        settings: &[("ALLEGRO_BACKUP_API_KEY", "zk_stock_0123456789abcdef0123456789abcdef")],
        required: &["postgres", "rabbitmq"],
    })
    .await;
}
