//! `zaplecze-webhook-dispatcher`

use std::process::ExitCode;

fn main() -> ExitCode {
    runtime::run::<webhook_dispatcher::WebhookDispatcher>()
}
