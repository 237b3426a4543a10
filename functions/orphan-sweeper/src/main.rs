//! The Lambda function: reads its configuration, and sweeps whenever it is called.

use std::{process::ExitCode, time::Duration};

use lambda_runtime::{LambdaEvent, service_fn};
use orphan_sweeper::{OrphanSweeper, SweepRequest};
use shared::{
    clock::Deadline,
    config::Settings,
    parts::World,
    start::{self, Failure},
    telemetry,
};
use tracing::Instrument as _;

/// What a sweep leaves of Lambda's own time limit.
const LAMBDA_MARGIN: Duration = Duration::from_secs(2);

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    start::function("orphan-sweeper", Box::pin(serve())).await
}

async fn serve() -> Result<(), Failure> {
    let settings = Settings::from_environment()?;
    let world = World::in_lambda().await?;
    let sweeper = &OrphanSweeper::new(&settings, &world);
    let clock = &world.clock;
    let sweep = service_fn(move |event: LambdaEvent<SweepRequest>| async move {
        let left = Duration::from_millis(event.context.deadline.saturating_sub(clock.now().as_millis()));
        let deadline = Deadline::within(left.saturating_sub(LAMBDA_MARGIN));
        let span = telemetry::invocation(&event.context.request_id, event.context.xray_trace_id.as_deref());
        Ok::<_, Failure>(sweeper.sweep(event.payload, deadline).instrument(span).await)
    });
    lambda_runtime::run(sweep).await
}
