//! What every service does the same way.

use sandbox::{Sandbox, Settings};
use testkit::conformance::{Subject, check};

#[tokio::test(flavor = "multi_thread")]
async fn it_keeps_the_conventions() {
    let allegro = Sandbox::start(Settings::default()).unwrap();
    let url = allegro.url();
    check(Subject {
        binary: env!("CARGO_BIN_EXE_zaplecze-allegro-backup"),
        name: "allegro-backup",
        schema: "allegro_backup",
        settings: &[
            ("ALLEGRO_CLIENT_ID", "conformance"),
            ("ALLEGRO_CLIENT_SECRET", "sandbox-secret"),
            ("ALLEGRO_API_URL", &url),
            ("ALLEGRO_AUTH_URL", &url),
        ],
        required: &["postgres", "rabbitmq"],
    })
    .await;
}
