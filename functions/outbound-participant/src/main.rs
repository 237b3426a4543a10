//! The Lambda function.

use std::process::ExitCode;

use outbound_participant::OutboundParticipant;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    shared::start::http_function("outbound-participant", |settings, world| {
        Ok(OutboundParticipant::new(settings, world))
    })
    .await
}
