//! What every service does the same way.

use testkit::conformance::{Subject, check};

#[tokio::test(flavor = "multi_thread")]
async fn it_keeps_the_conventions() {
    check(Subject {
        binary: env!("CARGO_BIN_EXE_zaplecze-allegro-backup"),
        name: "allegro-backup",
        schema: "allegro_backup",
        settings: &[("ALLEGRO_CLIENT_ID", "conformance"), ("ALLEGRO_CLIENT_SECRET", "sandbox-secret")],
        required: &["postgres", "rabbitmq"],
    })
    .await;
}
