//! The Lambda function: reads its configuration, and serves.

use std::{process::ExitCode, sync::Arc};

use shared::{
    config::Settings,
    gateway,
    parts::World,
    start::{self, Failure},
};
use taskrouter_events::TaskRouterEvents;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    start::function("taskrouter-events", Box::pin(serve())).await
}

async fn serve() -> Result<(), Failure> {
    let settings = Settings::from_environment()?;
    let world = World::in_lambda().await?;
    let clock = Arc::clone(&world.clock);
    gateway::run(Arc::new(TaskRouterEvents::new(&settings, &world)), clock).await
}
