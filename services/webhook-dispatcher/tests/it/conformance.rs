//! What every service does the same way.

use testkit::conformance::{Subject, check};

#[tokio::test(flavor = "multi_thread")]
async fn it_keeps_the_conventions() {
    check(Subject {
        binary: env!("CARGO_BIN_EXE_zaplecze-webhook-dispatcher"),
        name: "webhook-dispatcher",
        schema: "webhook_dispatcher",
        settings: &[],
        required: &["postgres", "rabbitmq"],
    })
    .await;
}
