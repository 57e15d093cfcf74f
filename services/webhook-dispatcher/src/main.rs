//! `zaplecze-webhook-dispatcher`

use std::process::ExitCode;

fn main() -> ExitCode {
    chassis::run::<webhook_dispatcher::WebhookDispatcher>()
}
