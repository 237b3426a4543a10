//! The Lambda function: reads its configuration, and sweeps whenever it is called.

use std::{process::ExitCode, sync::Arc, time::Duration};

use lambda_runtime::{LambdaEvent, service_fn};
use orphan_sweeper::{OrphanSweeper, SweepRequest};
use shared::{
    clock::{Deadline, SystemClock},
    config::Settings,
    parts::World,
    telemetry,
};

/// What a sweep leaves of Lambda's own time limit.
const LAMBDA_MARGIN: Duration = Duration::from_secs(2);

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    telemetry::start_logging(Arc::new(SystemClock), |name| std::env::var(name).ok());
    match serve().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            telemetry::fatal("orphan-sweeper", &*error);
            ExitCode::FAILURE
        }
    }
}

async fn serve() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let settings = Settings::from_environment()?;
    let world = World::in_lambda().await?;
    let sweeper = &OrphanSweeper::new(&settings, &world);
    let clock = &world.clock;
    lambda_runtime::run(service_fn(move |event: LambdaEvent<SweepRequest>| async move {
        let left = Duration::from_millis(event.context.deadline.saturating_sub(clock.now().as_millis()));
        let deadline = Deadline::within(left.saturating_sub(LAMBDA_MARGIN));
        Ok::<_, lambda_runtime::Error>(sweeper.sweep(event.payload, deadline).await)
    }))
    .await
}
