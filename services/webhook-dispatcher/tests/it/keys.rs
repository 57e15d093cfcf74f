//! The key of secrets at rest is changed while the service works.

use std::process::Command;

use secrecy::ExposeSecret;
use standardwebhooks::Webhook;

use crate::support::{BINARY, Desk, LOCAL, Receiver, all_to, fact};

const OLD: &str = "old:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
const NEW: &str = "new:AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=";

#[tokio::test(flavor = "multi_thread")]
async fn after_rotate_keys_the_old_key_is_needed_no_more() {
    let with = |keys| [&LOCAL[..], &[("ENCRYPTION_KEYS", keys)]].concat();
    let mut desk = Desk::open_with(&with(OLD)).await;
    let receiver = Receiver::answering(204);
    let (_, secret) = desk.subscribe(&all_to(&receiver));

    let both = format!("{NEW},{OLD}");
    let rotate = || {
        let output = Command::new(BINARY)
            .arg("rotate-keys")
            .env_clear()
            .env("DATABASE_URL", desk.database.url().expose_secret())
            .env("AMQP_URL", desk.vhost.url().expose_secret())
            .env("LOG_LEVEL", "error")
            .env("ENCRYPTION_KEYS", &both)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(rotate(), "all rows under key \"new\": 2 values sealed anew\n");
    assert_eq!(rotate(), "all rows under key \"new\": 0 values sealed anew\n");

    desk.restart_with(&with(NEW));
    desk.tell(&[fact(1)]).await;
    let hits = receiver.until_hits(1).await;
    Webhook::new(&secret).unwrap().verify(&hits[0].body, &hits[0].headers).unwrap();
}
