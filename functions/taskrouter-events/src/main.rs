//! The Lambda function.

use std::process::ExitCode;

use taskrouter_events::TaskRouterEvents;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    shared::start::http_function("taskrouter-events", |settings, world| {
        Ok(TaskRouterEvents::new(settings, world))
    })
    .await
}
