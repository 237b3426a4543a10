//! The Lambda function.

use std::process::ExitCode;

use inbound_webhook::InboundWebhook;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    shared::start::http_function("inbound-webhook", |settings, world| {
        Ok(InboundWebhook::new(settings, world))
    })
    .await
}
